//! Reading a plan.

use std::time::Instant;

use meshproof::plan::{self, Inputs};

use crate::measure::{ROUNDS, Spread};
use crate::plans;
use crate::table::{Goal, Table};

/// Milliseconds.
const MUST: f64 = 1000.0;
const AIM: f64 = 400.0;

pub fn run() -> Table {
    let mut table = Table::default();
    for (what, tests, steps) in [("one test of 10000 steps", 1, 10_000), ("1000 tests of 10 steps", 1000, 10)] {
        let text = plans::mixed(tests, steps);
        let took = Spread::of(&(0..ROUNDS).map(|_| once(&text)).collect::<Vec<_>>());
        let what = format!("ms to check {what}, {:.1} MB", text.len() as f64 / 1e6);
        table.judged(what, took, Goal::at_most(took.median, MUST, AIM));
    }
    table
}

/// From bytes to a plan that can be run.
fn once(text: &str) -> f64 {
    let began = Instant::now();
    let checked = plan::check("long.yaml", text.as_bytes(), &Inputs { dir: "/plans".to_owned(), ..Inputs::default() });
    let took = began.elapsed().as_secs_f64() * 1e3;
    if let Err(mistakes) = checked.plan {
        panic!("{}", mistakes.render(&checked.source, plan::Look::Plain));
    }
    took
}
