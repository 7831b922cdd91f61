//! Reports of a fixed journal: what they say, to the letter; what no text can make of them; and how a page behaves in a browser.

mod broken;
#[path = "../common/browser.rs"]
#[allow(dead_code, reason = "pages that are served need more of it")]
mod browser;
mod busy;
mod console;
mod golden;
mod hostile;
mod page;

use std::path::PathBuf;

use meshproof::journal;
use meshproof::record::Record;
use meshproof::report::Story;

/// A run with two tests, of which one fails, three faults, and an agent that was killed.
fn records() -> Vec<Record> {
    journal::read(&golden("events.jsonl")).expect("the fixed journal is whole")
}

fn story() -> Story {
    Story::of(records())
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/report/golden").join(name)
}
