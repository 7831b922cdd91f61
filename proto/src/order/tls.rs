//! TLS of a client's call: whom it trusts, and who it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Action, DataSource, StreamAction, Target};

/// A text that a plan only names, as a certificate or a `.proto` file. The run puts the text in when it orders the step.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// `tls.ca`, `tls.NAME.cert`, `tls.NAME.key`, or `file PATH` of one beside the plan.
    pub name: String,
    pub text: String,
}

impl Held {
    /// One whose text is still to be put in.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), text: String::new() }
    }

    /// A file beside the plan.
    #[must_use]
    pub fn file(path: &str) -> Self {
        Self::named(format!("file {path}"))
    }

    /// The path, of a file beside the plan.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.name.strip_prefix("file ")
    }
}

/// How a call speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    pub trust: Trust,
    /// What is shown to a server that asks; none: nothing.
    pub identity: Option<Identity>,
    /// The name that the server's certificate must bear; none: the host of the address.
    pub server_name: Option<String>,
}

/// Whom a client trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// Whose certificate one of these authorities has signed (PEM).
    Authorities(Held),
    /// Anyone: the plan says `skip: true`.
    Anyone,
}

/// How a server speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerTls {
    pub identity: Identity,
    /// Only clients whose certificate one of these authorities has signed (PEM) are taken; none: nobody is asked for one.
    pub clients: Option<Held>,
}

/// A certificate and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub cert: Held,
    pub key: Held,
}

/// Without the text: it may be a key, and logs are read by many.
impl fmt::Debug for Held {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Held({}, {} bytes)", self.name, self.text.len())
    }
}

impl Identity {
    pub(crate) fn held_mut(&mut self) -> [&mut Held; 2] {
        [&mut self.cert, &mut self.key]
    }
}

impl ServerTls {
    /// Every text that it needs, to put it in.
    pub fn held_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.identity.held_mut().into_iter().chain(&mut self.clients)
    }
}

impl Tls {
    /// Every text that it needs, to put it in.
    pub fn held_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        let trusted = match &mut self.trust {
            Trust::Authorities(held) => Some(held),
            Trust::Anyone => None,
        };
        let own = self.identity.iter_mut().flat_map(Identity::held_mut);
        trusted.into_iter().chain(own)
    }
}

impl Action {
    /// Where the call goes, to put the address in; none for what is no call over a network.
    pub fn target_mut(&mut self) -> Option<&mut Target> {
        match self {
            Self::Http(http) => Some(&mut http.target),
            Self::Tcp(tcp) => Some(&mut tcp.target),
            Self::Grpc(grpc) => Some(&mut grpc.target),
            Self::Ws(ws) => Some(&mut ws.target),
            Self::Load(load) => load.call.target_mut(),
            Self::Exec(_)
            | Self::Stream(_)
            | Self::ExpectLog { .. }
            | Self::ExpectStub { .. }
            | Self::ChangeStub { .. }
            | Self::WatchLog { .. }
            | Self::WatchStub { .. }
            | Self::Settle { .. }
            | Self::ExpectMetric { .. }
            | Self::WatchMetric { .. }
            | Self::ExpectLink { .. }
            | Self::CountLog { .. } => None,
        }
    }

    /// Every text that the plan only names, to put it in.
    pub fn held_mut(&mut self) -> Vec<&mut Held> {
        if let Self::Load(load) = self {
            return load.call.held_mut();
        }
        // Both lists borrow the action, and no call has parts of both but one.
        if let Self::Grpc(grpc) = self {
            let tls = grpc.target.tls.iter_mut().flat_map(Tls::held_mut);
            return tls.chain(&mut grpc.protos).collect();
        }
        if let Self::Stream(StreamAction { data: DataSource::Lines(lines), .. }) = self {
            return vec![lines];
        }
        self.target_mut().and_then(|target| target.tls.as_mut()).into_iter().flat_map(Tls::held_mut).collect()
    }
}
