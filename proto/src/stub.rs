//! Pretend upstreams: what an agent is told to play.
//!
//! A stub answers only what its routes say. What it cannot do is refused when the plan is checked, as `unsupported: …`; it
//! never does something like it instead.

use serde::{Deserialize, Serialize};

use crate::expr::{Template, ValueTemplate};
use crate::matcher::Matcher;
use crate::order::{Body, Held, Identity, ServerTls, Target, Tls};

/// A pretend upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StubOrder {
    pub name: String,
    /// 0: any free port.
    pub port: u16,
    pub protocol: Protocol,
    pub unmatched: Unmatched,
    pub keep: Keep,
    /// Calls that are remembered and told one by one; those beyond it are counted.
    pub journal: u64,
    pub routes: Vec<StubRoute>,
    /// The methods of a gRPC stub: `.proto` files, each name as others import it.
    pub protos: Vec<Held>,
    /// None: it is spoken to without TLS.
    pub tls: Option<ServerTls>,
    /// None: it is nobody's proxy.
    pub upstreams: Option<Upstreams>,
    /// `host:port` of a function that answers what no route takes: [`HandlerCall`] and [`HandlerAnswer`].
    pub handler: Option<String>,
}

impl StubOrder {
    /// An HTTP stub with these routes, and what plans leave out.
    pub fn http(name: impl Into<String>, routes: Vec<StubRoute>) -> Self {
        let (port, protocol, unmatched, keep) = (0, Protocol::Http, Unmatched::Fail, Keep::Test);
        Self {
            name: name.into(),
            port,
            protocol,
            unmatched,
            keep,
            journal: DEFAULT_JOURNAL,
            routes,
            protos: Vec::new(),
            tls: None,
            upstreams: None,
            handler: None,
        }
    }

    /// Every text that the plan only names, to put it in.
    pub fn held_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        let upstreams = self.upstreams.iter_mut().flat_map(Upstreams::held_mut);
        self.protos.iter_mut().chain(self.tls.iter_mut().flat_map(ServerTls::held_mut)).chain(upstreams)
    }
}

/// Hosts that a service picks at run time and reaches through the stub, which is its proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstreams {
    /// Signs a certificate for each host that is asked for over TLS.
    pub authority: Identity,
    /// The common name in the authority's certificate.
    pub subject: String,
    /// The first whose host fits counts; a host that none fits is refused.
    pub hosts: Vec<Upstream>,
}

/// What becomes of the calls to some hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// Names it where calls are counted, as a route's.
    pub id: String,
    /// A glob in lower case, with a port or for all of them.
    pub host: String,
    pub becomes: Becomes,
}

/// What becomes of calls that a service makes to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Becomes {
    /// The routes answer.
    Intercepted,
    /// The routes answer what they take; everything else goes to this place. The agent puts its address in.
    Rewritten(Box<Target>),
    Refused,
}

impl Upstreams {
    fn held_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        let targets = self.hosts.iter_mut().filter_map(|upstream| match &mut upstream.becomes {
            Becomes::Rewritten(target) => target.tls.as_mut(),
            Becomes::Intercepted | Becomes::Refused => None,
        });
        self.authority.held_mut().into_iter().chain(targets.flat_map(Tls::held_mut))
    }
}

/// Calls that a stub remembers when the plan does not say: more than a test reads, and half a megabyte at most.
pub const DEFAULT_JOURNAL: u64 = 1000;

/// What a stub speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    Http,
    Tcp,
    Grpc,
}

/// What a call that no route matches means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unmatched {
    /// It is answered 404, and fails the test.
    Fail,
    /// It is answered with this status, and that is fine.
    Answer(u16),
}

/// How long a stub remembers its calls, and with them where each route is in its replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    #[default]
    Test,
    Run,
    /// For as long as its agent lives.
    Mesh,
}

/// A route of a stub: the first whose conditions all hold answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StubRoute {
    pub id: String,
    pub takes: Takes,
    pub when: Vec<(RequestPart, Matcher)>,
    /// Replies in turn; the last one stays.
    pub replies: Vec<StubReply>,
}

impl StubRoute {
    /// A route for requests with this method and path, or any.
    pub fn http(id: impl Into<String>, (method, path): (Option<&str>, Option<&str>), replies: Vec<StubReply>) -> Self {
        let takes = Takes::Request { method: method.map(str::to_owned), path: path.map(str::to_owned) };
        Self { id: id.into(), takes, when: Vec::new(), replies }
    }
}

/// What a route is for, before its conditions are looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Takes {
    /// A request. The path is a glob: `*` stands for anything, `/` included.
    Request { method: Option<String>, path: Option<String> },
    /// A line of a raw connection.
    Line,
    /// Exactly these bytes, next on a raw connection.
    Bytes(Vec<u8>),
    /// A raw connection that was just made.
    Connection,
}

/// A part of a request that a condition looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestPart {
    Query(String),
    /// The name in lower case.
    Header(String),
    Json,
    Body,
    /// The server name that the client asked for when it began TLS.
    TlsName,
    /// A line of a raw connection, without its end.
    Line,
    /// The host that the call is for, in lower case and without the port.
    Host,
}

/// One reply; expressions see `request` (method path query headers json body, or line) and `call` (number).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StubReply {
    /// How many calls it answers before the next takes over; the last reply answers all others.
    pub times: u64,
    /// Before the first byte.
    pub delay_ms: u64,
    pub slow: Option<Slow>,
    pub ends: Ends,
    pub says: Says,
}

impl StubReply {
    /// A reply at once, to one call and to all that follow if it is the last.
    pub fn http(status: u16, body: Body) -> Self {
        let says = Says::Http { status, headers: Vec::new(), body };
        Self { times: 1, delay_ms: 0, slow: None, ends: Ends::Stays, says }
    }
}

/// A body that takes its time: pieces of equal size, evenly spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slow {
    /// From the first piece to the last.
    pub over_ms: u64,
    pub pieces: u32,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ends {
    /// It stays, as the protocol has it.
    #[default]
    Stays,
    /// It is closed after the reply.
    Closed,
    /// It is reset instead of a reply.
    Reset,
    /// It is reset after half of the body.
    ResetInBody,
}

/// What a reply says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Says {
    Http {
        status: u16,
        headers: Vec<(String, Template)>,
        body: Body,
    },
    /// Sent as it is, on a raw connection.
    Text(Template),
    Bytes(Vec<u8>),
    /// How a gRPC call ends, and its message, or of a stream the list of them.
    Grpc {
        /// The word: `NOT_FOUND`.
        code: String,
        message: Template,
        metadata: Vec<(String, Template)>,
        json: Option<ValueTemplate>,
    },
}

/// A call as a function gets it that answers for a stub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerCall {
    pub method: String,
    pub path: String,
    pub query: Option<String>,
    /// In the order in which they came.
    pub headers: Vec<(String, String)>,
    #[serde(with = "crate::codec::base64_bytes")]
    pub body: Vec<u8>,
    pub host: Option<String>,
    pub tls_name: Option<String>,
}

/// What the function made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandlerAnswer {
    Reply {
        status: u16,
        headers: Vec<(String, String)>,
        #[serde(with = "crate::codec::base64_bytes")]
        body: Vec<u8>,
    },
    /// It panicked, with this text.
    Panicked(String),
}

/// A change of a stub while the run goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StubChange {
    /// Every call is forgotten and the plan's routes are back, as at the beginning.
    Purge,
    /// Other routes from now on. Calls that were counted stay counted, replies begin with the first.
    Replace(Vec<StubRoute>),
}

/// A stub as its agent sees it, for those who look in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StubReport {
    pub name: String,
    /// `host:port`
    pub address: String,
    pub keep: Keep,
    /// Whether it answered a probe just now.
    pub healthy: bool,
    /// Calls of each route, in the order of the plan.
    pub routes: Vec<(String, u64)>,
    /// Calls that no route matched.
    pub unmatched: u64,
    /// The last calls, the oldest first, a line each.
    pub last: Vec<String>,
}
