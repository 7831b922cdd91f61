//! How often something may happen: a number of times at once, and from then on so many a second. Pure.
//!
//! What is over it is not refused but late, by how much is the answer. So a crowd that starts together is spread out, and a
//! flood goes on at the pace of its allowance.

use std::time::{Duration, Instant};

/// So many at once, and so many a second from then on.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub at_once: u32,
    pub per_second: u32,
}

/// What somebody has left of a [`Rate`].
#[derive(Debug)]
pub struct Allowance {
    rate: Rate,
    /// When nothing of it will be missing.
    whole_at: Instant,
}

impl Allowance {
    /// All of it is there.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, whole_at: now }
    }

    /// Takes so many, and tells how long they have to wait for their turn.
    pub fn take(&mut self, many: u32, now: Instant) -> Duration {
        let whole_at = self.whole_at.max(now) + self.time_of(many);
        self.whole_at = whole_at;
        whole_at.saturating_duration_since(now + self.time_of(self.rate.at_once))
    }

    /// Takes one, unless its turn is later than that.
    pub fn take_within(&mut self, longest: Duration, now: Instant) -> Option<Duration> {
        let before = self.whole_at;
        let wait = self.take(1, now);
        if wait > longest {
            self.whole_at = before;
            return None;
        }
        Some(wait)
    }

    /// Takes one, if there is one left now.
    pub fn take_now(&mut self, now: Instant) -> bool {
        self.take_within(Duration::ZERO, now).is_some()
    }

    /// Whether nothing is missing, so that a new one would be no other.
    pub fn is_whole(&self, now: Instant) -> bool {
        self.whole_at <= now
    }

    fn time_of(&self, many: u32) -> Duration {
        Duration::from_secs(1) * many / self.rate.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { at_once: 4, per_second: 10 };
    const TURN: Duration = Duration::from_millis(100);

    #[test]
    fn so_many_go_at_once_and_the_rest_one_turn_after_the_other() {
        let now = Instant::now();
        let mut allowance = Allowance::new(RATE, now);
        let waits: Vec<_> = (0..7).map(|_| allowance.take(1, now)).collect();
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 3].map(|turns| TURN * turns));
        assert_eq!(allowance.take(2, now), TURN * 5, "two take two turns");
        assert_eq!(allowance.take(1, now + TURN * 6), Duration::ZERO, "which pass with time");
    }

    #[test]
    fn time_brings_back_no_more_than_there_was() {
        let now = Instant::now();
        let mut allowance = Allowance::new(RATE, now);
        allowance.take(4, now);
        assert!(!allowance.is_whole(now));
        let later = now + Duration::from_secs(3_600);
        assert!(allowance.is_whole(later));
        let waits: Vec<_> = (0..5).map(|_| allowance.take(1, later)).collect();
        assert_eq!(waits, [0, 0, 0, 0, 1].map(|turns| TURN * turns));
    }

    #[test]
    fn who_would_wait_too_long_takes_nothing() {
        let now = Instant::now();
        let mut allowance = Allowance::new(RATE, now);
        let waits: Vec<_> = (0..100).filter_map(|_| allowance.take_within(TURN * 2, now)).collect();
        assert_eq!(waits, [0, 0, 0, 0, 1, 2].map(|turns| TURN * turns));
        assert_eq!(allowance.take_within(TURN * 2, now + TURN), Some(TURN * 2));
    }
}
