//! What a fault did, counted where it did it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use meshproof_proto::order::FaultReport;
use meshproof_proto::shaper::{Onward, Shape};

use super::Traveller;
use super::measured::{Crossed, Gone, Line, Seen};
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
    /// What each gate let through, whoever sent it: all share its line.
    lines: BTreeMap<u64, Line>,
}

impl Tally {
    pub(super) fn entered(&self, who: Traveller, bytes: usize) {
        let mut counts = self.lock();
        let seen = counts.of(who);
        seen.chunks += 1;
        seen.bytes += bytes as u64;
    }

    /// A chunk went on through that gate.
    pub(super) fn passed(&self, who: Traveller, gone: Gone, (gate, at): (u64, Instant)) {
        let mut counts = self.lock();
        let seen = counts.of(who);
        seen.chunks_passed += 1;
        seen.bytes_passed += gone.bytes as u64;
        seen.largest = seen.largest.max(gone.bytes as u64);
        seen.latencies += gone.latency;
        seen.line_longest = seen.line_longest.max(gone.line);
        counts.lines.entry(gate).or_default().passed(gone.waited.then_some(gone.bytes), at);
    }

    /// The end of a stream went on, so much later than it came.
    pub(super) fn closed(&self, who: Traveller, later: Duration) {
        let mut counts = self.lock();
        let seen = counts.of(who);
        seen.ends += 1;
        seen.ends_later += later;
    }

    /// A connection was refused.
    pub(super) fn refused(&self, who: Traveller) {
        self.lock().of(who).refused += 1;
    }

    /// A connection was taken while all are to be refused.
    pub(super) fn let_in(&self, who: Traveller) {
        self.lock().of(who).let_in += 1;
    }

    /// A connection was reset that was open under the fault for so long; both of its directions may say so.
    pub(super) fn was_reset(&self, who: Traveller, lived: Duration) {
        let mut counts = self.lock();
        let seen = counts.of(who);
        match who {
            Traveller::Connection(number) if seen.reset.len() < limits::CONNECTIONS_COUNTED => {
                if seen.reset.insert(number) {
                    seen.lived += lived;
                }
            }
            Traveller::Connection(_) => {}
            // Each is a connection of its own, and only its way out or its way back meets the reset.
            Traveller::Probe => {
                seen.reset.insert(seen.reset.len() as u64);
                seen.lived += lived;
            }
        }
    }

    /// A fault that does not strike all requests struck this one.
    pub(super) fn singled_out(&self, who: Traveller) {
        self.lock().of(who).singled += 1;
    }

    /// It let this one through.
    pub(super) fn spared(&self, who: Traveller) {
        self.lock().of(who).spared += 1;
    }

    /// A request came.
    pub(super) fn request(&self, who: Traveller) {
        self.lock().of(who).requests += 1;
    }

    /// It is answered on the way.
    pub(super) fn answered(&self, who: Traveller) {
        self.lock().of(who).answered += 1;
    }

    /// A datagram came, of which there are these copies from here on; gives its number.
    pub(super) fn datagram(&self, who: Traveller, copies: &[Onward]) -> u64 {
        self.lock().of(who).datagrams.came(copies)
    }

    /// A copy of it went on through that gate.
    pub(super) fn datagram_passed(&self, who: Traveller, crossed: Crossed, (gate, at): (u64, Instant)) {
        let mut counts = self.lock();
        counts.of(who).datagrams.passed(crossed);
        if !crossed.held_back {
            counts.lines.entry(gate).or_default().passed(crossed.waited.then_some(crossed.bytes), at);
        }
    }

    /// Whether the services sent anything that was disturbed.
    pub fn has_traffic(&self) -> bool {
        !self.lock().traffic.is_empty()
    }

    /// Whether nothing came at all, not even a probe.
    pub fn is_empty(&self) -> bool {
        let counts = self.lock();
        counts.traffic.is_empty() && counts.probes.is_empty()
    }

    /// Whether there is something to report on.
    pub fn is_measured(&self, shape: &Shape) -> bool {
        self.lock().judged(shape).is_measured(shape)
    }

    /// What was asked for and what was measured: on the services' traffic, or on probes when the services were silent.
    pub fn report(&self, fault: &str, shape: &Shape) -> FaultReport {
        let counts = self.lock();
        let seen = counts.judged(shape);
        let (measured, deviation_percent) = seen.measured(shape, Line::of(counts.lines.values()));
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
    /// The services' traffic, of which alone are requests; or the probes, when there was none, or none of the kind that the fault strikes: connections may stay
    /// open while others would be refused.
    fn judged(&self, shape: &Shape) -> &Seen {
        if shape.only.is_some() {
            return &self.traffic;
        }
        let strikes_some = shape.is_for_connections() || shape.is_for_datagrams();
        let spared = strikes_some && !self.traffic.effective(shape) && self.probes.effective(shape);
        if self.traffic.is_empty() || spared { &self.probes } else { &self.traffic }
    }

    fn of(&mut self, who: Traveller) -> &mut Seen {
        match who {
            Traveller::Connection(number) => {
                if self.traffic.connections.len() < limits::CONNECTIONS_COUNTED {
                    self.traffic.connections.insert(number);
                }
                &mut self.traffic
            }
            Traveller::Probe => &mut self.probes,
        }
    }
}
