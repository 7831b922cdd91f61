//! The memory of a run in a deterministic world, in which orchestrators die and hang and others go on: thousands of seeds, and the
//! bugs that they must find.

use std::ops::Range;

use meshproof::{memory, plan, record, run};

mod answers;
mod drawn;
mod planted;
#[path = "../../../proto/tests/simulation/planting.rs"]
mod planting;
mod seeds;
mod sim;
#[path = "../../src/run/tests/world.rs"]
#[allow(dead_code, reason = "the machine's own tests use more of it")]
mod world;

/// How many seeds every change must pass.
const SEEDS: u64 = 10_000;

/// How many a release must.
const MANY: u64 = 1_000_000;

#[test]
fn in_ten_thousand_runs_whose_orchestrators_die_and_hang_what_is_guaranteed_holds() {
    holds(0..SEEDS);
}

#[test]
#[ignore = "an hour on two cores, built with --release"]
fn in_a_million_runs_whose_orchestrators_die_and_hang_what_is_guaranteed_holds() {
    holds(0..MANY);
}

fn holds(seeds: Range<u64>) {
    let began = std::time::Instant::now();
    let count = seeds.end - seeds.start;
    let outcome = seeds::all(seeds);
    let (takeovers, refused) = (outcome.takeovers, outcome.refused);
    println!(
        "{count} seeds in {:.1} s: {takeovers} take-overs, {refused} orders refused",
        began.elapsed().as_secs_f64()
    );
    if let Some(failed) = outcome.failed {
        panic!("{failed}");
    }
    assert_eq!(outcome.passed, count);
    assert!(takeovers > count && refused > count / 10, "orchestrators do die, and some come back");
}
