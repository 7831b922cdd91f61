//! What an agent remembers of a run beside what it has to tell, as its outbox's file has it.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_proto::event::{Event, Fact, Outcome, StubCall};
use meshproof_proto::id::{PeerId, Term};
use meshproof_proto::memory::Extent;
use meshproof_proto::order::network::Wanted;
use meshproof_proto::order::{NameTerm, ReceiveOrder, RecordStreamId, StepKey, StubChange};
use meshproof_proto::sync::Ask;

use super::Entry;
use crate::limits;
use crate::logs::Mark;
use crate::records::Answers;

/// What an instance leaves to the one that comes after it.
#[derive(Debug, Default)]
pub struct Left {
    /// What it remembers for orchestrators, and whom it has promised the run.
    pub memory: Extent,
    pub promised: Option<(Term, PeerId)>,
    /// The last one that the name was held at; none: the first.
    pub term: Option<NameTerm>,
    pub steps: BTreeMap<StepKey, Course>,
    pub tests: BTreeSet<String>,
    /// From where watches look at logs.
    pub marks: BTreeMap<StepKey, Mark>,
    /// What befell each stub since it began anew.
    pub stubs: BTreeMap<String, Vec<StubPast>>,
    /// Streams of records that are applied here, and what is known of those that are sent from here.
    pub receives: BTreeMap<RecordStreamId, ReceiveOrder>,
    pub sends: BTreeMap<StepKey, Answers>,
    /// What the service's program wanted last of the data network, in the test that goes on.
    pub network: Option<Box<Wanted>>,
    /// Faults whose end nobody has told, and until when they may disturb, in milliseconds since 1970.
    pub leases: BTreeMap<String, u64>,
    /// Who had all of this too when that was told last, and at which term.
    pub mirrored: Option<(NameTerm, Vec<PeerId>)>,
}

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It began, and nobody knows how it ended, or whether.
    Begun,
    EndedWell,
    EndedBadly,
}

/// Something that befell a stub.
#[derive(Clone, Debug, PartialEq)]
pub enum StubPast {
    Called(StubCall),
    Changed(StubChange),
    /// So many calls more, on whichever routes.
    Untold(u64),
}

impl Left {
    pub(super) fn learn(&mut self, entry: &Entry) {
        match entry {
            Entry::Begun { .. } | Entry::Acknowledged(_) | Entry::Damaged => {}
            Entry::Event(Event { fact, .. }) => self.learn_fact(fact),
            Entry::Held { term, .. } => self.term = Some(*term),
            Entry::TestBegan { test, begin_anew } => {
                self.tests.insert(test.clone());
                self.network = None;
                begin_anew.iter().for_each(|stub| drop(self.stubs.remove(stub)));
            }
            Entry::Watching { key, mark } => drop(self.marks.insert(key.clone(), mark.clone())),
            Entry::Promised { term, to } => self.promised = Some((*term, *to)),
            Entry::Piece { number, piece } => self.memory = Extent { term: piece.term, pieces: *number },
            Entry::Receives(order) => self.receive(order),
            Entry::RecordsAnswered { key, answered } => self.sends.entry(key.clone()).or_default().add(answered),
            Entry::Leased { fault, until_ms } => drop(self.leases.insert(fault.clone(), *until_ms)),
            Entry::StubChanged { stub, change: StubChange::Purge } => drop(self.stubs.remove(stub)),
            Entry::StubChanged { stub, change } => self.stub(stub).push(StubPast::Changed(change.clone())),
        }
    }

    fn learn_fact(&mut self, fact: &Fact) {
        match fact {
            Fact::StepStarted { key } => drop(self.steps.insert(key.clone(), Course::Begun)),
            Fact::StepEnded { key, result } => {
                let course = if result.outcome == Outcome::Ok { Course::EndedWell } else { Course::EndedBadly };
                self.steps.insert(key.clone(), course);
                self.marks.remove(key);
                self.sends.remove(key);
            }
            Fact::StubCalled(call) | Fact::StubErred { call, .. } => {
                self.stub(&call.stub).push(StubPast::Called(call.clone()));
            }
            Fact::StubCallsUntold { stub, calls } => self.stub(stub).push(StubPast::Untold(*calls)),
            Fact::StubPurged { stub, .. } => drop(self.stubs.remove(stub)),
            Fact::FaultEnded(report) => drop(self.leases.remove(&report.fault)),
            Fact::ProgramAsked { ask: Ask::Network { wanted, .. }, .. } => self.network = Some(wanted.clone()),
            Fact::Mirrored { term, by } => self.mirrored = Some((*term, by.clone())),
            Fact::LinkOffered { .. }
            | Fact::LinkAcknowledged { .. }
            | Fact::LinkSuspect { .. }
            | Fact::FaultBegan { .. }
            | Fact::LinkBytes { .. }
            | Fact::Gap { .. }
            | Fact::Sampled(_)
            | Fact::Used(_)
            | Fact::Printed { .. }
            | Fact::Asked { .. }
            | Fact::Answered { .. }
            | Fact::Told { .. }
            | Fact::Stalled { .. }
            | Fact::GoesOn { .. }
            | Fact::Steered { .. }
            | Fact::AgentUsed(_)
            | Fact::FileHeld { .. }
            | Fact::ProgramAsked { .. }
            // members that share an agent are on no data network
            | Fact::ProgramsAsked { .. } => {}
        }
    }

    /// Those that are long over make room: senders that still run are few.
    fn receive(&mut self, order: &ReceiveOrder) {
        self.receives.insert(order.stream, order.clone());
        if self.receives.len() > limits::RECORD_STREAMS {
            self.receives.pop_first();
        }
    }

    fn stub(&mut self, stub: &str) -> &mut Vec<StubPast> {
        self.stubs.entry(stub.to_owned()).or_default()
    }
}
