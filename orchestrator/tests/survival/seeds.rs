//! Runs many seeds on every core.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sim::{self, Failed};

/// What a range of seeds came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub passed: u64,
    pub takeovers: u64,
    pub refused: u64,
    /// The lowest seed that was seen to fail.
    pub failed: Option<Failed>,
}

/// Runs these seeds until one fails.
pub fn all(seeds: Range<u64>) -> Outcome {
    let next = AtomicU64::new(seeds.start);
    let outcome = Mutex::new(Outcome::default());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(&next, &seeds, &outcome));
        }
    });
    outcome.into_inner().expect("a worker that panics ends the scope first")
}

fn work(next: &AtomicU64, seeds: &Range<u64>, outcome: &Mutex<Outcome>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end {
            return;
        }
        let result = sim::run(seed);
        let mut outcome = outcome.lock().expect("nothing panics while it is held");
        match result {
            Ok(passed) => {
                outcome.passed += 1;
                outcome.takeovers += passed.takeovers;
                outcome.refused += passed.refused;
            }
            Err(failed) => {
                if outcome.failed.as_ref().is_none_or(|before| failed.seed < before.seed) {
                    outcome.failed = Some(failed);
                }
                next.fetch_max(seeds.end, Ordering::Relaxed);
            }
        }
    }
}
