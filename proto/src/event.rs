//! Facts about a run, numbered and signed for by the instance that saw them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{Digest, Name, PeerId, RunId};
use crate::matcher::Mismatch;
use crate::order::{FaultReport, NameTerm, StepKey};
use crate::sync::{Ask, MemberAsked};

/// One fact, as an agent reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub run: RunId,
    /// From 1, without gaps, for each instance and run.
    pub seq: u64,
    /// Wall clock of the instance, milliseconds since 1970; for display only.
    pub at_ms: u64,
    pub fact: Fact,
}

/// Events of one instance in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventBatch {
    pub instance: PeerId,
    pub events: Vec<Event>,
}

// `f64` inside: equality is good enough for tests and duplicates.
impl Eq for EventBatch {}

/// What can happen at an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// This agent offered a connection to another agent.
    LinkOffered {
        to: Name,
    },
    /// This agent acknowledged a connection that another agent offered: signed hello done.
    LinkAcknowledged {
        from: Name,
    },
    /// A link between agents stopped working, and why.
    LinkSuspect {
        peer: Name,
        reason: String,
    },
    StepStarted {
        key: StepKey,
    },
    StepEnded {
        key: StepKey,
        result: StepResult,
    },
    StubCalled(StubCall),
    FaultBegan {
        fault: String,
    },
    FaultEnded(FaultReport),
    /// Bytes this agent's links carried since the run began.
    LinkBytes {
        sent: BTreeMap<Name, u64>,
        received: BTreeMap<Name, u64>,
    },
    /// So many events could not be kept.
    Gap {
        lost: u64,
    },
    /// A stub was called so many times more than its journal holds; those calls were counted and not told one by one.
    StubCallsUntold {
        stub: String,
        calls: u64,
    },
    /// What the service's processes use, now and again.
    Sampled(Usage),
    /// The last sample of the run.
    Used(Usage),
    /// A stub was called and could not do as its plan says, or was asked for what the plan cannot have meant.
    StubErred {
        call: StubCall,
        error: StubError,
    },
    /// What a step's program printed while it runs, some lines at a time, and not all of it when it is much.
    Printed {
        key: StepKey,
        pipe: Pipe,
        text: String,
    },
    /// Somebody outside of the run had a stub forget its calls.
    StubPurged {
        stub: String,
        by: Name,
    },
    /// A person has something done here, beside the run. Told before it is done.
    Asked {
        by: Name,
        /// The person's own number for it.
        id: String,
        /// As it was written.
        line: String,
    },
    /// What came of it.
    Answered {
        by: Name,
        id: String,
        outcome: Outcome,
        duration_ms: f64,
    },
    /// A person said something.
    Told {
        by: Name,
        text: String,
    },
    /// No step begins here until there is space again. What runs goes on, and its end is told.
    Stalled {
        why: String,
    },
    /// Steps begin again.
    GoesOn {
        /// Since it stalled.
        after_ms: f64,
    },
    /// A person holds the run, or lets it go on.
    Steered {
        by: Name,
        /// The person's own number for it: whoever told several agents told it once.
        number: u64,
        how: Steering,
        /// Steps that were ordered before their turn and begin only when they are ordered anew.
        given_back: Vec<StepKey>,
    },
    /// What the agent itself has used since it started, told at the run's end.
    AgentUsed(Usage),
    /// A program of the service asks something of the run. The number is never used again here.
    ProgramAsked {
        number: u64,
        ask: Ask,
    },
    /// All of a file is here that the run has for this agent.
    FileHeld {
        /// Its path as the plan has it.
        name: String,
        digest: Digest,
        bytes: u64,
        /// What came from where; the rest was here before.
        from_orchestrator: u64,
        from: BTreeMap<Name, u64>,
        /// Chunks that came and were not what they should be.
        damaged: u32,
    },
    /// Programs of members that share this agent ask something of the run, in this order. What came in the same moment is one event.
    ProgramsAsked {
        asked: Vec<MemberAsked>,
    },
    /// From here on what is on this agent's disk is on those of these instances, which stand by, before anything follows from it. Where
    /// that is one fewer than before, nothing follows from anything until the journal has this.
    Mirrored {
        /// At which this instance holds the name.
        term: NameTerm,
        by: Vec<PeerId>,
    },
}

/// What a person wants of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Steering {
    /// No step begins; what runs goes on to its end.
    Pause,
    /// One step begins, and no other behind it.
    Step,
    Resume,
}

/// Why a stub did not do as its plan says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StubError {
    /// Something that the reply is made from is not there, or does not fit.
    NoReply,
    /// It cannot look at such a call, so whether a route takes it stays open.
    Unsupported,
    /// A service wants to reach a host that the plan does not name.
    UnknownHost,
    /// The function that answers for it panicked.
    Panicked,
}

/// Where a program prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pipe {
    Stdout,
    Stderr,
}

impl Pipe {
    /// As plans write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What the processes of a service use together, and used at most in any sample since they were started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub samples: u64,
    /// Processor time since they were started.
    pub cpu_ms: u64,
    /// In memory, shared pages counted for each process.
    pub memory_bytes: u64,
    pub memory_most_bytes: u64,
    /// Open files, sockets and the like.
    pub descriptors: u64,
    pub descriptors_most: u64,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    pub outcome: Outcome,
    pub duration_ms: f64,
    /// Attempts made under `eventually`, at least 1.
    pub tries: u32,
    /// Values saved, as JSON texts.
    pub saved: BTreeMap<String, String>,
    /// What the agent saw: the exchange, log lines; of what passed only what each phase took.
    pub evidence: Vec<Evidence>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Ok,
    /// Some checks did not hold.
    Failed(Vec<CheckFailure>),
    /// The exchange failed in a way that the plan did not ask for: refused, timeout, status from 400 up.
    CallFailed {
        message: String,
    },
    /// It may have happened or not.
    Unknown {
        message: String,
    },
    /// The agent could not do it.
    Error {
        message: String,
    },
}

impl Outcome {
    /// The same, its texts changed. Where a mismatch was stays: it stands in the plan.
    #[must_use]
    pub fn with_texts(self, change: impl Fn(String) -> String) -> Self {
        match self {
            Self::Ok => Self::Ok,
            Self::Failed(failures) => {
                Self::Failed(failures.into_iter().map(|failure| failure.with_texts(&change)).collect())
            }
            Self::CallFailed { message } => Self::CallFailed { message: change(message) },
            Self::Unknown { message } => Self::Unknown { message: change(message) },
            Self::Error { message } => Self::Error { message: change(message) },
        }
    }
}

/// A check that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFailure {
    /// Index into the order's checks.
    pub check: u32,
    pub mismatch: Mismatch,
}

impl CheckFailure {
    /// The same, its texts changed.
    #[must_use]
    pub fn with_texts(self, change: impl Fn(String) -> String) -> Self {
        let Mismatch { at, expected, actual } = self.mismatch;
        Self { mismatch: Mismatch { at, expected: change(expected), actual: change(actual) }, ..self }
    }
}

/// Something to read beside a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// `request`, `response`, `log ledger.audit`.
    pub title: String,
    pub text: String,
}

impl Evidence {
    /// The title of what a load came to, in one line.
    pub const LOAD: &'static str = "load";
}

/// A call that a stub answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StubCall {
    pub stub: String,
    /// `None`: no route matched.
    pub route: Option<String>,
    /// Number of the call on its route, from 1.
    pub number: u64,
    pub request: String,
    pub status: u16,
    /// From request to reply.
    pub took_ms: f64,
    /// Whether the plan says that such a call fails the test.
    pub unexpected: bool,
}
