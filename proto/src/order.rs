//! What an orchestrator tells an agent: the setting of a run, steps, faults.
//!
//! An order is complete: the orchestrator has put in everything the run knows. What is left as an expression is what only
//! the agent can know (`call`, `request`, `record`, `index`). Times are durations in milliseconds, never clock times.

mod adopt;
mod bounds;
mod capability;
mod confided;
mod load;
pub mod network;
mod times;
mod tls;
mod turn;

pub use adopt::{Adopt, Adopted, NameTerm, Reseat};
pub use bounds::Bounds;
pub use load::{LoadAction, LoadModel, Share, Stage};
pub use network::{DataNetwork, Egress, Other};
pub use times::millis;
pub use tls::{Held, Identity, ServerTls, Tls, Trust};
pub use turn::{StepOver, Turn};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::blob::BlobOrder;
use crate::expr::{Expr, Template, ValueTemplate};
use crate::id::{Digest, Name, PeerId, RunId, Term};
use crate::matcher::Matcher;
use crate::secrets::Secrets;
use crate::shaper::Shape;
pub use crate::stub::{
    Becomes, Ends, Keep, Protocol, RequestPart, Says, Slow, StubChange, StubOrder, StubReply, StubRoute, Takes,
    Unmatched, Upstream, Upstreams,
};

/// In whose name an order is given. Agents refuse another plan and a lower term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    pub run: RunId,
    pub term: Term,
    pub plan: Digest,
}

/// The setting of a run, before anything starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Initialize {
    pub authority: Authority,
    /// Who holds which name in this run.
    pub roster: BTreeMap<Name, PeerId>,
    /// The service beside this agent.
    pub service: ServicePlace,
    pub stubs: Vec<StubOrder>,
    pub tunnels: Vec<TunnelOrder>,
    /// For jitter and generated data; printed with the run.
    pub seed: u64,
    /// Those that orders name, and everything else that is to be masked in what is told.
    pub secrets: Secrets,
    /// The network that the service beside this agent lives on; none: it is reached through tunnels.
    pub network: Option<Box<DataNetwork>>,
    /// What the service's programs find at the agent; none: it opens nothing for them.
    pub api: Option<Box<ApiOrder>>,
    /// Certificates that the run's authority has made, as PEM, its own among them: `tls.ca`, `tls.NAME.cert`. What a person has the agent
    /// call finds them here, and the keys of `secrets`.
    pub certificates: BTreeMap<String, String>,
    /// Files of the run that are too long for orders and that this agent is to have.
    pub blobs: Vec<BlobOrder>,
    /// Members of a group that share this agent with the service beside it. Each finds an API of its own.
    pub guests: Vec<Guest>,
    /// Agents that this one keeps a link to before it needs one.
    pub links: Vec<Name>,
}

/// A member of a group that shares another one's agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    pub name: Name,
    /// What its program is told in the place of what [`ApiOrder::about`] says under the same keys, as JSON text.
    pub about: String,
}

/// An API for the programs of the service, on loopback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiOrder {
    /// What a program is told of the run and its own part in it, as JSON text.
    pub about: String,
    /// Where to listen, if it is free to choose: programs may look for it at a port of their own.
    pub port: Option<u16>,
}

/// Where the service beside an agent is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlace {
    /// Port name to `host:port`.
    pub ports: BTreeMap<String, String>,
    /// Log name (`stdout`, `stderr`, `audit`) to the file's path on the agent's machine.
    pub logs: BTreeMap<String, String>,
    /// Those logs that the service writes to an endpoint of the agent, which writes the file.
    pub listens: BTreeMap<String, Listen>,
    /// Where it tells its metrics, if it does.
    pub scrape: Option<Scrape>,
    /// Those ports that take datagrams.
    pub datagrams: BTreeSet<String>,
}

/// Metrics that are fetched again and again, in Prometheus' text format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrape {
    /// The port's name.
    pub port: String,
    pub path: String,
    pub every_ms: u64,
}

/// What an endpoint for messages of the service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listen {
    Udp,
    Tcp,
    Http,
}

/// A listener beside one service whose connections are dialled beside another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelOrder {
    /// The service that is reached, and its port's name.
    pub to: Name,
    pub port: String,
    pub transport: Transport,
}

/// What a port takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transport {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

/// What the agent made ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initialized {
    /// Stub name to the `host:port` it listens on.
    pub stubs: BTreeMap<String, String>,
    /// `service.port` to the `host:port` of the tunnel's listener.
    pub tunnels: BTreeMap<String, String>,
    /// Log name to the `host:port` of its endpoint.
    pub endpoints: BTreeMap<String, String>,
    /// The URL under which programs of the service find the API; it has the token in it that they need.
    pub api: Option<String>,
    /// The same of each member that shares the agent.
    pub guests: BTreeMap<Name, String>,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    Empty,
    Text(Template),
    Json(ValueTemplate),
}

/// Names a step, or one part of it, in a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepKey {
    /// The test's id; empty for what happens outside of tests, as readiness.
    pub test: String,
    /// The step's place in the test: `3`, `after.0`, `ready.shop`.
    pub step: String,
    /// 1 for the first execution.
    pub attempt: u32,
}

impl std::fmt::Display for StepKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}#{}", self.test, self.step, self.attempt)
    }
}

/// Do this, check it, say what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepOrder {
    pub authority: Authority,
    pub key: StepKey,
    pub action: Action,
    /// In the order of the plan; a failure names its index.
    pub checks: Vec<Check>,
    pub saves: Vec<Save>,
    /// Bounds one attempt.
    pub within_ms: u64,
    /// Repeat until the checks hold or this has passed.
    pub eventually_ms: Option<u64>,
    /// It came before its turn, and begins once this step has ended well. If that ends otherwise, it is forgotten.
    pub after: Option<StepKey>,
}

/// One expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What is looked at: `status`, `json`, `line`, `duration`, `calls`, `count`, …
    pub field: String,
    pub matcher: Matcher,
}

/// Keep a part of what came back under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Save {
    pub name: String,
    /// JSONPath into the JSON that came back; of `stream`, into the result.
    pub path: String,
}

/// Where a step's call goes. From the agent beside the service this is the service's own port, from any other a tunnel's listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// For people: `shop.http`.
    pub label: String,
    /// `host:port`, reachable from the acting agent.
    pub address: String,
    /// None: the connection is not encrypted.
    pub tls: Option<Tls>,
}

impl Target {
    /// One that is spoken to without TLS.
    #[must_use]
    pub fn plain(label: impl Into<String>, address: impl Into<String>) -> Self {
        Self { label: label.into(), address: address.into(), tls: None }
    }
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    Http(HttpAction),
    Tcp(TcpAction),
    Exec(ExecAction),
    Stream(StreamAction),
    /// The checks' fields: `contains` / `matches` on lines (a line must satisfy all of them), `count` of such lines.
    ExpectLog {
        log: String,
    },
    /// The checks' fields: `calls`, `order`, `health`. Without a route, calls of the whole stub.
    ExpectStub {
        stub: String,
        route: Option<String>,
    },
    /// What a stub remembers, or what it answers, becomes another.
    ChangeStub {
        stub: String,
        change: StubChange,
    },
    /// As `ExpectLog` with a check of `count`, and looked at until it is broken or the step is cancelled. Lines from before the
    /// step do not count. `*` is every log of the service.
    WatchLog {
        log: String,
    },
    /// As `ExpectStub`, and looked at until it is broken or the step is cancelled.
    WatchStub {
        stub: String,
        route: Option<String>,
    },
    /// Wait until the service has logged nothing and no stub here was called for so long. Saves [`ACTIVITY`].
    Settle {
        quiet_ms: u64,
    },
    Grpc(GrpcAction),
    Ws(WsAction),
    /// The checks' fields: `is min max p50 p95 p99`.
    ExpectMetric {
        /// `cpu`, `memory` and `descriptors` of the service's processes, or one that the service tells.
        metric: String,
        /// What the labels of a series must be for it to count.
        labels: Vec<(String, Matcher)>,
    },
    /// As `ExpectMetric`, and looked at until it is broken or the step is cancelled.
    WatchMetric {
        metric: String,
        labels: Vec<(String, Matcher)>,
    },
    /// The link to the agent of that service, which is made if there is none. The checks' fields: `is path rtt generation`.
    ExpectLink {
        to: Name,
    },
    /// An agent's part of looking at the logs of all services: how many lines satisfy the checks on lines. Ends once it is another
    /// number than `past`, or nothing is left of `eventually`. Saves [`COUNTED`].
    CountLog {
        log: String,
        past: Option<u64>,
    },
    /// Many calls to a service.
    Load(Box<LoadAction>),
}

/// What a [`Action::Settle`] saves: how many lines and calls there were so far. The same number twice: nothing between.
pub const ACTIVITY: &str = "activity";

/// What a [`Action::CountLog`] saves: how many lines satisfy its checks.
pub const COUNTED: &str = "counted";

/// One HTTP exchange. Fields: `status headers json body size duration error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpAction {
    pub target: Target,
    pub method: String,
    /// Path and query.
    pub path: Template,
    pub headers: Vec<(String, Template)>,
    pub body: Body,
}

impl Body {
    /// The expressions inside.
    pub fn exprs(&self) -> Vec<&Expr> {
        match self {
            Self::Empty => Vec::new(),
            Self::Text(text) => text.exprs().collect(),
            Self::Json(json) => json.exprs(),
        }
    }
}

impl HttpAction {
    /// The expressions inside.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        let headers = self.headers.iter().flat_map(|(_, value)| value.exprs());
        self.path.exprs().chain(headers).chain(self.body.exprs())
    }

    /// Whether every request that it makes is the same.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.exprs().next().is_none()
    }
}

/// Send, then read a line or to the end. Fields: `line body duration error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpAction {
    pub target: Target,
    pub send: Template,
}

/// One gRPC call. Fields: `code json duration error`; of a stream of answers `json` is their list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcAction {
    pub target: Target,
    /// `acme.Stock/Get`
    pub call: String,
    pub metadata: Vec<(String, Template)>,
    /// As the method takes them: one, or a list of them.
    pub json: ValueTemplate,
    /// The service's description, each file's name as others import it; none: the server is asked (reflection).
    pub protos: Vec<Held>,
}

/// Messages over a WebSocket: send all, then read one or until the other side closes. Fields: `line body duration error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WsAction {
    pub target: Target,
    /// Path and query.
    pub path: Template,
    pub headers: Vec<(String, Template)>,
    pub send: Vec<Template>,
}

/// A program beside the service. Fields: `code stdout stderr json duration error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecAction {
    pub argv: Vec<Template>,
    pub env: Vec<(String, Template)>,
    pub stdin: Option<Template>,
    pub cwd: Option<String>,
    pub limits: Bounds,
}

/// Names a stream of records between two agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordStreamId(pub u64);

/// The sender's part of a stream of records. Fields: `records each latency duration error`; saves look into
/// `{records, bytes, latency: {p50, p95, p99, max} in ms, duration in ms}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamAction {
    pub stream: RecordStreamId,
    pub to: Name,
    pub data: DataSource,
    /// How fast they are sent; none: as fast as they are answered.
    pub pace: Option<Pace>,
    /// Names its records, together with their numbers. Such a stream goes on where it was after a replacement at either end, and
    /// records that were sent and not answered by then come once more. None: it breaks.
    pub key: Option<String>,
}

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    pub records: u64,
    pub per_ms: u64,
}

impl Pace {
    /// When a record of that number, from 0, is due.
    #[must_use]
    pub fn due(self, index: u64) -> Duration {
        let micros = u128::from(index) * u128::from(self.per_ms) * 1_000 / u128::from(self.records.max(1));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// Where a stream's records come from. Expressions see `index`, from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataSource {
    Generate {
        count: u64,
        json: ValueTemplate,
    },
    /// A JSON value each line.
    Lines(Held),
    /// The first so many lines of a log of the sender's service since the run began, each JSON or a text.
    Log {
        log: String,
        count: u64,
    },
    /// A JSON value each line of a file that the sender's agent has, or is getting.
    File {
        /// For people: its path as the plan has it.
        name: String,
        digest: Digest,
        records: u64,
    },
}

impl DataSource {
    /// What its records are made of, of those that are generated.
    pub fn template(&self) -> Option<&ValueTemplate> {
        match self {
            Self::Generate { json, .. } => Some(json),
            Self::Lines(_) | Self::Log { .. } | Self::File { .. } => None,
        }
    }
}

/// The receiver's part of a stream of records, ordered before the sender begins: apply each to the service and answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceiveOrder {
    pub authority: Authority,
    pub stream: RecordStreamId,
    pub from: Name,
    /// Expressions see `record` and `index`.
    pub apply: Action,
    /// As in [`StreamAction::key`].
    pub key: Option<String>,
}

/// Begin a fault, or renew its lease when it is active.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultOrder {
    pub authority: Authority,
    /// The fault's name in the plan, unique among active faults of a run.
    pub fault: String,
    pub target: FaultTarget,
    pub shape: Shape,
    /// Ends by itself after this.
    pub lease_ms: u64,
}

/// What a fault disturbs at this agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultTarget {
    /// Every reply of the stub.
    Stub { stub: String },
    /// Tunnelled traffic between this agent's service and that one.
    Traffic { peer: Name, direction: Direction },
    /// All tunnelled traffic between this agent's service and those, both ways.
    Partition { peers: BTreeSet<Name> },
}

/// Which way traffic is disturbed, seen from the agent that gets the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    Outgoing,
    Incoming,
    Both,
}

/// What a fault did, measured while it was active.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultReport {
    pub fault: String,
    /// For people: `latency 800ms`.
    pub asked: String,
    /// For people: `latency 812ms (3 replies)`; empty when nothing passed and no probe could be sent.
    pub measured: String,
    /// |asked − measured| / asked in per cent, where both are numbers.
    pub deviation_percent: Option<f64>,
    /// Whether anything was disturbed at all.
    pub effective: bool,
    /// Whether traffic was seen to flow undisturbed after the end.
    pub healed: bool,
}
