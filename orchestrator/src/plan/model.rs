//! A plan as its grammar sees it: every noun with its keys, values typed, places kept. Names are not resolved yet and
//! parameters not filled in: that is what `compile` does.

pub mod commits;
mod groups;
mod network;
mod topology;
mod verbs;

use std::time::Duration;

use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{Ends, Keep, Listen, Protocol, RequestPart, Takes, Transport, Unmatched};
use meshproof_proto::stub::DEFAULT_JOURNAL;

use super::read::Given;
use super::source::{Span, Spanned};
use super::units::{Bandwidth, Percent};

pub use groups::{Count, Group, Membership, Passes};
pub use network::{Between, Conditions, Network, Region};
pub use topology::{Topology, TopologyKind};
pub use verbs::{
    Artefact, Barrier, Bounds, Churn, Conduct, Data, Draw, Exec, FaultUse, Grpc, Heal, Http, Level, Load, LoadStage,
    Own, ProcessVerb, Quorum, Repeat, Stream, SyncVerb, Tcp, Tls, Verb, World, Ws,
};

/// Before the fields that each answer of a stream or a load has: `each.status`.
pub const OF_EACH: &str = "each.";

/// A name or word of the plan with its place.
pub type Word = Spanned<String>;
/// A duration written out or given by an expression, with its place.
pub type Time = Spanned<Given<Duration>>;

/// A whole plan.
#[derive(Debug, Clone)]
pub struct Document {
    pub name: Word,
    pub description: Option<Word>,
    pub params: Vec<Param>,
    /// `None`: every name that an expression looks up is one.
    pub secrets: Option<Vec<Secret>>,
    /// Run once, in order, before anything starts.
    pub build: Vec<Command>,
    /// Whether it is built, also where no command could be read.
    pub is_built: bool,
    pub services: Vec<Service>,
    pub groups: Vec<Group>,
    /// Of all groups that say a share.
    pub members: Option<Spanned<Given<u64>>>,
    pub stubs: Vec<Stub>,
    /// None: services reach each other through tunnels.
    pub network: Option<Network>,
    pub topology: Option<Topology>,
    /// `None`: it was reported; its name is known all the same.
    pub faults: Vec<(Word, Option<Fault>)>,
    /// Every test runs once for each combination of these.
    pub matrix: Vec<(Word, Vec<serde_json::Value>)>,
    pub tests: Vec<Test>,
    /// None: it is a plan of tests.
    pub commits: Option<commits::Commits>,
}

/// A value that `--param` sets.
#[derive(Debug, Clone)]
pub struct Param {
    pub name: Word,
    /// None: what is wrong with it was reported, and whatever it is given is not looked at.
    pub kind: Option<ParamKind>,
    /// As text, in the spelling of the kind.
    pub default: Option<Word>,
}

/// A text that is given from outside and shown to nobody.
#[derive(Debug, Clone)]
pub struct Secret {
    pub name: Word,
    /// The variable of the environment that may hold it; none: the one that its name makes.
    pub env: Option<Word>,
}

/// What a parameter must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    String,
    Int,
    Number,
    Bool,
    Duration,
    Size,
    Percent,
    Rate,
    Bandwidth,
}

/// A program to run on the machine of the plan.
#[derive(Debug, Clone)]
pub struct Command {
    pub span: Span,
    pub argv: Vec<Spanned<Template>>,
    /// Relative to the plan's folder.
    pub cwd: Option<Spanned<Template>>,
    pub env: Vec<(Word, Spanned<Template>)>,
}

/// What is under test.
#[derive(Debug, Clone)]
pub struct Service {
    pub name: Word,
    /// The command lines of its processes; none: it runs already.
    pub processes: Vec<Vec<Spanned<Template>>>,
    /// What its container is made from, where it gets one.
    pub image: Option<Spanned<String>>,
    pub ports: Vec<Port>,
    pub env: Vec<(Word, Spanned<Template>)>,
    pub files: Vec<File>,
    pub ready: Option<Step>,
    pub needs: Vec<Word>,
    pub logs: Vec<Log>,
    pub metrics: Option<Metrics>,
    pub stop: Stop,
    pub limits: Bounds,
    /// Whether it gets a certificate of the run's authority.
    pub tls: bool,
    /// Which one of a group it is; none: it is a service of its own.
    pub member: Option<Membership>,
    /// How many instances it has: one acts, the others stand by.
    pub replicas: u64,
    /// Where they are, in turn.
    pub zones: Vec<Word>,
}

impl Service {
    /// A service of which only the name is known.
    pub(super) fn named(name: Word) -> Self {
        Self {
            name,
            processes: Vec::new(),
            image: None,
            ports: Vec::new(),
            env: Vec::new(),
            files: Vec::new(),
            ready: None,
            needs: Vec::new(),
            logs: Vec::new(),
            metrics: None,
            stop: Stop::default(),
            limits: Bounds::default(),
            tls: false,
            member: None,
            replicas: 1,
            zones: Vec::new(),
        }
    }
}

/// A port of a service.
#[derive(Debug, Clone)]
pub struct Port {
    pub name: Word,
    /// `None`: any free one.
    pub number: Option<u16>,
    pub transport: Transport,
}

/// A file in a service's working directory.
#[derive(Debug, Clone)]
pub struct File {
    /// Relative to the working directory, without `..`.
    pub path: Word,
    pub content: FileContent,
}

/// Where a file's content comes from.
#[derive(Debug, Clone)]
pub enum FileContent {
    Text(Spanned<Template>),
    /// A file beside the plan.
    From(Word),
}

/// A log file of a service, beside stdout and stderr.
#[derive(Debug, Clone)]
pub struct Log {
    pub name: Word,
    /// Relative to the service's working directory.
    pub file: Word,
    /// The agent writes the file, with what the service sends to an endpoint.
    pub listen: Option<Listen>,
}

/// Where a service tells its metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub span: Span,
    pub path: Word,
    /// `None`: the port named `metrics`, or the only one.
    pub port: Option<Word>,
    pub every: Option<Time>,
}

/// How a service is asked to end.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    pub signal: StopSignal,
    pub grace: Option<Time>,
}

/// The signals that ask a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StopSignal {
    #[default]
    Term,
    Int,
    Quit,
    Hup,
    Kill,
}

/// A pretend upstream.
#[derive(Debug, Clone)]
pub struct Stub {
    pub name: Word,
    pub at: Word,
    pub port: Option<Spanned<u16>>,
    pub protocol: Protocol,
    pub unmatched: Spanned<Unmatched>,
    pub keep: Keep,
    /// Calls that are remembered.
    pub journal: u64,
    pub routes: Vec<Route>,
    /// Files beside the plan that describe the methods of a gRPC stub.
    pub protos: Vec<Word>,
    /// None: it is spoken to without TLS.
    pub tls: Option<StubTls>,
    /// None: it is nobody's proxy.
    pub upstreams: Option<Vec<Upstream>>,
}

/// Hosts that a service picks at run time, and what becomes of calls to them.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub id: Word,
    /// A glob in lower case, with a port or for all of them.
    pub host: Word,
    pub becomes: Becomes,
}

/// What becomes of calls to some hosts.
#[derive(Debug, Clone)]
pub enum Becomes {
    Intercepted,
    /// Where they go instead.
    Rewritten {
        to: Word,
        tls: Option<Box<Tls>>,
    },
    Refused,
}

/// Whom a stub takes that is spoken to over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StubTls {
    Anyone,
    /// Clients that show a certificate of the run's authority.
    Known,
}

impl Stub {
    /// A stub of which only the name is known.
    pub(super) fn named(name: Word) -> Self {
        Self {
            at: Spanned::new(String::new(), name.span),
            port: None,
            protocol: Protocol::Http,
            unmatched: Spanned::new(Unmatched::Fail, name.span),
            keep: Keep::Test,
            journal: DEFAULT_JOURNAL,
            routes: Vec::new(),
            protos: Vec::new(),
            tls: None,
            upstreams: None,
            name,
        }
    }
}

/// A route of a stub.
#[derive(Debug, Clone)]
pub struct Route {
    pub span: Span,
    pub id: Word,
    pub takes: Takes,
    pub when: Vec<(RequestPart, Matcher)>,
    pub replies: Vec<Reply>,
}

/// One reply of a route.
#[derive(Debug, Clone)]
pub struct Reply {
    pub span: Span,
    pub says: ReplySays,
    pub delay: Option<Time>,
    /// How long its body takes, and in how many pieces.
    pub slow: Option<(Time, u32)>,
    pub ends: Ends,
    pub times: u64,
}

/// What a reply says.
#[derive(Debug, Clone)]
pub enum ReplySays {
    Http { status: u16, headers: Vec<(String, Template)>, body: Content },
    Text(Template),
    Bytes(Vec<u8>),
    Grpc { code: &'static str, message: Template, metadata: Vec<(String, Template)>, json: Option<ValueTemplate> },
}

/// A change of a stub while the run goes on.
#[derive(Debug, Clone)]
pub struct StubUse {
    pub stub: Word,
    /// `None`: purge.
    pub routes: Option<Vec<Route>>,
}

/// What is sent, in a request or a reply.
#[derive(Debug, Clone, Default)]
pub enum Content {
    #[default]
    Empty,
    Text(Template),
    Json(ValueTemplate),
}

/// A disturbance.
#[derive(Debug, Clone)]
pub struct Fault {
    pub span: Span,
    pub target: Disturbed,
    pub latency: Option<Time>,
    pub jitter: Option<Time>,
    pub loss: Option<Spanned<Given<Percent>>>,
    pub bandwidth: Option<Spanned<Given<Bandwidth>>>,
    pub duplicate: Option<Spanned<Given<Percent>>>,
    pub reorder: Option<Spanned<Given<Percent>>>,
    pub corrupt: Option<Spanned<Given<Percent>>>,
    pub refuse: bool,
    pub reset: Option<Reset>,
    pub slice: Option<Spanned<Given<u64>>>,
    pub slow_close: Option<Time>,
    pub status: Option<Answered>,
    /// None: whatever passes is struck.
    pub only: Option<Spanned<Only>>,
}

/// Which requests a fault strikes that does not strike all.
#[derive(Debug, Clone)]
pub enum Only {
    /// Those of the run's trace.
    Run,
    /// Those whose headers, in lower case, all are so.
    Headers(Vec<(String, Matcher)>),
}

/// When connections are reset.
#[derive(Debug, Clone)]
pub enum Reset {
    AtOnce,
    After(Time),
}

/// Requests that are answered on the way.
#[derive(Debug, Clone)]
pub struct Answered {
    pub status: u16,
    pub first: Option<Spanned<Given<u64>>>,
    pub percent: Option<Spanned<Given<Percent>>>,
}

/// What a fault disturbs.
#[derive(Debug, Clone)]
pub enum Disturbed {
    Stub(Word),
    Traffic {
        from: Word,
        to: Word,
        ways: Ways,
    },
    /// Everything between services of different sides.
    Partition(Spanned<Vec<Vec<Word>>>),
}

/// `a -> b` or `a <-> b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ways {
    One,
    Both,
}

/// A named sequence of steps.
#[derive(Debug, Clone)]
pub struct Test {
    pub span: Span,
    pub id: Word,
    pub timeout: Option<Time>,
    /// Whether all of its steps could be read.
    pub complete: bool,
    pub steps: Vec<Step>,
    pub after: Vec<Step>,
    /// Each an `expect` of a log or a stub.
    pub always: Vec<Step>,
    /// Each a step that asks a service, or an `expect`.
    pub steady: Vec<Step>,
    pub settle: Option<Settle>,
    /// How many of which group have to go well; of those not named all.
    pub pass_when: Vec<(Word, Passes)>,
}

/// How long nothing must happen before a test is over.
#[derive(Debug, Clone)]
pub struct Settle {
    /// Key and value.
    pub span: Span,
    pub quiet: Time,
    pub within: Option<Time>,
}

/// One verb and its modifiers.
#[derive(Debug, Clone)]
pub struct Step {
    /// All of the step.
    pub span: Span,
    pub id: Option<Word>,
    pub name: Option<Word>,
    pub at: Option<Word>,
    pub to: Option<Word>,
    /// The verb; its place is the key's and the value's.
    pub verb: Spanned<Verb>,
    pub checks: Vec<Check>,
    pub saves: Vec<Save>,
    pub within: Option<Time>,
    pub eventually: Option<Time>,
    pub when: Option<Spanned<Template>>,
    pub optional: bool,
    pub idempotent: bool,
    /// `for`: how long a fault lasts.
    pub lasts: Option<Time>,
    pub prove: Option<Spanned<Given<Percent>>>,
}

/// Something that must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Key and value.
    pub span: Span,
    /// `status`, `headers.content-type`, `each.line`, `latency.p99`.
    pub field: String,
    pub matcher: Matcher,
    /// JSONPaths of the matcher and where each stands.
    pub paths: Vec<(String, Span)>,
}

/// A part of what came back, kept under a name.
#[derive(Debug, Clone)]
pub struct Save {
    pub name: Word,
    pub path: Word,
}
