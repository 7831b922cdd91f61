//! What stands in the file of an outbox, and what it says to whoever comes after the instance that wrote it. Pure.

use std::collections::VecDeque;
use std::io::{self, Read};

use meshproof_proto::codec::{Codec, CodecError};
use meshproof_proto::event::Event;
use meshproof_proto::id::{PeerId, RunId, Term};
use meshproof_proto::memory::Piece;
use meshproof_proto::order::{NameTerm, ReceiveOrder, StepKey, StubChange};
use serde::{Deserialize, Serialize};

use super::left::Left;
use super::records::{Chain, Next, Reader, Tail};
use crate::logs::Mark;
use crate::records::Answers;

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// The first one: whose numbering this is, and of which run.
    Begun { origin: PeerId, run: RunId },
    /// Something happened, and nobody has heard of it before this stood here.
    Event(Event),
    /// The orchestrator's journal has every event up to this number.
    Acknowledged(u64),
    /// This instance took the name over.
    Held { instance: PeerId, term: NameTerm },
    /// A test begins, and with it these stubs as if nobody had called them.
    TestBegan { test: String, begin_anew: Vec<String> },
    /// A watch sees everything behind this place.
    Watching { key: StepKey, mark: Mark },
    /// A stub answers otherwise, or has forgotten its calls.
    StubChanged { stub: String, change: StubChange },
    /// Whom this name obeys from that term on.
    Promised { term: Term, to: PeerId },
    /// A piece of what the orchestrator remembers; those of this number and higher ones that stood here before do not count any more.
    Piece { number: u64, piece: Piece },
    /// Records stood here that were damaged, and were cut off: what they said is not known.
    Damaged,
    /// Records are to be applied here, whose sender may open their stream again.
    Receives(Box<ReceiveOrder>),
    /// More records of a stream were answered.
    RecordsAnswered { key: StepKey, answered: Box<Answers> },
    /// A fault may disturb until then, in milliseconds since 1970: by this clock, as no other one goes on without the process.
    Leased { fault: String, until_ms: u64 },
}

/// What a file says.
#[derive(Debug)]
pub struct Recovered {
    pub origin: PeerId,
    pub run: RunId,
    /// What is not known to be in the orchestrator's journal, in order.
    pub unacked: VecDeque<Event>,
    /// The number before the first of those.
    pub acked: u64,
    /// Whether something may be missing behind the last of them: records that do not fit their check sums.
    pub damaged: bool,
    /// What else is worth knowing.
    pub left: Left,
    /// Where the good records end, and the chain goes on.
    pub(super) end: (u64, Chain),
}

impl Recovered {
    /// Reads a file to its end, or to where it is damaged. `None`: not even its beginning is there.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(from: impl Read) -> io::Result<Option<Self>> {
        let Some(mut reader) = Reader::new(from)? else { return Ok(None) };
        let begun = match reader.next()? {
            Next::Record(bytes) => decode(&bytes).ok(),
            Next::End(_) => None,
        };
        let Some(Entry::Begun { origin, run }) = begun else { return Ok(None) };
        let end = reader.end();
        let mut recovered =
            Self { origin, run, unacked: VecDeque::new(), acked: 0, damaged: false, left: Left::default(), end };
        loop {
            match reader.next()? {
                Next::Record(bytes) if recovered.takes(&bytes) => recovered.end = reader.end(),
                Next::End(Tail::Clean | Tail::Torn) => return Ok(Some(recovered)),
                Next::Record(_) | Next::End(Tail::Damaged) => {
                    recovered.damaged = true;
                    return Ok(Some(recovered));
                }
            }
        }
    }

    /// The last number that was given.
    pub fn last(&self) -> u64 {
        self.acked + self.unacked.len() as u64
    }

    /// Whether the record makes sense behind those before it.
    fn takes(&mut self, bytes: &[u8]) -> bool {
        let Ok(entry) = decode(bytes) else { return false };
        let fits = match &entry {
            Entry::Begun { .. } => false,
            Entry::Event(event) => event.seq == self.last() + 1 && event.run == self.run,
            Entry::Acknowledged(through) => *through <= self.last(),
            Entry::Piece { number, .. } => (1..=self.left.memory.pieces + 1).contains(number),
            Entry::Held { .. }
            | Entry::TestBegan { .. }
            | Entry::Watching { .. }
            | Entry::StubChanged { .. }
            | Entry::Promised { .. }
            | Entry::Receives(_)
            | Entry::RecordsAnswered { .. }
            | Entry::Leased { .. }
            | Entry::Damaged => true,
        };
        if fits {
            self.left.learn(&entry);
            self.take(entry);
        }
        fits
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Event(event) => self.unacked.push_back(event),
            Entry::Acknowledged(through) => {
                while self.acked < through {
                    self.unacked.pop_front();
                    self.acked += 1;
                }
            }
            Entry::Damaged => self.damaged = true,
            Entry::Begun { .. }
            | Entry::Held { .. }
            | Entry::TestBegan { .. }
            | Entry::Watching { .. }
            | Entry::StubChanged { .. }
            | Entry::Promised { .. }
            | Entry::Receives(_)
            | Entry::RecordsAnswered { .. }
            | Entry::Leased { .. }
            | Entry::Piece { .. } => {}
        }
    }
}

pub(super) fn encode(entry: &Entry) -> Result<Vec<u8>, CodecError> {
    Codec::Bincode.encode(entry)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Entry, CodecError> {
    Codec::Bincode.decode(bytes)
}
