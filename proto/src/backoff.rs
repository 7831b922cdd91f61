//! Waiting longer after each failure, with full jitter so that many peers do not return at once.

use std::time::Duration;

use crate::limits;
use crate::seed::Seed;

/// Waits between attempts: uniform in the upper half of a window that doubles from `first` to `longest`.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    seed: Seed,
}

impl Backoff {
    /// Waits with these bounds.
    pub fn between(first: Duration, longest: Duration, seed: Seed) -> Self {
        Self { first, longest, failures: 0, seed }
    }

    /// The waits of a link: [`limits::RETRY_FIRST`] to [`limits::RETRY_LONGEST`].
    pub fn of_links(seed: Seed) -> Self {
        Self::between(limits::RETRY_FIRST, limits::RETRY_LONGEST, seed)
    }

    /// The waits after a refusal: [`limits::REFUSED_RETRY_FIRST`] to [`limits::REFUSED_RETRY_LONGEST`].
    pub fn of_refusals(seed: Seed) -> Self {
        Self::between(limits::REFUSED_RETRY_FIRST, limits::REFUSED_RETRY_LONGEST, seed)
    }

    /// The wait after one more failure.
    pub fn after_failure(&mut self) -> Duration {
        let window = self.first.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        window.mul_f64(0.5 + self.seed.unit() / 2.0)
    }

    /// It worked; the next failure begins anew.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_begin_anew_after_success() {
        let mut backoff = Backoff::of_links(Seed::new(1));
        let waits: Vec<_> = (0..10).map(|_| backoff.after_failure()).collect();
        assert!(waits[0] <= limits::RETRY_FIRST);
        assert!(waits.iter().all(|wait| *wait <= limits::RETRY_LONGEST));
        assert!(waits[9] >= limits::RETRY_LONGEST / 2);
        backoff.reset();
        assert!(backoff.after_failure() <= limits::RETRY_FIRST);
    }
}
