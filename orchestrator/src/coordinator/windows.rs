//! How far ahead of its acknowledgements an agent's events may be, and who went further.
//!
//! An agent sends so many batches ahead and then waits, so events that nobody had time to acknowledge come from one that floods.
//! Everybody else's events come in turns with its own; this is for what it would do to the journal, its disk and this process.
//!
//! One that keeps to all that and still sends without a pause has its share of each sync of the journal: what is more waits for the
//! next one, so that nobody's event waits for a disk that is busy with somebody else's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use meshproof_proto::event::EventBatch;
use meshproof_proto::id::{PeerId, RunId};
use meshproof_proto::limits::{BATCH_BYTES_ON_THE_WAY, BATCHES_ON_THE_WAY, EVENTS_PER_BATCH, MESSAGE_BYTES};
use thiserror::Error;

/// What one may send between two acknowledgements: what it may have on the way, and the same again after each of a few connections
/// that broke in the meantime.
const BETWEEN_ACKNOWLEDGEMENTS: usize = 4 * BATCHES_ON_THE_WAY;

/// Bytes of it, each time with the batch that went over the limit.
const BYTES_BETWEEN_ACKNOWLEDGEMENTS: usize = 4 * (BATCH_BYTES_ON_THE_WAY + MESSAGE_BYTES);

/// The last number that may be on its way, counted from the acknowledged one.
const NUMBERS_AHEAD: u64 = (BATCHES_ON_THE_WAY * EVENTS_PER_BATCH) as u64;

/// Lines that an agent gets into one sync of the journal, and bytes of its batches: 25,000 events a second, which this process writes in
/// a quarter of its time, and what a disk takes as fast as a single line.
const LINES_A_SYNC: usize = 512;
const BYTES_A_SYNC: usize = 128 * 1024;

/// An agent whose window is open waits so long for each agent that there is: a hundred that each tell a little would have five thousand
/// acknowledgements a second otherwise, and up to twenty wait for the journal only.
const ACKNOWLEDGED_EVERY: Duration = Duration::from_millis(1);

/// A window that is filled so far is no longer open: this share of what may be on the way.
const OPEN_BELOW: usize = 4;

/// What an agent does that no honest one can.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum Flood {
    #[error("it floods: a batch of {0} events came, {EVENTS_PER_BATCH} are the most")]
    Large(usize),
    #[error(
        "it floods: event {number} came before {acknowledged} was acknowledged, {NUMBERS_AHEAD} ahead are the most"
    )]
    Ahead { number: u64, acknowledged: u64 },
    #[error("it floods: {0} batches of events and new streams came between two acknowledgements")]
    Many(usize),
    #[error(
        "it floods: {0} bytes of events came between two acknowledgements, {BYTES_BETWEEN_ACKNOWLEDGEMENTS} are the most"
    )]
    Heavy(usize),
}

/// Everybody's windows.
#[derive(Debug, Default)]
pub(super) struct Windows {
    of: BTreeMap<PeerId, Window>,
    closed: BTreeSet<PeerId>,
    /// What each had written since the last sync.
    shares: BTreeMap<PeerId, Share>,
}

#[derive(Debug, Default)]
struct Share {
    lines: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Window {
    /// What the agent was told last.
    acknowledged: u64,
    /// And when; none: never.
    at: Option<Instant>,
    /// What came since.
    came: usize,
    bytes: usize,
}

impl Windows {
    /// A batch came. Events of other runs have numbers of their own.
    ///
    /// # Errors
    /// It is more than its sender may send.
    pub(super) fn batch(&mut self, (batch, bytes): (&EventBatch, usize), run: &RunId) -> Result<(), Flood> {
        if batch.events.len() > EVENTS_PER_BATCH {
            return Err(Flood::Large(batch.events.len()));
        }
        let window = self.of.entry(batch.instance).or_default();
        let acknowledged = window.acknowledged;
        window.bytes += bytes;
        if window.bytes > BYTES_BETWEEN_ACKNOWLEDGEMENTS {
            return Err(Flood::Heavy(window.bytes));
        }
        let ours = batch.events.iter().filter(|event| event.run == *run);
        let last = ours.map(|event| event.seq).max().unwrap_or_default();
        if last > acknowledged.saturating_add(NUMBERS_AHEAD) {
            return Err(Flood::Ahead { number: last, acknowledged });
        }
        self.something(batch.instance)
    }

    /// Something came that is to be paid for like a batch.
    ///
    /// # Errors
    /// There was too much of it.
    pub(super) fn something(&mut self, from: PeerId) -> Result<(), Flood> {
        let window = self.of.entry(from).or_default();
        window.came += 1;
        if window.came > BETWEEN_ACKNOWLEDGEMENTS { Err(Flood::Many(window.came)) } else { Ok(()) }
    }

    /// So many new lines were written of a batch of so many bytes; whether the agent has now had its share of this sync.
    pub(super) fn wrote(&mut self, instance: PeerId, (lines, bytes): (usize, usize)) -> bool {
        if lines == 0 {
            // no sync follows, so nothing may wait for one
            return false;
        }
        let share = self.shares.entry(instance).or_default();
        share.lines += lines;
        share.bytes += bytes;
        share.lines >= LINES_A_SYNC || share.bytes >= BYTES_A_SYNC
    }

    /// The journal was synced.
    pub(super) fn synced(&mut self) {
        self.shares.clear();
    }

    /// It is told that everything up to this number is in the journal.
    pub(super) fn acknowledge(&mut self, instance: PeerId, (through, now): (u64, Instant)) {
        self.of.insert(instance, Window { acknowledged: through, at: Some(now), came: 0, bytes: 0 });
    }

    /// Whether it was told so a moment ago, and has room for what it tells until it is told again.
    pub(super) fn may_wait(&self, instance: &PeerId, now: Instant) -> bool {
        let every = ACKNOWLEDGED_EVERY * u32::try_from(self.of.len()).unwrap_or(u32::MAX);
        self.of.get(instance).is_some_and(|window| {
            window.at.is_some_and(|at| now < at + every)
                && window.came < BATCHES_ON_THE_WAY / OPEN_BELOW
                && window.bytes < BATCH_BYTES_ON_THE_WAY / OPEN_BELOW
        })
    }

    /// Nothing of it is taken from now on.
    pub(super) fn close(&mut self, instance: PeerId) {
        self.of.remove(&instance);
        self.closed.insert(instance);
    }

    pub(super) fn is_closed(&self, instance: &PeerId) -> bool {
        self.closed.contains(instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshproof_proto::event::{Event, Fact};

    const AGENT: PeerId = PeerId([1; 32]);

    fn run() -> RunId {
        RunId("r".to_owned())
    }

    fn batch(numbers: impl IntoIterator<Item = u64>) -> EventBatch {
        let event = |seq| Event { run: run(), seq, at_ms: 0, fact: Fact::Gap { lost: 0 } };
        EventBatch { instance: AGENT, events: numbers.into_iter().map(event).collect() }
    }

    #[test]
    fn an_agent_that_waits_for_its_acknowledgements_may_go_on_for_ever() {
        let mut windows = Windows::default();
        let full = EVENTS_PER_BATCH as u64;
        for round in 0..100 {
            let begin = round * NUMBERS_AHEAD;
            for ahead in 0..BATCHES_ON_THE_WAY as u64 {
                let first = begin + ahead * full + 1;
                assert_eq!(windows.batch((&batch(first..first + full), 2_000), &run()), Ok(()));
            }
            windows.acknowledge(AGENT, (begin + NUMBERS_AHEAD, Instant::now()));
        }
    }

    #[test]
    fn what_was_on_the_way_may_come_again_after_a_few_broken_connections() {
        let mut windows = Windows::default();
        for _ in 0..4 {
            for number in 1..=BATCHES_ON_THE_WAY as u64 {
                assert_eq!(windows.batch((&batch([number]), 2_000), &run()), Ok(()));
            }
        }
        assert_eq!(windows.batch((&batch([1]), 100), &run()), Err(Flood::Many(1025)), "and not for ever");
    }

    #[test]
    fn what_no_honest_agent_sends_is_a_flood() {
        let mut windows = Windows::default();
        windows.acknowledge(AGENT, (100, Instant::now()));
        assert_eq!(windows.batch((&batch([16_484]), 100), &run()), Ok(()));
        assert_eq!(
            windows.batch((&batch([16_485]), 100), &run()),
            Err(Flood::Ahead { number: 16_485, acknowledged: 100 })
        );
        assert_eq!(
            windows.batch((&batch([u64::MAX]), 100), &run()),
            Err(Flood::Ahead { number: u64::MAX, acknowledged: 100 })
        );
        assert_eq!(windows.batch((&batch(101..166), 100), &run()), Err(Flood::Large(65)));
        assert_eq!(windows.batch((&batch([16_485]), 100), &RunId("another".to_owned())), Ok(()));
    }

    #[test]
    fn as_many_bytes_as_may_be_on_the_way_come_a_few_times_and_no_more() {
        let mut windows = Windows::default();
        let mut came = 0;
        let flood = loop {
            match windows.batch((&batch([1]), MESSAGE_BYTES), &run()) {
                Ok(()) => came += MESSAGE_BYTES,
                Err(flood) => break flood,
            }
        };
        assert!(came >= 4 * BATCH_BYTES_ON_THE_WAY, "{came} bytes are honest");
        assert_eq!(flood, Flood::Heavy(came + MESSAGE_BYTES));
        let mut windows = Windows::default();
        for round in 1..100 {
            assert_eq!(windows.batch((&batch([round]), BATCH_BYTES_ON_THE_WAY), &run()), Ok(()));
            windows.acknowledge(AGENT, (round, Instant::now()));
        }
    }

    #[test]
    fn each_has_a_share_of_a_sync_and_what_was_there_before_costs_none_of_it() {
        let mut windows = Windows::default();
        let other = PeerId([2; 32]);
        for _ in 1..LINES_A_SYNC {
            assert!(!windows.wrote(AGENT, (1, 100)));
        }
        assert!(windows.wrote(AGENT, (1, 100)), "that was the last line");
        assert!(!windows.wrote(AGENT, (0, 100)), "nothing was written, so no sync would come");
        assert!(!windows.wrote(other, (1, BYTES_A_SYNC - 1)) && windows.wrote(other, (1, 1)), "bytes count too");
        windows.synced();
        assert!(!windows.wrote(AGENT, (1, 100)) && !windows.wrote(other, (1, 100)));
    }

    #[test]
    fn who_was_told_a_moment_ago_waits_unless_its_window_fills() {
        let (mut windows, now) = (Windows::default(), Instant::now());
        assert!(!windows.may_wait(&AGENT, now), "it was never told");
        windows.acknowledge(AGENT, (1, now));
        assert!(windows.may_wait(&AGENT, now) && !windows.may_wait(&AGENT, now + ACKNOWLEDGED_EVERY));
        for _ in 0..BATCHES_ON_THE_WAY / OPEN_BELOW {
            assert!(windows.may_wait(&AGENT, now));
            assert_eq!(windows.batch((&batch([2]), 100), &run()), Ok(()));
        }
        assert!(!windows.may_wait(&AGENT, now), "it would soon wait itself");
        windows.acknowledge(AGENT, (2, now));
        assert_eq!(windows.batch((&batch([3]), BATCH_BYTES_ON_THE_WAY / OPEN_BELOW), &run()), Ok(()));
        assert!(!windows.may_wait(&AGENT, now), "bytes count too");
    }

    #[test]
    fn each_has_a_window_of_its_own_and_one_that_is_closed_stays_so() {
        let mut windows = Windows::default();
        let other = PeerId([2; 32]);
        while windows.something(AGENT).is_ok() {}
        windows.close(AGENT);
        assert_eq!(windows.something(other), Ok(()));
        windows.acknowledge(AGENT, (5, Instant::now()));
        assert!(windows.is_closed(&AGENT) && !windows.is_closed(&other));
    }
}
