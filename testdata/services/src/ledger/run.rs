//! The ledger as a process: its settings, its writer and its listener.

use std::error::Error;
use std::fs::OpenOptions;
use std::sync::Arc;
use std::thread;

use super::book::Book;
use super::lines;
use crate::{net, settings};

/// Serves until it cannot, as `PORT` and `AUDIT` say; returns why.
pub fn run() -> Box<dyn Error> {
    serve().unwrap_or_else(|error| error)
}

fn serve() -> Result<Box<dyn Error>, Box<dyn Error>> {
    let port = settings::port("PORT")?;
    let path = settings::path("AUDIT")?;
    let audit = OpenOptions::new().create(true).append(true).open(&path);
    let audit = audit.map_err(|error| format!("cannot open {path}: {error}"))?;
    let listener = net::listen(port)?;
    let book = Arc::new(Book::default());
    let writers_book = Arc::clone(&book);
    thread::spawn(move || {
        // A ledger without its audit file must not go on answering.
        let error = writers_book.write_audit(audit);
        eprintln!("ledger: cannot write {path}: {error}");
        std::process::exit(1);
    });
    Ok(net::serve_each(&listener, move |stream, number| lines::converse(&stream, number, &book)).into())
}
