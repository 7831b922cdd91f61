//! One kind of connection of a link: its machine, its carriers, its attempt.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshproof_proto::id::{Digest, Generation, PeerId};
use meshproof_proto::link::Machine;
use meshproof_proto::seed::Seed;

use crate::carrier::Carrier;
use crate::rtc::Connection;

/// One kind of connection.
#[derive(Debug)]
pub(super) struct Track {
    pub machine: Machine,
    /// Our offer that waits for its answer.
    pub offered: Option<Offered>,
    pub carriers: BTreeMap<Generation, Carrier>,
    beat: Beats,
}

#[derive(Debug)]
pub(super) struct Offered {
    pub generation: Generation,
    pub digest: Digest,
    pub connection: Connection,
}

#[derive(Debug, Default)]
struct Beats {
    number: u64,
    sent_at: Option<Instant>,
}

impl Track {
    pub(super) fn new(me: &PeerId, peer: &PeerId, seed: Seed) -> Self {
        Self { machine: Machine::new(me, peer, seed), offered: None, carriers: BTreeMap::new(), beat: Beats::default() }
    }

    /// The number of the next beat, whose answer tells the round trip.
    pub(super) fn next_beat(&mut self, now: Instant) -> u64 {
        self.beat.number += 1;
        self.beat.sent_at = Some(now);
        self.beat.number
    }

    /// The round trip, when this is the answer to the last beat.
    pub(super) fn answered(&mut self, number: u64, now: Instant) -> Option<Duration> {
        let sent_at = self.beat.sent_at.filter(|_| number == self.beat.number)?;
        Some(now.saturating_duration_since(sent_at))
    }
}
