//! The facts of a run until the orchestrator's journal has them.
//!
//! Pure: facts go in, batches come out, acknowledgements take facts away. A connection may lose batches and acknowledgements
//! that are on their way, but only when it is replaced; [`Outbox::rewind`] then sends again what is not acknowledged. So
//! every fact arrives at least once and in order, and its number makes it count exactly once.
//!
//! A fact is told once it is written ([`Outbox::written`]): what an instance said is on its disk, and whoever comes after it goes on with
//! what is not acknowledged, under the same numbers.

mod entry;
mod file;
mod kept;
mod left;
mod mirror;
mod mirrors;
mod recall;
mod records;
mod tail;

pub use entry::{Entry, Recovered};
pub use file::{OutboxFile, Store};
pub use kept::{KeptOutbox, Safe};
pub use left::{Course, Left, StubPast};
pub use mirror::{MirrorFile, Original};
pub use tail::Tail;

use std::collections::VecDeque;

use meshproof_proto::codec::Codec;
use meshproof_proto::event::{Event, EventBatch, Fact, Outcome};
use meshproof_proto::id::{PeerId, RunId};
use meshproof_proto::limits::{EVENT_BATCH_BYTES, EVENTS_PER_BATCH, OUTBOX_EVENTS};

use crate::limits;

/// The facts that one agent saw of one run.
#[derive(Debug)]
pub struct Outbox {
    /// The instance that began the numbering.
    origin: PeerId,
    run: RunId,
    /// Everything that is not acknowledged, in order; the front has the number `acked + 1`.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    acked: u64,
    /// The last number that is on disk, or need not be.
    written: u64,
    /// The last number that may be told, as far as other disks are concerned that are to have it.
    tellable: u64,
    /// The last number that is on its way.
    sent: u64,
    on_the_way: VecDeque<OnTheWay>,
    lost: Option<Lost>,
}

/// A batch that was sent and not acknowledged.
#[derive(Debug)]
struct OnTheWay {
    /// Its last number.
    last: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    event: Event,
    bytes: usize,
}

/// Facts that found no room.
#[derive(Debug)]
struct Lost {
    count: u64,
    at_ms: u64,
}

impl Outbox {
    pub fn new(origin: PeerId, run: RunId) -> Self {
        Self {
            origin,
            run,
            kept: VecDeque::new(),
            kept_bytes: 0,
            acked: 0,
            written: 0,
            tellable: u64::MAX,
            sent: 0,
            on_the_way: VecDeque::new(),
            lost: None,
        }
    }

    /// Goes on where an instance before this one has stopped.
    pub fn recovered(Recovered { origin, run, unacked, acked, .. }: Recovered) -> Self {
        let mut outbox = Self { acked, written: acked, sent: acked, ..Self::new(origin, run) };
        for event in unacked {
            outbox.keep(event);
        }
        outbox.written = outbox.last();
        outbox
    }

    /// The instance that began the numbering: batches carry its name, whoever sends them.
    pub fn origin(&self) -> PeerId {
        self.origin
    }

    /// What is not on disk, in order.
    pub fn unwritten(&self) -> impl Iterator<Item = &Event> {
        let first = usize::try_from(self.written - self.acked).unwrap_or(usize::MAX);
        self.kept.iter().skip(first).map(|kept| &kept.event)
    }

    /// Everything up to this number is on disk, and may be told.
    pub fn written(&mut self, through: u64) {
        self.written = self.written.max(through.min(self.last()));
    }

    /// Nothing beyond this number is told yet.
    fn tellable(&mut self, through: u64) {
        self.tellable = through;
    }

    /// Keeps a fact and gives its number; `None` when not even the reserve has room: then a gap will tell how many were lost.
    pub fn push(&mut self, fact: Fact, at_ms: u64) -> Option<u64> {
        if self.lost.is_some() || !self.is_below(limits::OUTBOX_RESERVE) {
            let lost = self.lost.get_or_insert(Lost { count: 0, at_ms });
            lost.count += 1;
            return None;
        }
        Some(self.append(fact, at_ms))
    }

    /// Whether new work may begin. Work that runs has a reserve for its end.
    pub fn has_room(&self) -> bool {
        self.lost.is_none() && self.is_below(1)
    }

    fn is_below(&self, times: usize) -> bool {
        self.kept.len() < OUTBOX_EVENTS * times && self.kept_bytes < limits::OUTBOX_BYTES * times
    }

    fn append(&mut self, fact: Fact, at_ms: u64) -> u64 {
        let seq = self.last() + 1;
        self.keep(Event { run: self.run.clone(), seq, at_ms, fact });
        seq
    }

    fn keep(&mut self, event: Event) {
        let (event, bytes) = fitting(event);
        self.kept_bytes += bytes;
        self.kept.push_back(Kept { event, bytes });
    }

    /// The next batch for the orchestrator, of what is written, while it is not too far behind.
    pub fn poll_batch(&mut self) -> Option<EventBatch> {
        let on_the_way: usize = self.on_the_way.iter().map(|batch| batch.bytes).sum();
        if self.on_the_way.len() >= limits::BATCHES_ON_THE_WAY || on_the_way >= limits::BATCH_BYTES_ON_THE_WAY {
            return None;
        }
        let first = usize::try_from(self.sent - self.acked).ok()?;
        let mut bytes = 0;
        let mut events = Vec::new();
        let told = self.written.min(self.tellable).saturating_sub(self.sent);
        let told = usize::try_from(told).ok()?.min(EVENTS_PER_BATCH);
        for kept in self.kept.iter().skip(first).take(told) {
            if bytes + kept.bytes > EVENT_BATCH_BYTES && !events.is_empty() {
                break;
            }
            bytes += kept.bytes;
            events.push(kept.event.clone());
        }
        if events.is_empty() {
            return None;
        }
        self.sent += events.len() as u64;
        self.on_the_way.push_back(OnTheWay { last: self.sent, bytes });
        Some(EventBatch { instance: self.origin, events })
    }

    /// Every fact up to and including this number is in the journal. Numbers that were never sent are not believed.
    pub fn ack(&mut self, through: u64) {
        if through > self.sent {
            return;
        }
        while self.acked < through {
            let Some(kept) = self.kept.pop_front() else { break };
            self.kept_bytes -= kept.bytes;
            self.acked += 1;
        }
        while self.on_the_way.front().is_some_and(|batch| batch.last <= through) {
            self.on_the_way.pop_front();
        }
        if self.is_below(1)
            && let Some(lost) = self.lost.take()
        {
            self.append(Fact::Gap { lost: lost.count }, lost.at_ms);
        }
    }

    /// A new connection: what is not acknowledged goes again.
    pub fn rewind(&mut self) {
        self.sent = self.acked;
        self.on_the_way.clear();
    }

    /// Whether everything is on its way.
    pub fn is_all_sent(&self) -> bool {
        self.sent == self.last()
    }

    /// Facts that the orchestrator has not acknowledged.
    pub fn unacked(&self) -> u64 {
        self.kept.len() as u64
    }

    fn last(&self) -> u64 {
        self.acked + self.kept.len() as u64
    }
}

/// The event and its size. One that would not fit a message loses its longest texts first: a result that cannot be told is
/// worse than one without its evidence.
fn fitting(mut event: Event) -> (Event, usize) {
    let size = |event: &Event| Codec::Bincode.encode(event).map_or(usize::MAX, |bytes| bytes.len());
    let bytes = size(&event);
    if bytes <= EVENT_BATCH_BYTES {
        return (event, bytes);
    }
    if let Fact::StepEnded { result, .. } = &mut event.fact {
        result.evidence.clear();
    }
    if size(&event) > EVENT_BATCH_BYTES
        && let Fact::StepEnded { result, .. } = &mut event.fact
    {
        let message = format!("the step's result has {bytes} bytes, at most {EVENT_BATCH_BYTES} can be told");
        result.outcome = Outcome::Error { message };
        result.saved.clear();
    }
    let bytes = size(&event);
    if bytes <= EVENT_BATCH_BYTES {
        return (event, bytes);
    }
    event.fact = Fact::Gap { lost: 1 };
    let bytes = size(&event);
    (event, bytes)
}

#[cfg(test)]
mod tests;
