//! The ledger's language: a line in, a line out.
//!
//! ```text
//! POST <id>    OK posted <id>
//! STATUS <id>  OK settled <id> | OK pending <id> | ERR unknown <id>
//! …            ERR …
//! ```
//! An id is any one word.

use super::book::{Book, State};

/// The answer to a line, both without their ends.
pub fn answer(line: &str, book: &Book) -> String {
    let mut words = line.split_whitespace();
    let (verb, id) = match (words.next(), words.next(), words.next()) {
        (Some(verb), Some(id), None) => (verb, id),
        (None, ..) => return "ERR empty line".to_owned(),
        (Some(_), None, _) => return "ERR an id is missing".to_owned(),
        (Some(_), Some(_), Some(_)) => return "ERR more than one id".to_owned(),
    };
    match verb {
        "POST" => post(id, book),
        "STATUS" => status(id, book),
        _ => format!("ERR no such verb {verb}"),
    }
}

fn post(id: &str, book: &Book) -> String {
    match book.post(id) {
        Ok(()) => format!("OK posted {id}"),
        Err(_) => format!("ERR full {id}"),
    }
}

fn status(id: &str, book: &Book) -> String {
    match book.state(id) {
        Some(State::Settled) => format!("OK settled {id}"),
        Some(State::Pending) => format!("OK pending {id}"),
        None => format!("ERR unknown {id}"),
    }
}
