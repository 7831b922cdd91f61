//! What a step does, verb by verb.

use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::matcher::Matcher;
use meshproof_proto::sync::OnLoss;

use super::{Content, Fault, Step, StubUse, Time, Word};
use crate::plan::read::Given;
use crate::plan::source::{Span, Spanned};
use crate::plan::units::{Percent, Rate};

/// What a step does.
#[derive(Debug, Clone)]
pub enum Verb {
    Http(Http),
    Tcp(Tcp),
    Exec(Exec),
    Grpc(Grpc),
    Ws(Ws),
    Stream(Box<Stream>),
    Load(Box<Load>),
    Expect(World),
    Fault(FaultUse),
    Heal(Heal),
    Collect(Vec<Spanned<Artefact>>),
    Say(Spanned<Template>),
    Conduct(Conduct),
    Stub(StubUse),
}

impl Verb {
    /// How its call speaks TLS.
    pub(in crate::plan) fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Http(http) => http.tls.as_deref(),
            Self::Tcp(tcp) => tcp.tls.as_deref(),
            Self::Grpc(grpc) => grpc.tls.as_deref(),
            Self::Ws(ws) => ws.tls.as_deref(),
            Self::Load(load) => load.call.value.tls(),
            _ => None,
        }
    }
}

/// What the orchestrator does itself.
#[derive(Debug, Clone)]
pub enum Conduct {
    /// Branches side by side, each a sequence.
    Parallel(Vec<Vec<Step>>),
    Repeat(Repeat),
    /// Until a person says so.
    Pause(Spanned<Template>),
    Process(ProcessVerb, Word),
    /// Everything in a zone is killed.
    KillZone(Word),
    Sync(SyncVerb),
    Churn(Box<Churn>),
}

/// Members of a group go and come back: how often, and for how long one is away.
#[derive(Debug, Clone)]
pub struct Churn {
    pub of: Word,
    pub times: Spanned<Given<u64>>,
    pub away: (Time, Time),
}

/// The same steps so many times.
#[derive(Debug, Clone)]
pub struct Repeat {
    pub times: Spanned<Given<u64>>,
    /// The name under which steps see the number of the round, from 0.
    pub name: Option<Word>,
    pub steps: Vec<Step>,
}

/// What is done to the processes of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessVerb {
    Kill,
    /// The agent beside the service, and not the service.
    KillAgent,
    Freeze,
    Thaw,
    Restart,
}

/// What is done to a sync point.
#[derive(Debug, Clone)]
pub enum SyncVerb {
    Signal(Word),
    Barrier(Barrier),
    Publish { topic: Word, value: Spanned<ValueTemplate> },
    Subscribe { topic: Word, count: Option<Spanned<Given<u64>>> },
}

/// Who is waited for.
#[derive(Debug, Clone)]
pub struct Barrier {
    pub name: Word,
    /// `None`: all services.
    pub of: Option<Vec<Word>>,
    pub quorum: Option<Quorum>,
    pub on_loss: OnLoss,
}

/// How many are enough.
#[derive(Debug, Clone)]
pub enum Quorum {
    Share(Spanned<Given<Percent>>),
    Count(Spanned<u64>),
}

/// One HTTP exchange.
#[derive(Debug, Clone)]
pub struct Http {
    pub method: &'static str,
    /// Path and query.
    pub path: Spanned<Template>,
    pub headers: Vec<(String, Template)>,
    pub body: Content,
    pub tls: Option<Box<Tls>>,
}

/// How a call speaks TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// A file of authorities; none: the authority of the run.
    pub ca: Option<Word>,
    /// Whether anyone is trusted.
    pub skip: bool,
    pub own: Option<Own>,
    pub server_name: Option<Word>,
}

impl Tls {
    /// Trusts the authority of the run, and shows no certificate.
    pub(in crate::plan) fn of_run() -> Self {
        Self { ca: None, skip: false, own: None, server_name: None }
    }
}

/// Who a call is.
#[derive(Debug, Clone)]
pub enum Own {
    /// An identity of the run's authority.
    Named(Word),
    /// Files beside the plan.
    Files { cert: Word, key: Word },
}

/// Send, and read an answer.
#[derive(Debug, Clone)]
pub struct Tcp {
    pub send: Template,
    pub tls: Option<Box<Tls>>,
}

/// One gRPC call.
#[derive(Debug, Clone)]
pub struct Grpc {
    /// `acme.Stock/Get`
    pub call: Word,
    pub json: ValueTemplate,
    pub metadata: Vec<(String, Template)>,
    /// Files beside the plan; none: the server is asked.
    pub protos: Vec<Word>,
    pub tls: Option<Box<Tls>>,
}

/// Messages over a WebSocket.
#[derive(Debug, Clone)]
pub struct Ws {
    /// Path and query.
    pub path: Spanned<Template>,
    pub send: Vec<Template>,
    pub headers: Vec<(String, Template)>,
    pub tls: Option<Box<Tls>>,
}

/// A program beside the service.
#[derive(Debug, Clone)]
pub struct Exec {
    pub argv: Vec<Template>,
    pub env: Vec<(String, Template)>,
    pub stdin: Option<Template>,
    pub cwd: Option<Word>,
    pub limits: Bounds,
}

/// What a program may use.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    pub memory: Option<Spanned<Given<u64>>>,
    /// Processor time.
    pub cpu: Option<Time>,
    pub descriptors: Option<Spanned<Given<u64>>>,
}

/// Records from agent to agent.
#[derive(Debug, Clone)]
pub struct Stream {
    pub data: Data,
    pub rate: Option<Spanned<Given<Rate>>>,
    /// What the receiver does with each record: http, tcp or exec.
    pub apply: Spanned<Verb>,
}

/// Many calls.
#[derive(Debug, Clone)]
pub struct Load {
    /// http, grpc, tcp, ws or exec.
    pub call: Spanned<Verb>,
    pub level: Level,
    /// Of the open model: the most calls that are under way at once.
    pub in_flight: Option<Spanned<Given<u64>>>,
    /// Agents that make a part of it, beside the one of the step.
    pub helpers: Vec<Word>,
}

/// How many calls a load makes, and when.
#[derive(Debug, Clone)]
pub enum Level {
    /// Calls a second, whatever the service answers.
    Rate(Vec<LoadStage<Rate>>),
    /// Users, each with one call at a time.
    Users(Vec<LoadStage<u64>>),
}

/// So long at this level, or on a straight line to it.
#[derive(Debug, Clone)]
pub struct LoadStage<T> {
    /// Whether it has this level from its beginning.
    pub is_constant: bool,
    pub to: Spanned<Given<T>>,
    pub duration: Time,
}

/// Where the records of a stream come from.
#[derive(Debug, Clone)]
pub enum Data {
    Generate {
        count: Spanned<Given<u64>>,
        json: ValueTemplate,
    },
    /// A JSON value each line of a file beside the plan.
    File(Word),
    /// So many lines of a log of the sender's service.
    Log {
        log: Word,
        count: Spanned<Given<u64>>,
    },
}

/// What an `expect` that stands alone looks at.
#[derive(Debug, Clone)]
pub enum World {
    /// `service.log`, `service` for all of its logs, `*` for those of all services.
    Log(Word),
    /// `stub` or `stub.route`, and the routes that were called in this order.
    Stub(Word, Vec<Word>),
    Value(Spanned<ValueTemplate>),
    /// A service's processes.
    Process(Word),
    /// How far a fault is.
    Fault(Word),
    /// The link between the agents of two services, as that of the first sees it.
    Link {
        from: Word,
        to: Word,
    },
    /// `service.metric`, and what labels must be.
    Metric(Word, Vec<(String, Matcher)>),
}

/// A fault by name, or written in place.
#[derive(Debug, Clone)]
pub enum FaultUse {
    Named(Word),
    Inline(Box<Fault>),
    Drawn(Box<Draw>),
}

/// Which faults are drawn from, how often, and how long each lasts.
#[derive(Debug, Clone)]
pub struct Draw {
    pub span: Span,
    pub faults: Vec<Word>,
    pub times: Spanned<Given<u64>>,
    /// At least, and at most.
    pub lasting: (Time, Time),
}

/// Which faults end.
#[derive(Debug, Clone)]
pub enum Heal {
    All,
    Named(Vec<Word>),
}

/// What `collect` keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artefact {
    Logs,
    Journal,
}
