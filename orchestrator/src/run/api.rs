//! What goes into the machine and what comes out.

use std::collections::BTreeMap;
use std::time::Duration;

use meshproof_proto::event::{Evidence, Fact};
use meshproof_proto::id::Name;
use meshproof_proto::order::{Authority, Bounds, FaultOrder, FaultReport, ReceiveOrder, StepKey, StepOrder, Turn};
use meshproof_proto::sync::Answer;
use meshproof_proto::verdict::{Exit, Verdict};
use serde::{Deserialize, Serialize};

use crate::plan::Span;
use crate::plan::model::{Artefact, StopSignal};
use crate::plan::orders::{Addresses, RecordsFiles};
use crate::record::Happening;

/// What is known before anything is made ready.
#[derive(Clone, Debug)]
pub struct Setup {
    pub authority: Authority,
    pub seed: u64,
    /// The plan's folder, absolute.
    pub plan_dir: String,
    pub flaky: Flaky,
    pub first_failure: FirstFailure,
}

/// What a test comes to whose repetitions do not all come to the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub enum Flaky {
    /// It has passed, and nothing is said.
    Pass,
    /// It has passed, and that is said.
    Warn,
    /// It has failed.
    #[default]
    Fail,
}

/// What follows from the first test that does not pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FirstFailure {
    #[default]
    GoOn,
    /// No other test begins.
    Stop,
}

/// What is known once every agent is initialized.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Every service's place.
    pub places: BTreeMap<Name, Place>,
    /// `host:port` of every port as each agent reaches it: `Tunnel { at: shop, to: shop.http }` is shop's own port,
    /// `Tunnel { at: shop, to: ledger.tcp }` the listener of shop's agent. Own ports may be left out: `places` has them.
    pub addresses: Addresses,
    /// Stub name to the `host:port` it listens on.
    pub stubs: BTreeMap<String, String>,
    /// The texts behind what steps and services only name: certificates, keys, files beside the plan.
    pub held: BTreeMap<String, String>,
    /// Files that are too long to be among those.
    pub files: RecordsFiles,
    /// Of each service, log name to the `host:port` of its endpoint.
    pub endpoints: BTreeMap<Name, BTreeMap<String, String>>,
    /// The API that the programs of each service find at its agent.
    pub apis: BTreeMap<Name, String>,
    /// The addresses of services on the data network; none: there is no such network.
    pub hosts: BTreeMap<Name, String>,
}

/// Where a service is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its working directory.
    pub dir: String,
    /// Port name to `host:port`.
    pub ports: BTreeMap<String, String>,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Input {
    /// The environment is ready: agents joined, initialized, none of the services started.
    #[serde(skip)]
    Begin(Box<Setting>),
    /// The environment could not be made, or broke as a whole; and where the plan asks for what could not be had.
    Broken {
        what: String,
        at: Option<Span>,
        evidence: Vec<Evidence>,
    },
    ServiceStarted {
        service: Name,
    },
    ServiceNotStarted {
        service: Name,
        reason: String,
    },
    /// It ended, and nobody had asked it to; how (`exit code 101`), and its last words.
    ServiceEnded {
        service: Name,
        how: String,
        evidence: Vec<Evidence>,
    },
    /// An agent's event, the first time it is seen and after the journal has it.
    Fact {
        agent: Name,
        fact: Fact,
    },
    /// The agent's stubs start anew for this test.
    TestBegun {
        agent: Name,
        test: String,
    },
    /// The agent did not begin the test, or could not be asked.
    TestRefused {
        agent: Name,
        test: String,
        reason: String,
    },
    /// An agent did not take an order, or could not be asked.
    StepRefused {
        key: StepKey,
        reason: String,
    },
    /// The agent answered `begin_fault`. `serial` is the order's.
    FaultActive {
        agent: Name,
        fault: String,
        serial: u64,
    },
    FaultRefused {
        agent: Name,
        fault: String,
        serial: u64,
        reason: String,
    },
    /// The agent answered `heal_fault`. Beside the event [`Fact::FaultEnded`]: whichever is first counts.
    FaultHealed {
        agent: Name,
        serial: u64,
        report: FaultReport,
    },
    /// It did not know the fault, or could not be asked; the event may still come.
    HealRefused {
        agent: Name,
        serial: u64,
        reason: String,
    },
    /// A process of a service left by itself, with its code, or 128 and the signal's number. `ServiceEnded` came just before, so
    /// that it is told as such by then.
    ServiceLeft {
        service: Name,
        code: i32,
    },
    /// What was to be done to processes is done, or not, and why.
    ProcessesChanged {
        key: StepKey,
        result: Result<(), String>,
    },
    /// A person said that it goes on; `Err`: there is none.
    Resumed {
        key: StepKey,
        result: Result<(), String>,
    },
    /// `Err` says what went wrong.
    Collected {
        key: StepKey,
        files: Result<Vec<String>, String>,
    },
    /// The agent is gone, and another instance of it is waited for: `AgentBack` or `AgentLost` follows.
    AgentDown {
        agent: Name,
        how: String,
    },
    /// Another instance has taken its place, after everything that the one before had told was handled here.
    AgentBack {
        agent: Name,
    },
    /// The agent is gone for good.
    AgentLost {
        agent: Name,
        reason: String,
    },
    /// The orchestrator had no space for its journal and did nothing for so long.
    StoodStill {
        lasted_ms: u64,
    },
    Abort(Abort),
    /// Everything that was started has ended; what did not end as it should.
    TornDown {
        problems: Vec<Problem>,
    },
    /// Everything in a zone was killed, these services with it; or why not.
    ZoneKilled {
        key: StepKey,
        zone: String,
        services: Vec<Name>,
        result: Result<(), String>,
    },
}

/// What went wrong at the end: [`Verdict::Fail`] for what was under test, [`Verdict::Error`] for the environment.
pub type Problem = (Verdict, String);

/// Who wants the run to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Abort {
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// `--deadline` has passed.
    Deadline,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Into the journal, then to whoever shows it.
    Record(Happening),
    /// Start a service; answered by `ServiceStarted` or `ServiceNotStarted`.
    Launch(Box<Launch>),
    /// `Agent::begin_test`; answered by `TestBegun` or `TestRefused`.
    BeginTest { agent: Name, test: String },
    /// `Agent::start`, or `Agent::start_in_turn` beside a step of another agent; a refusal is answered, the result comes as a fact.
    Order { agent: Name, order: Box<StepOrder>, turn: Turn },
    /// `Agent::start_again`; as `Order`.
    OrderAgain { agent: Name, order: Box<StepOrder> },
    /// `Agent::receive` at those that have a part and, once all have answered, `Agent::start` at the one that acts.
    Together(Box<OrdersTogether>),
    /// `Agent::cancel`; the step may still end in any way, or never.
    Cancel { agent: Name, key: StepKey },
    /// `Agent::begin_fault`; answered by `FaultActive` or `FaultRefused`.
    BeginFault { agent: Name, serial: u64, order: Box<FaultOrder> },
    /// `Agent::begin_fault` again, in time, or `Agent::begin_fault_again` at another instance; no answer is waited for.
    RenewFault { agent: Name, order: Box<FaultOrder>, of: Lease },
    /// `Agent::heal_fault`; answered by `FaultHealed` or `HealRefused`.
    HealFault { agent: Name, serial: u64, fault: String },
    /// Answered by `ProcessesChanged`.
    Change { key: StepKey, service: Name, what: ProcessOrder },
    /// Kill every agent in a zone, and the services beside those that act; answered by `ZoneKilled`.
    KillZone { key: StepKey, zone: String },
    /// Wait for a person; answered by `Resumed`.
    Pause { key: StepKey, text: String },
    /// Keep these; answered by `Collected`.
    Collect { key: StepKey, artefacts: Vec<Artefact> },
    /// `Agent::answer_programs`, after those that were given before to this agent; no answer is waited for.
    Answer { agent: Name, answers: Vec<Answer> },
    /// End everything that was started: agents finish, services, agents, signaling; answered by `TornDown`.
    TearDown,
    /// Nothing comes after this.
    Finished { verdict: Verdict, exit: Exit },
}

/// Whose lease goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// That of the instance that has begun the fault: the whole time again.
    Same,
    /// That of an instance before: what is left of it.
    Former,
}

/// A service to start, every expression resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub service: Name,
    /// Working directory, to be made.
    pub dir: String,
    /// One command line a process; none: it runs already.
    pub processes: Vec<Vec<String>>,
    pub env: Vec<(String, String)>,
    /// Path in the working directory, and content.
    pub files: Vec<(String, LaunchFile)>,
    pub stop_signal: StopSignal,
    pub stop_grace: Duration,
    pub limits: Bounds,
}

impl Output {
    /// Of a step that has to do with no other agent.
    pub(super) fn order(agent: Name, order: StepOrder) -> Self {
        Self::Order { agent, order: Box::new(order), turn: Turn::default() }
    }
}

/// What is done to a service's processes.
#[derive(Clone, Debug, PartialEq)]
pub enum ProcessOrder {
    Kill,
    /// The agent beside the service, which another instance follows.
    KillAgent,
    /// Again: its lease is renewed.
    Freeze {
        lease_ms: u64,
    },
    Thaw,
    /// Ends them and starts them anew.
    Restart(Box<Launch>),
}

/// What stands in a file of a service's working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchFile {
    Text(String),
    /// A copy of this file, relative to the plan's folder.
    CopyOf(String),
}

/// A step of several agents: a stream of records, or a load.
#[derive(Clone, Debug, PartialEq)]
pub struct OrdersTogether {
    pub parts: Vec<(Name, ReceiveOrder)>,
    pub leader: Name,
    pub order: StepOrder,
    /// An instance of the leader that is gone may have begun it.
    pub again: bool,
}
