//! What the orchestrator and the keeper say to each other: JSON, one value a line, over a unix socket in the run's folder.
//!
//! The orchestrator sends [`Call`]s, each with a number of its own; the keeper answers each once, in any order, and tells
//! of exits in between. The first call is `Hello`; who says it takes control, and whoever had it before is told so and loses
//! it. One that comes with a lower term of the run than somebody before it is refused: it has been replaced.

use std::collections::BTreeMap;
use std::fmt;

use meshproof_proto::codec::base64_bytes;
use meshproof_proto::id::{Name, RunId};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

/// The version of this protocol. Both ends are nearly always the same binary.
pub const PROTOCOL: u32 = 1;

/// A numbered request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    pub id: u64,
    pub request: Request,
}

/// What the keeper can be asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Takes control. Answered with [`Answer::Welcome`] once signaling listens and the agents are started.
    Hello {
        protocol: u32,
        /// The run's term that it commands at.
        #[serde(default)]
        term: u64,
    },
    /// Reserves ports on 127.0.0.1: service to port name to wish.
    Allot { ports: BTreeMap<Name, BTreeMap<String, PortWish>> },
    /// Starts the processes of a service that does not run.
    StartService(StartService),
    /// Asks the processes of a service, or of all, to end; answered when they have.
    Stop { what: Stopped, how: How },
    /// Sends a signal, and records that it was an order.
    Signal { target: Target, signal: Disturbance },
    /// Starts the instances of agents that stand by and do not run yet.
    StandBy,
    /// Kills every agent in that zone, none of which is started there again, and these services; answered when they have ended.
    KillZone { zone: String, services: Vec<Name> },
    /// Ends services, then agents, then signaling; removes the folder; answered last of all.
    End { how: How },
}

/// A port: any free one, or this one; or this one of a service that runs already, which is not ours to reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortWish {
    Dynamic,
    Fixed(u16),
    Known(u16),
}

/// Everything a service needs to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartService {
    pub name: Name,
    /// One argv a process. `argv[0]` is looked up in `PATH`, or relative to the service's folder when it has a slash.
    pub processes: Vec<Vec<String>>,
    /// Beside these a process sees `PATH`, `HOME`, `LANG` and `TMPDIR` of the machine, and nothing else.
    pub env: BTreeMap<String, String>,
    pub files: Vec<File>,
    pub stop: StopWish,
}

/// A file in a service's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Relative, without `..`.
    pub path: String,
    #[serde(with = "base64_bytes")]
    pub content: Vec<u8>,
}

/// How a process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopWish {
    pub signal: StopSignal,
    /// After so long it is killed, and that counts against it.
    pub grace_ms: u64,
}

impl Default for StopWish {
    /// SIGTERM and five seconds.
    fn default() -> Self {
        Self { signal: StopSignal::Term, grace_ms: 5_000 }
    }
}

/// The signals that ask a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopSignal {
    Term,
    Int,
    Quit,
    Hup,
    Kill,
}

/// What is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    Service(Name),
    Services,
}

/// How things end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Each is asked, and killed after its grace.
    Asking,
    /// Killed now.
    AtOnce,
}

/// What a disturbance is aimed at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    Service(Name),
    /// Which of its instances, from 1.
    Agent(Name, u32),
    Signaling,
}

/// What can be done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disturbance {
    Kill,
    /// It goes on after so long, whoever is gone by then; again begins anew.
    Freeze {
        lease_ms: u64,
    },
    Thaw,
}

/// A line from the keeper.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    Answer { id: u64, answer: Answer },
    Notice(Notice),
}

/// The answer to a call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Welcome(Box<Welcome>),
    Allotted {
        ports: BTreeMap<Name, BTreeMap<String, u16>>,
    },
    Started {
        pids: Vec<i32>,
    },
    Stopped {
        endings: Vec<Ending>,
    },
    Signalled,
    Ended(EndReport),
    /// What was tried, on what, what came instead.
    Failed {
        message: String,
    },
}

/// What the keeper keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub run: RunId,
    /// Process ids, for people and tests.
    pub keeper: i32,
    pub agents: BTreeMap<Name, i32>,
    /// `ws://…`.
    pub signaling: String,
    /// What ended before this hello.
    pub exits: Vec<ProcessExited>,
    /// The processes of services that run, each the leader of a group.
    #[serde(default)]
    pub services: BTreeMap<Name, Vec<i32>>,
    /// How often each service was started, and each agent killed on order.
    #[serde(default)]
    pub starts: BTreeMap<Name, u64>,
    #[serde(default)]
    pub kills: BTreeMap<Name, u64>,
}

/// Something happened that nobody asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    ProcessExited(ProcessExited),
    /// The keeper ends everything: it was told to by a signal.
    Ending {
        reason: String,
    },
    /// An agent that ended is started again.
    AgentStarted {
        name: Name,
        pid: i32,
    },
    /// It is not started again.
    AgentGivenUp {
        name: Name,
        reason: String,
    },
    /// Another orchestrator has taken control; nothing follows.
    Replaced,
    /// Signaling ended, and is not started again.
    SignalingGivenUp {
        reason: String,
    },
}

/// A process that the keeper started is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessExited {
    pub what: What,
    pub exit: Exit,
    pub cause: Cause,
    /// Milliseconds since 1970, by the wall clock.
    pub at_unix_ms: u64,
}

/// One process that the keeper started.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// `process` counts the service's argv list from 0.
    Service {
        name: Name,
        process: usize,
    },
    Agent {
        name: Name,
        /// Which of its instances, from 1.
        #[serde(default = "first")]
        number: u32,
    },
    Signaling,
}

fn first() -> u32 {
    1
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { name, process: 0 } => write!(f, "service {name}"),
            Self::Service { name, process } => write!(f, "service {name} (process {})", process + 1),
            Self::Agent { name, number: 1 } => write!(f, "agent {name}"),
            Self::Agent { name, number } => write!(f, "agent {name} (instance {number})"),
            Self::Signaling => f.write_str("signaling"),
        }
    }
}

/// How a process left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// The signals that processes usually die of.
const SIGNALS: [(Signal, &str); 12] = [
    (Signal::HUP, "SIGHUP"),
    (Signal::INT, "SIGINT"),
    (Signal::QUIT, "SIGQUIT"),
    (Signal::ILL, "SIGILL"),
    (Signal::TRAP, "SIGTRAP"),
    (Signal::ABORT, "SIGABRT"),
    (Signal::BUS, "SIGBUS"),
    (Signal::FPE, "SIGFPE"),
    (Signal::KILL, "SIGKILL"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::PIPE, "SIGPIPE"),
    (Signal::TERM, "SIGTERM"),
];

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match SIGNALS.iter().find(|(signal, _)| signal.as_raw() == *number) {
                Some((_, name)) => f.write_str(name),
                None => write!(f, "signal {number}"),
            },
        }
    }
}

/// Why a process left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// On its own.
    Itself,
    /// It was asked to, and did.
    Asked,
    /// It was asked to, did not within its grace, and was killed.
    Outlived,
    /// It was killed on the orchestrator's order.
    Ordered,
}

/// How one process and everything it left in its process group ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    pub what: What,
    /// `None`: it is still there, even after SIGKILL.
    pub exit: Option<Exit>,
    pub cause: Cause,
    /// Whether that is an honest end: exit code 0, or what the signal it was asked with does to a process.
    pub verdict: EndVerdict,
}

/// Whether a process ended as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndVerdict {
    Clean,
    Wrong,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(exit) = self.exit else { return write!(f, "{} is still there after SIGKILL", self.what) };
        match self.cause {
            Cause::Itself => write!(f, "{} ended by itself with {exit}", self.what),
            Cause::Asked => write!(f, "{} ended with {exit} when asked to", self.what),
            Cause::Outlived => write!(f, "{} outlived its grace and was killed: {exit}", self.what),
            Cause::Ordered => write!(f, "{} was killed on order: {exit}", self.what),
        }
    }
}

/// How everything ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndReport {
    /// Services first, then agents, then signaling.
    pub endings: Vec<Ending>,
    /// Names and numbers of processes that had left their process group and were killed at the end.
    pub strays: Vec<String>,
}

impl EndReport {
    /// The endings of services that fail a run. Agents and signaling have verdicts of their own.
    pub fn wrong_services(&self) -> impl Iterator<Item = &Ending> {
        self.endings
            .iter()
            .filter(|ending| matches!(ending.what, What::Service { .. }) && matches!(ending.verdict, EndVerdict::Wrong))
    }
}
