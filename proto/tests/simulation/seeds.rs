//! Runs many seeds on every core.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sim::{self, Failed};

/// What a range of seeds came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub passed: u64,
    pub events: u64,
    /// How long each seed's world took to heal.
    pub healed: Vec<Duration>,
    /// The lowest seed that was seen to fail.
    pub failed: Option<Failed>,
}

/// Runs these seeds until one fails; `progress` hears of every thousandth.
pub fn all(seeds: Range<u64>, progress: impl Fn(u64) + Sync) -> Outcome {
    let next = AtomicU64::new(seeds.start);
    let outcome = Mutex::new(Outcome::default());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(&next, &seeds, (&outcome, &progress)));
        }
    });
    outcome.into_inner().expect("a worker that panics ends the scope first")
}

fn work(next: &AtomicU64, seeds: &Range<u64>, (outcome, progress): (&Mutex<Outcome>, &(impl Fn(u64) + Sync))) {
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
                outcome.events += passed.events;
                outcome.healed.push(passed.healed);
            }
            Err(failed) => {
                if outcome.failed.as_ref().is_none_or(|before| failed.seed < before.seed) {
                    outcome.failed = Some(failed);
                }
                next.fetch_max(seeds.end, Ordering::Relaxed);
            }
        }
        if (seed + 1).is_multiple_of(1000) {
            progress(seed + 1);
        }
    }
}
