//! An agent that is killed, until the step behind that has ended.

use std::path::Path;

use meshproof::journal;
use meshproof::record::{Happening, Record};
use tempfile::TempDir;

use crate::measure::Spread;
use crate::sequence;
use crate::table::{Goal, Table};

/// How often it is killed.
const KILLS: usize = 20;

/// Milliseconds.
const MUST: f64 = 8_000.0;
const AIM: f64 = 3_000.0;

pub fn run() -> Table {
    let place = TempDir::with_prefix("mp-").expect("a temporary folder");
    let file = place.path().join("respawn.yaml");
    std::fs::write(&file, plan()).expect("a new file");
    sequence::meshproof(place.path(), &file);
    let mut took = continued(place.path());
    assert_eq!(took.len(), KILLS, "every kill is followed by a step that ended");
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    let mut table = Table::default();
    let spread = Spread { median: at(50), min: took[0], max: took[KILLS - 1] };
    let what = format!("ms from the kill of an agent to the end of the next step, {KILLS} times");
    table.judged(what, spread, Goal::at_most(spread.max, MUST, AIM));
    table.plain("ms of those, p99", Spread::of(&[at(99)]));
    table
}

/// Between two kills the agent lives long enough not to have died early.
fn plan() -> String {
    let mut plan = "meshproof: 1\nplan: respawn\nservices:\n  one: { ports: { none: 9 } }\ntests:\n  - id: all\n    timeout: 5m\n    steps:\n".to_owned();
    for _ in 0..KILLS {
        plan += "      - { at: one, exec: { argv: [sleep, \"2.1\"] } }\n      - kill: { agent: one }\n";
        plan += "      - { at: one, exec: { argv: [\"true\"] } }\n";
    }
    plan
}

/// By the journal's clock, in whole milliseconds.
fn continued(place: &Path) -> Vec<f64> {
    let records = journal::read(&place.join("out").join(journal::FILE_NAME)).expect("the run left its journal");
    let mut killed = None;
    let mut took = Vec::new();
    for Record { entry, .. } in &records {
        let Happening::StepEnded { step, .. } = &entry.what else { continue };
        if step.title.starts_with("kill") {
            killed = Some(entry.at_ms);
        } else if let Some(killed) = killed.take() {
            took.push(entry.at_ms.saturating_sub(killed) as f64);
        }
    }
    took
}
