//! The typed calls between peers, carried by tarpc over channel 0 of a control connection.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bench::{BenchOrder, BenchReport};
use crate::event::{Steering, StepResult};
use crate::id::{Digest, Name, RunId, Term};
use crate::identity::{Capability, Role};
use crate::labels::Labels;
use crate::links::LinkReport;
use crate::memory::{Copies, Holder, MirrorPart, Promise, Promised, Recall, Recalled, Remember, Standbys};
use crate::order::{
    Adopt, Adopted, Authority, FaultOrder, FaultReport, Initialize, Initialized, NameTerm, ReceiveOrder, Reseat,
    ServicePlace, StepKey, StepOrder, StepOver, Turn,
};
use crate::stub::StubReport;
use crate::sync::Answer;
use crate::version::Version;

/// What every agent does for an orchestrator, and what it tells consoles. No call is long: `start` returns when the step is
/// accepted, results are events. Calls are numbered by their place: new ones come last.
#[tarpc::service]
pub trait Agent {
    /// Takes the setting of a run: binds stubs and tunnels, links to the agents that the tunnels lead to.
    async fn initialize(order: Box<Initialize>) -> Result<Initialized, Refusal>;
    /// A test begins: sequences and counts of stubs start anew, active faults stay. Repeated for the same test it does nothing.
    async fn begin_test(authority: Authority, test: String) -> Result<(), Refusal>;
    /// Starts a step; at most once for each key.
    async fn start(order: Box<StepOrder>) -> Result<(), Refusal>;
    /// Gets ready to apply a stream's records.
    async fn receive(order: Box<ReceiveOrder>) -> Result<(), Refusal>;
    /// Gives up a step that runs.
    async fn cancel(authority: Authority, key: StepKey) -> Result<(), Refusal>;
    /// Begins a fault or renews its lease; answered when it is active.
    async fn begin_fault(order: Box<FaultOrder>) -> Result<(), Refusal>;
    /// Ends a fault, makes sure that it ended, and says what it did.
    async fn heal_fault(authority: Authority, fault: String) -> Result<FaultReport, Refusal>;
    /// What the agent holds.
    async fn status() -> Result<Status, Refusal>;
    /// Ends the run here: steps given up, faults healed, stubs and tunnels closed. Gives the reports of faults that were still active.
    async fn finish(authority: Authority) -> Result<Vec<FaultReport>, Refusal>;
    /// Answers with the same number.
    async fn ping(number: u64) -> u64;
    /// The links it has, as it sees them.
    async fn links() -> Result<Vec<LinkReport>, Refusal>;
    /// What it is.
    async fn about() -> Result<About, Refusal>;
    /// Begins to measure its link to another agent. One bench at a time; it goes on only while its caller asks for its report.
    async fn begin_bench(order: BenchOrder) -> Result<(), Refusal>;
    /// What the caller's bench has measured so far.
    async fn bench() -> Result<BenchReport, Refusal>;
    /// The stubs that it plays: their calls, and whether they answer.
    async fn stubs() -> Result<Vec<StubReport>, Refusal>;
    /// The service's processes were started, each the leader of a group: what they use is sampled from now on.
    async fn observe(authority: Authority, processes: Vec<i32>) -> Result<(), Refusal>;
    /// The stub forgets every call, and its routes are the plan's; from outside of the run, which is told.
    async fn purge_stub(stub: String) -> Result<(), Refusal>;
    /// Takes the name over from an instance that is gone, and goes on with what it left on disk. Its events come again until they are
    /// acknowledged.
    async fn adopt(order: Box<Adopt>) -> Result<Adopted, Refusal>;
    /// Another instance holds that name from now on.
    async fn reseat(order: Reseat) -> Result<(), Refusal>;
    /// As `start`, also when an instance before this one has begun the step and not ended it.
    async fn start_again(order: Box<StepOrder>) -> Result<(), Refusal>;
    /// Does a step beside the run for a person, and answers when it has ended. Before anything is done the run is told who asked for
    /// what: `line` is what the person wrote.
    async fn act(order: Box<StepOrder>, line: String) -> Result<StepResult, Refusal>;
    /// Begins a fault beside the run for a person; the run is told. It ends by itself, or by `mend`.
    async fn disturb(order: Box<FaultOrder>, line: String) -> Result<(), Refusal>;
    /// Ends a fault that a person began. Those of the run are the run's.
    async fn mend(order: MendOrder) -> Result<FaultReport, Refusal>;
    /// The last lines of the service's logs.
    async fn read_log(query: LogQuery) -> Result<LogLines, Refusal>;
    /// A person says something; the run is told.
    async fn say(text: String) -> Result<(), Refusal>;
    /// Obeys the caller at that term from now on, and nobody at a lower one. On disk before it is answered.
    async fn promise(order: Promise) -> Result<Promised, Refusal>;
    /// Keeps these pieces for whoever commands the run next. On disk before it is answered; gives how many there are now.
    async fn remember(order: Box<Remember>) -> Result<u64, Refusal>;
    /// Gives back what it remembers, and every event that it saw, to whom it has promised the run.
    async fn recall(order: Recall) -> Result<Recalled, Refusal>;
    /// Where the service beside it is, as far as its own settings say: for runs that find their services instead of starting them.
    async fn place() -> Result<ServicePlace, Refusal>;
    /// Whom it obeys; nobody, while it takes part in no run.
    async fn holder() -> Result<Option<Holder>, Refusal>;
    /// A person holds the run or lets it go on; the run is told. Steps that were ordered before their turn are given back.
    async fn steer(order: SteerOrder) -> Result<(), Refusal>;
    /// As `start`, of a step beside which there is one of another agent. Refused while that agent is not linked.
    async fn start_in_turn(order: Box<StepOrder>, turn: Turn) -> Result<(), Refusal>;
    /// From agent to agent: the step is over behind which the callee has one.
    async fn step_over(over: StepOver) -> Result<(), Refusal>;
    /// What programs of the service are told that asked something of the run. Told again it does nothing.
    async fn answer_programs(authority: Authority, answers: Vec<Answer>) -> Result<(), Refusal>;
    /// From agent to agent: keep these events of mine. On disk before it is answered; gives the number up to which all are there.
    async fn copy(copies: Box<Copies>) -> Result<u64, Refusal>;
    /// Begins what is left of a fault that an instance before this one had begun, by what that one has written down. One that is active
    /// stays as it is; one whose lease is over has ended.
    async fn begin_fault_again(order: Box<FaultOrder>) -> Result<(), Refusal>;
    /// These instances of the name stand by; others do not any more.
    async fn stand_by(order: Standbys) -> Result<(), Refusal>;
    /// From whoever has the name to an instance that stands by: keep this part of my file. On disk before it is answered; gives up to where
    /// the file is there.
    async fn mirror(part: Box<MirrorPart>) -> Result<u64, Refusal>;
}

/// What people who are in a mesh at the same time tell each other, console to console.
#[tarpc::service]
pub trait Room {
    /// Somebody says or does something.
    async fn hear(news: RoomNews) -> Result<(), Refusal>;
}

/// Something for everybody in the room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomNews {
    Said(String),
    /// A command, and in a line what came of it.
    Did {
        line: String,
        outcome: String,
    },
}

/// End a fault that a person began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MendOrder {
    pub authority: Authority,
    pub fault: String,
    /// What the person wrote.
    pub line: String,
}

/// Hold a run, or let it go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SteerOrder {
    pub authority: Authority,
    pub how: Steering,
    /// Grows with each that this person gives; the same at every agent that is told.
    pub number: u64,
}

/// Which lines of the service's logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogQuery {
    /// `*`: all of them.
    pub log: String,
    /// Only lines that were read in the last so many milliseconds.
    pub since_ms: Option<u64>,
    /// The last so many of each log.
    pub most: u32,
}

/// Lines of logs, without the run's secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLines {
    pub lines: Vec<LogText>,
    /// Lines of these logs that were read and are not here: older, or more than fit.
    pub left_out: u64,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogText {
    pub log: String,
    pub text: String,
}

/// Why an agent did not take an order.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    #[error("the caller's role does not allow {}", deed(.call))]
    Role { call: String },
    #[error("the run's term is {current} here, the order is of term {offered}")]
    OldTerm { offered: u64, current: u64 },
    #[error("the order is of plan {offered:?}, this run is of plan {current:?}")]
    OtherPlan { offered: Digest, current: Digest },
    #[error("no run `{0}` here; initialize it first")]
    NoSuchRun(String),
    #[error("this agent already serves run `{0}`")]
    Busy(String),
    #[error(
        "this agent may not do `{0}`: allow it in its token (`meshproof mesh invite --allow`) and its configuration"
    )]
    Capability(String),
    #[error("there is no {what} `{name}` here")]
    Unknown { what: String, name: String },
    #[error("{0}")]
    Failed(String),
    #[error("{} is for {}, not for {}{}", deed(.call), any_of(.needed), one(*.role), way_in(.needed, *.role))]
    NeedsRole { call: String, role: Role, needed: Vec<Role> },
    #[error(
        "{} takes `{capability}`, which the caller's token does not allow; in a mesh of your own `meshproof mesh invite --allow` does, in a run of this machine what its plan takes",
        deed(.call)
    )]
    NeedsCapability { call: String, capability: Capability },
    #[error("the agent's settings do not permit {}: {reason}", deed(.call))]
    NotPermitted { call: String, reason: String },
    #[error("the name's term is {current} here, {offered} was offered")]
    OldNameTerm { offered: NameTerm, current: NameTerm },
    #[error("nothing of run `{0}` is on this agent's disk")]
    NothingLeft(String),
    #[error("this agent has promised nobody to obey at term {offered}; it is to be asked for that first")]
    NotPromised { offered: u64 },
    #[error("this agent is in a zone that does not count: {0}")]
    OtherZone(String),
}

/// What somebody did who made such a call, in words of their own. What is no call names itself, as `a tunnel`.
fn deed(call: &str) -> &str {
    match call {
        "act" => "doing a step beside a run",
        "disturb" => "beginning a fault",
        "mend" => "ending a fault",
        "steer" => "holding a run, or letting it go on,",
        "say" => "writing into the journal of a run",
        "hear" => "talking with the people who are there",
        "read_log" => "reading a log",
        "begin_bench" | "bench" => "measuring a link",
        "purge_stub" => "making a stub forget its calls",
        "start" | "start_again" | "start_in_turn" | "receive" => "doing a step of a run",
        "begin_fault" | "begin_fault_again" => "beginning a fault of a run",
        "heal_fault" => "ending a fault of a run",
        "initialize" | "adopt" => "setting up a run",
        "begin_test" | "cancel" | "observe" | "reseat" | "answer_programs" | "stand_by" | "finish" => {
            "commanding a run"
        }
        "promise" | "remember" | "recall" => "taking a run over",
        "status" | "links" | "about" | "stubs" | "place" | "holder" => "looking at an agent",
        "step_over" | "copy" | "mirror" => "telling an agent what another one did",
        other => other,
    }
}

/// What makes somebody who only looks one who may.
fn way_in(needed: &[Role], role: Role) -> &'static str {
    match role == Role::Observer && needed.contains(&Role::OperatorConsole) {
        true => "; `meshproof mesh invite NAME --role operator-console` makes a token of that role",
        false => "",
    }
}

/// `an orchestrator or an operator console`
fn any_of(roles: &[Role]) -> String {
    let words: Vec<String> = roles.iter().copied().map(one).collect();
    words.join(" or ")
}

fn one(role: Role) -> String {
    match role {
        Role::ZoneOperator => format!("a {role}"),
        Role::Agent | Role::Orchestrator | Role::OperatorConsole | Role::Observer => format!("an {role}"),
    }
}

/// What an agent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub name: Name,
    /// Since this instance began.
    pub up_ms: u64,
    /// The build's.
    pub version: String,
    pub protocol: Version,
    /// The run it takes part in.
    pub run: Option<RunId>,
    /// What whoever started it labelled it with.
    pub labels: Labels,
}

/// What an agent holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub service: Name,
    pub run: Option<(Authority, Term)>,
    pub steps_running: u32,
    pub faults_active: Vec<String>,
    pub events_unacked: u64,
    /// The run was finished here, or given up.
    pub is_over: bool,
}
