//! What a link carries, measured by the agents at its two ends.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::PeerId;
use crate::links::LinkPath;

/// Asks an agent to measure its link to another one: round trips first, then bytes one way, then the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchOrder {
    pub to: PeerId,
    pub pings: u32,
    /// Of sending, each way.
    pub duration_ms: u64,
}

/// What was measured so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchReport {
    pub stage: BenchStage,
    pub path: Option<LinkPath>,
    pub pings: Option<Pings>,
    /// From the agent that was asked to the other one, counted by the other one.
    pub sent: Flow,
    pub received: Flow,
}

/// How far a bench is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BenchStage {
    /// The link, or its bulk connection, is being made.
    Linking,
    Pinging,
    Sending,
    Receiving,
    Done,
    Failed {
        reason: String,
    },
}

/// Round trips between the two agents' tasks, over a byte stream of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pings {
    pub count: u32,
    pub min_us: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

/// Bytes that arrived at the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    pub bytes: u64,
    /// From the first byte's leaving to the last one's arrival.
    pub elapsed_us: u64,
    /// Bytes of each full second.
    pub seconds: Vec<u64>,
}

impl BenchReport {
    pub fn new() -> Self {
        let (sent, received) = (Flow::default(), Flow::default());
        Self { stage: BenchStage::Linking, path: None, pings: None, sent, received }
    }
}

impl Default for BenchReport {
    fn default() -> Self {
        Self::new()
    }
}

impl Pings {
    /// Of round trips in microseconds; `None` without any.
    pub fn of(mut trips_us: Vec<u64>) -> Option<Self> {
        trips_us.sort_unstable();
        let at = |percent: usize| trips_us.get((trips_us.len() * percent / 100).min(trips_us.len().saturating_sub(1)));
        Some(Self {
            count: u32::try_from(trips_us.len()).unwrap_or(u32::MAX),
            min_us: *at(0)?,
            p50_us: *at(50)?,
            p99_us: *at(99)?,
            max_us: *at(100)?,
        })
    }
}

impl Flow {
    /// So many bytes had arrived after so long.
    pub fn arrived(&mut self, total: u64, elapsed: Duration) {
        self.passed(elapsed);
        self.bytes = total;
        self.elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    }

    /// Time passes whether bytes arrive or not.
    pub fn passed(&mut self, elapsed: Duration) {
        while (self.seconds.len() as u64) < elapsed.as_secs() {
            let before: u64 = self.seconds.iter().sum();
            self.seconds.push(self.bytes.saturating_sub(before));
        }
    }

    /// `None` before anything arrived.
    pub fn bytes_per_s(&self) -> Option<f64> {
        (self.elapsed_us > 0).then(|| self.bytes as f64 / self.elapsed_us as f64 * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seconds_of_a_flow_add_up_also_where_nothing_arrived() {
        let mut flow = Flow::default();
        flow.arrived(10, Duration::from_millis(900));
        flow.arrived(15, Duration::from_millis(1_100));
        flow.passed(Duration::from_millis(3_050));
        flow.arrived(40, Duration::from_millis(3_900));
        flow.passed(Duration::from_secs(4));
        assert_eq!(flow.seconds, [10, 5, 0, 25]);
        assert_eq!((flow.bytes, flow.elapsed_us), (40, 3_900_000));
    }

    #[test]
    fn pings_are_told_by_rank() {
        assert_eq!(Pings::of(Vec::new()), None);
        let pings = Pings::of((1..=100).rev().collect()).expect("there are some");
        assert_eq!((pings.count, pings.min_us, pings.p50_us, pings.p99_us, pings.max_us), (100, 1, 51, 100, 100));
        let one = Pings::of(vec![7]).expect("there is one");
        assert_eq!((one.min_us, one.p50_us, one.p99_us, one.max_us), (7, 7, 7, 7));
    }
}
