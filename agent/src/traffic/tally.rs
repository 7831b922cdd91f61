//! What a fault did, counted where it did it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshproof_proto::order::FaultReport;
use meshproof_proto::shaper::Shape;

use super::Traveller;
use crate::limits;

/// Counts of one fault, over both directions.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    traffic: Seen,
    probes: Seen,
}

/// What came and what went on while the fault was active.
#[derive(Clone, Debug, Default)]
struct Seen {
    connections: BTreeSet<u64>,
    chunks: u64,
    bytes: u64,
    chunks_passed: u64,
    bytes_passed: u64,
    latencies: Duration,
    line_longest: Duration,
}

impl Tally {
    pub(super) fn entered(&self, who: Traveller, bytes: usize) {
        let mut counts = self.lock();
        let seen = counts.of(who);
        if let Traveller::Connection(number) = who
            && seen.connections.len() < limits::CONNECTIONS_COUNTED
        {
            seen.connections.insert(number);
        }
        seen.chunks += 1;
        seen.bytes += bytes as u64;
    }

    pub(super) fn passed(&self, who: Traveller, bytes: usize, (line, latency): (Duration, Duration)) {
        let mut counts = self.lock();
        let seen = counts.of(who);
        seen.chunks_passed += 1;
        seen.bytes_passed += bytes as u64;
        seen.latencies += latency;
        seen.line_longest = seen.line_longest.max(line);
    }

    /// Whether the services sent anything that was disturbed.
    pub fn has_traffic(&self) -> bool {
        self.lock().traffic.chunks > 0
    }

    /// Whether nothing came at all, not even a probe.
    pub fn is_empty(&self) -> bool {
        let counts = self.lock();
        counts.traffic.chunks == 0 && counts.probes.chunks == 0
    }

    /// Whether there is something to report on.
    pub fn is_measured(&self, shape: &Shape) -> bool {
        let counts = self.lock();
        let seen = counts.judged();
        if shape.is_black_hole() { seen.chunks > 0 } else { seen.chunks_passed > 0 }
    }

    /// What was asked for and what was measured: on the services' traffic, or on probes when the services were silent.
    pub fn report(&self, fault: &str, shape: &Shape) -> FaultReport {
        let counts = self.lock();
        let seen = counts.judged();
        let (measured, deviation_percent) = seen.measured(shape);
        FaultReport {
            fault: fault.to_owned(),
            asked: shape.to_string(),
            measured,
            deviation_percent,
            effective: *shape != Shape::default() && seen.effective(shape),
            healed: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// The services' traffic, or the probes when there was none.
    fn judged(&self) -> &Seen {
        if self.traffic.chunks > 0 { &self.traffic } else { &self.probes }
    }

    fn of(&mut self, who: Traveller) -> &mut Seen {
        match who {
            Traveller::Connection(_) => &mut self.traffic,
            Traveller::Probe => &mut self.probes,
        }
    }
}

impl Seen {
    fn effective(&self, shape: &Shape) -> bool {
        if shape.is_black_hole() { self.chunks > self.chunks_passed } else { self.chunks > 0 }
    }

    /// For people, and how far it is from what was asked for.
    fn measured(&self, shape: &Shape) -> (String, Option<f64>) {
        if self.chunks == 0 {
            return (String::new(), None);
        }
        if shape.is_black_hole() {
            let held = self.chunks - self.chunks_passed;
            let loss = 100.0 * held as f64 / self.chunks as f64;
            let bytes = match self.bytes - self.bytes_passed {
                // Held while they opened or closed; their services' bytes are not even read before they are open.
                0 => " held".to_owned(),
                held => format!(", {held} B held"),
            };
            let measured = format!("loss {loss:.0}% ({}{bytes}, {} B passed)", self.travellers(), self.bytes_passed);
            return (measured, Some(100.0 - loss));
        }
        let (mut parts, mut deviation) = (Vec::new(), None);
        if self.chunks_passed == 0 {
            parts.push("nothing passed before the end".to_owned());
        } else if shape.latency_us > 0 || shape.jitter_us > 0 {
            let mean = self.latencies.as_secs_f64() / self.chunks_passed as f64;
            parts.push(format!("latency {:.0}ms", mean * 1_000.0));
            let asked = Duration::from_micros(shape.latency_us).as_secs_f64();
            deviation = (asked > 0.0).then(|| 100.0 * (mean - asked).abs() / asked);
        }
        if shape.bandwidth_bits_per_s.is_some() {
            parts.push(format!("{} B passed, waiting up to {:.0?}", self.bytes_passed, self.line_longest));
        }
        (format!("{} ({}, {} chunks)", parts.join(", "), self.travellers(), self.chunks_passed), deviation)
    }

    fn travellers(&self) -> String {
        match self.connections.len() {
            0 => "probes only".to_owned(),
            1 => "1 connection".to_owned(),
            many => format!("{many} connections"),
        }
    }
}
