//! The connections of a link, each with its machine, its carriers, its attempt.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::id::{Digest, Generation, PeerId};
use meshproof_proto::limits;
use meshproof_proto::link::{Machine, Output};
use meshproof_proto::signal::{ConnectionKind, Route, SignalBody};

use crate::carrier::Carrier;
use crate::context::Context;
use crate::limits::{BEATS_REMEMBERED, BEATS_SURE};
use crate::rtc::Connection;

/// All of a link's connections. Bulk ones come when they are first spoken of.
pub(super) struct Tracks {
    context: Arc<Context>,
    peer: PeerId,
    pub control: Track,
    bulk: Vec<Track>,
}

impl Tracks {
    pub(super) fn new(context: &Arc<Context>, peer: PeerId) -> Self {
        let control = Track::new(context, &peer);
        Self { context: Arc::clone(context), peer, control, bulk: Vec::new() }
    }

    /// The track of that connection; `None` for a number that no link has.
    pub(super) fn get(&mut self, kind: ConnectionKind) -> Option<&mut Track> {
        match kind {
            ConnectionKind::Control => Some(&mut self.control),
            ConnectionKind::Bulk(stripe) if stripe < limits::STRIPES => {
                while self.bulk.len() <= usize::from(stripe) {
                    self.bulk.push(Track::new(&self.context, &self.peer));
                }
                self.bulk.get_mut(usize::from(stripe))
            }
            ConnectionKind::Bulk(_) => None,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionKind, &Track)> {
        let bulk = (0..).map(ConnectionKind::Bulk).zip(&self.bulk);
        std::iter::once((ConnectionKind::Control, &self.control)).chain(bulk)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ConnectionKind, &mut Track)> {
        let bulk = (0..).map(ConnectionKind::Bulk).zip(&mut self.bulk);
        std::iter::once((ConnectionKind::Control, &mut self.control)).chain(bulk)
    }

    /// What one of the machines wants done.
    pub(super) fn poll_output(&mut self) -> Option<(ConnectionKind, Output)> {
        self.iter_mut().find_map(|(kind, track)| Some((kind, track.machine.poll_output()?)))
    }
}

/// One kind of connection.
#[derive(Debug)]
pub(super) struct Track {
    pub machine: Machine,
    /// Our offer that waits for its answer.
    pub offered: Option<Offered>,
    pub carriers: BTreeMap<Generation, Carrier>,
    pub making: Making,
    /// The last description that was sent. It goes again when signaling is back: it may have been lost with it.
    pub said: Option<(Generation, SignalBody)>,
    /// The signaling server that carried the last relayed offer, which the relay is at.
    pub relay: Option<usize>,
    pub beats: Beats,
}

/// Descriptions under way. One is made at a time, so that a peer that asks often costs no more than one that asks once.
#[derive(Debug, Default)]
pub(super) struct Making {
    pub busy: bool,
    /// The newest that was wanted meanwhile.
    pub next: Option<Wanted>,
}

/// A description that is to be made: an offer, or the answer to one.
#[derive(Debug)]
pub(super) struct Wanted {
    pub generation: Generation,
    pub route: Route,
    pub offer: Option<String>,
}

#[derive(Debug)]
pub(super) struct Offered {
    pub generation: Generation,
    pub digest: Digest,
    pub connection: Connection,
}

impl Track {
    fn new(context: &Context, peer: &PeerId) -> Self {
        Self {
            machine: Machine::new(&context.me, peer, context.seed()),
            offered: None,
            carriers: BTreeMap::new(),
            making: Making::default(),
            said: None,
            relay: None,
            beats: Beats::default(),
        }
    }
}

/// The beats that may still be answered. An answer to an older one says nothing of now, and one that was never sent is a lie.
#[derive(Debug, Default)]
pub(super) struct Beats {
    number: u64,
    sent: VecDeque<(u64, Instant)>,
    /// The quickest answer since the newest generation opened, and how many there were.
    least: Option<Duration>,
    answers: usize,
    /// The quickest before that.
    before: Option<Duration>,
}

impl Beats {
    /// A new generation opened. What was measured of the one before counts until there are enough answers: a path seldom changes when a
    /// connection does, and the first answers come behind everything that has waited.
    pub(super) fn renew(&mut self) {
        self.before = self.path();
        (self.least, self.answers) = (None, 0);
    }

    /// How long the path is, if anything is known.
    pub(super) fn path(&self) -> Option<Duration> {
        match self.answers < BEATS_SURE {
            true => self.least.into_iter().chain(self.before).min(),
            false => self.least,
        }
    }

    /// The number of the next one, whose answer tells the round trip.
    pub(super) fn next(&mut self, now: Instant) -> u64 {
        self.number += 1;
        self.sent.push_back((self.number, now));
        if self.sent.len() > BEATS_REMEMBERED {
            self.sent.pop_front();
        }
        self.number
    }

    /// The round trip of the beat of that number, if it counts.
    pub(super) fn answered(&mut self, number: u64, now: Instant) -> Option<Duration> {
        let (_, sent_at) = self.sent.iter().find(|(sent, _)| *sent == number)?;
        let took = now.saturating_duration_since(*sent_at);
        self.least = Some(self.least.map_or(took, |least| least.min(took)));
        self.answers += 1;
        Some(took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_makes_no_path_longer_and_a_strange_one_does_not_count() {
        let (mut beats, start) = (Beats::default(), Instant::now());
        let quick = beats.next(start);
        assert_eq!(beats.answered(quick, start + Duration::from_millis(1)), Some(Duration::from_millis(1)));
        let late = beats.next(start);
        assert_eq!(beats.answered(late, start + Duration::from_millis(100)), Some(Duration::from_millis(100)));
        assert_eq!(beats.answered(late + 1, start), None, "never sent");
        assert_eq!(beats.path(), Some(Duration::from_millis(1)));
        for _ in 0..BEATS_REMEMBERED {
            beats.next(start);
        }
        assert_eq!(beats.answered(late, start), None, "too old");
    }

    #[test]
    fn a_path_is_not_taken_for_a_longer_one_by_the_first_answers_of_a_new_connection() {
        let (mut beats, start) = (Beats::default(), Instant::now());
        assert_eq!(beats.path(), None);
        let answer = |beats: &mut Beats, ms| {
            let number = beats.next(start);
            beats.answered(number, start + Duration::from_millis(ms));
            beats.path()
        };
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(answer(&mut beats, 50), ms(50), "the very first is all that is known");
        assert_eq!(answer(&mut beats, 1), ms(1));
        beats.renew();
        for _ in 1..BEATS_SURE {
            assert_eq!(answer(&mut beats, 40), ms(1), "it comes behind what has waited");
        }
        beats.renew();
        assert_eq!(beats.path(), ms(1), "so few said nothing");
        for _ in 1..BEATS_SURE {
            answer(&mut beats, 40);
        }
        assert_eq!(answer(&mut beats, 41), ms(40), "now it is another path");
        beats.renew();
        assert_eq!(answer(&mut beats, 60), ms(40));
        assert_eq!(answer(&mut beats, 2), ms(2), "a shorter one shows at once");
    }
}
