//! Who reads a journal of a hundred thousand events, and how fast.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use meshproof::journal;
use meshproof::plan::{Diagnostics, Source};
use meshproof::record::Record;
use meshproof::report::lines::Lines;
use meshproof::report::style::Style;
use meshproof::report::{self, Story};

use crate::busy;
use crate::measure::{ROUNDS, Spread};
use crate::table::{Goal, Table};

/// Events, and agents that told them.
const EVENTS: usize = 100_000;
const AGENTS: usize = 12;

/// Events a second.
const MUST: f64 = 20_000.0;
const AIM: f64 = 50_000.0;

/// Bytes of the page.
const PAGE: f64 = 3e6;

pub fn run() -> Table {
    let records = busy::records(EVENTS, AGENTS);
    let place = tempfile::tempdir().expect("a temporary folder");
    let file = place.path().join(journal::FILE_NAME);
    std::fs::write(&file, text(&records)).expect("room for it");
    let size = file.metadata().expect("written").len();
    let mut table = Table::default();
    let mut row = |what: &str, once: &dyn Fn() -> f64| {
        let rates = Spread::of(&(0..ROUNDS).map(|_| records.len() as f64 / once()).collect::<Vec<_>>());
        table.judged(format!("events/s, {what}"), rates, Goal::figure_at_least(rates.median, MUST, AIM));
    };
    row(&format!("journal reader, {:.0} MB", size as f64 / 1e6), &|| {
        timed(|| assert_eq!(journal::read(&file).expect("its own lines").len(), records.len()))
    });
    row("terminal, plain lines", &|| {
        let source = Source::new("busy.yaml", "meshproof: 1\n", &Diagnostics::default());
        let lines = Lines::new(Arc::new(source), PathBuf::from("out"), Style::Plain);
        timed(|| {
            assert!(
                records.iter().filter_map(|record| lines.of(&record.entry)).map(|line| line.len()).sum::<usize>() > 0
            )
        })
    });
    row("HTML page", &|| {
        let records = records.clone();
        timed(|| assert!(!report::html(&Story::of(records)).is_empty()))
    });
    row("from the journal's file to the page's", &|| timed(|| report::write(place.path()).expect("room for it")));
    let bytes = std::fs::metadata(place.path().join(report::HTML_FILE_NAME)).expect("written").len() as f64;
    table.judged(
        format!("bytes of the page of {} events", records.len()),
        Spread::of(&[bytes]),
        Goal::at_most(bytes, PAGE, PAGE),
    );
    table
}

/// As the journal has them.
fn text(records: &[Record]) -> String {
    records.iter().map(|record| serde_json::to_string(record).expect("plain data") + "\n").collect()
}

/// Seconds.
fn timed(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}
