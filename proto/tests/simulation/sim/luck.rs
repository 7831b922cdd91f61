//! Luck for the simulation: one seed decides everything.

use std::time::Duration;

use crate::seed::Seed;

#[derive(Debug)]
pub struct Luck(Seed);

impl Luck {
    pub fn new(seed: u64) -> Self {
        let mut mixed = Seed::new(seed);
        Self(Seed::new(mixed.next_u64()))
    }

    /// A seed for something that has its own luck.
    pub fn seed(&mut self) -> Seed {
        Seed::new(self.0.next_u64())
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    pub fn index(&mut self, bound: usize) -> usize {
        self.0.below(bound as u64) as usize
    }

    /// True in so many of a thousand cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.0.below(1000) < per_mille
    }

    /// A time between two numbers of milliseconds, to the microsecond.
    pub fn ms(&mut self, from: u64, upto: u64) -> Duration {
        Duration::from_micros(from * 1000 + self.0.below((upto.max(from) - from) * 1000 + 1))
    }
}
