//! What was measured, against what is promised.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What was timed, and by when it has to have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Goal {
    pub what: &'static str,
    pub aim: Duration,
    pub must: Duration,
}

const fn goal(what: &'static str, aim_s: u64, must_s: u64) -> Goal {
    Goal { what, aim: Duration::from_secs(aim_s), must: Duration::from_secs(must_s) }
}

/// From the cut until the last side knows; of a host that moved or a process that died, until the first one does.
pub const DETECTED: Goal = goal("detected", 3, 5);
/// From the path's return until a call and a stream have come back to either side.
pub const HEALED: Goal = goal("healed", 3, 5);
/// The same until bytes go on both ways in a TCP connection that was open before the cut and stood still.
pub const RESUMED: Goal = goal("resumed", 3, 5);
/// From a cut that lasts until a call and a stream have come back through the relay: an attempt to go directly comes first.
pub const RELAYED: Goal = goal("relayed", 8, 10);
/// The same for that TCP connection.
pub const RESUMED_RELAYED: Goal = goal("resumed", 8, 10);
/// From the cut until a side gives its link up: no earlier than `LINK_LOST`, which begins when the link is suspect.
pub const LOST: Goal = goal("lost", 33, 35);
/// From the start of the process, or of the server that it waits for, until both sides are linked.
pub const LINKED: Goal = goal("linked", 2, 5);
/// From the new instance's link until the old one's is closed.
pub const CLOSED: Goal = goal("old one closed", 3, 5);
/// From the moment at which a signaling server stands still until whoever is registered knows: six seconds without a ping.
pub const NOTICED: Goal = goal("noticed", 6, 8);
/// From the server's start until the last peer is registered.
pub const REGISTERED: Goal = goal("registered", 3, 5);
/// The same for fifty.
pub const ALL_BACK: Goal = goal("all back", 5, 5);

/// The figures of all scenarios.
#[derive(Debug)]
pub struct Board {
    pub rounds: usize,
    figures: Mutex<BTreeMap<(&'static str, Goal), Vec<Duration>>>,
}

impl Board {
    pub fn new(rounds: usize) -> Self {
        Self { rounds, figures: Mutex::default() }
    }

    /// Notes a figure. One past what must be is told, and fails its scenario when all rounds are over.
    pub fn note(&self, scenario: &'static str, goal: Goal, took: Duration) {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.entry((scenario, goal)).or_default().push(took);
    }

    /// Whether a scenario kept what must be.
    pub fn kept(&self, scenario: &'static str) -> Result<(), String> {
        let figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let late = figures.iter().filter(|((of, _), _)| *of == scenario).filter_map(|((_, goal), times)| {
            let longest = times.iter().max().filter(|longest| **longest > goal.must)?;
            Some(format!("{} after {longest:.2?}, must be within {:?}", goal.what, goal.must))
        });
        let late: Vec<_> = late.collect();
        if late.is_empty() { Ok(()) } else { Err(late.join("; ")) }
    }

    /// The table.
    pub fn print(&self) {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        if figures.is_empty() {
            return;
        }
        let width = figures.keys().map(|(scenario, _)| scenario.len()).max().unwrap_or(0);
        println!(
            "{:width$}  {:14} {:>3} {:>7} {:>7} {:>7} {:>4} {:>5}",
            "seconds", "", "n", "p50", "p99", "max", "aim", "must"
        );
        for ((scenario, goal), times) in figures.iter_mut() {
            times.sort_unstable();
            let longest = *times.last().expect("a figure was noted");
            println!(
                "{scenario:width$}  {:14} {:>3} {:>7.2} {:>7.2} {:>7.2} {:>4} {:>5}  {}",
                goal.what,
                times.len(),
                percentile(times, 50).as_secs_f64(),
                percentile(times, 99).as_secs_f64(),
                longest.as_secs_f64(),
                goal.aim.as_secs(),
                goal.must.as_secs(),
                verdict(*goal, longest)
            );
        }
        println!();
    }
}

/// The worst one counts.
fn verdict(goal: Goal, longest: Duration) -> &'static str {
    if longest <= goal.aim {
        "ok"
    } else if longest <= goal.must {
        "aim missed"
    } else {
        "missed"
    }
}

/// The nearest rank, of sorted times.
fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent).div_ceil(100).max(1) - 1]
}
