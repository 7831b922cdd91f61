//! The last resort of a link: a connection's datagrams, carried by a signaling server.
//!
//! Both ends open a WebSocket to the same server and name each other, the connection's kind and its generation; from then on
//! each binary message is a datagram. They are ciphertext: DTLS runs between the two peers as ever. A [`RelayPipe`] is one
//! end of it, and goes to [`Connection::offer_over`](crate::rtc::Connection::offer_over) or
//! [`answer_over`](crate::rtc::Connection::answer_over) as the only socket of that connection.

mod open;
mod pipe;
mod pump;

use meshproof_proto::id::{Generation, Name, PeerId};
use meshproof_proto::identity::{Chain, Key};
use meshproof_proto::signal::ConnectionKind;
use meshproof_proto::version::Version;
use thiserror::Error;
use tokio_util::task::TaskTracker;

use crate::proxy::{Proxies, ProxyError};
use crate::tls::{Authorities, TlsError};

pub use pipe::{Carrying, PipeEnd, RelayPipe};

/// Who opens a relay.
#[derive(Debug, Clone)]
pub struct Caller {
    pub mesh: Name,
    pub key: Key,
    pub chain: Chain,
    pub protocol: Version,
    pub proxies: Proxies,
    pub authorities: Authorities,
    /// Owns the task that carries the datagrams; it ends with the pipe.
    pub tasks: TaskTracker,
}

/// Our half of `carried` at the relay of a signaling server (`ws://host:port/mesh`).
///
/// The pipe is there at once and opened behind it, for the other end comes only when it has heard of the connection from us:
/// an offer must not wait for it. What is sent before both ends are there is lost, as on a path that is not there yet. Whether
/// it could be opened is told by [`RelayPipe::joined`], and by the connection that uses the pipe.
pub fn open(caller: Caller, server_url: &str, carried: Carried) -> RelayPipe {
    let (pipe, ends) = RelayPipe::new();
    let tasks = caller.tasks.clone();
    tasks.spawn(pump::run(open::open(caller, server_url.to_owned(), carried), ends));
    pipe
}

/// Which connection is to be carried: the other end names the same, with us as its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    pub peer: PeerId,
    pub kind: ConnectionKind,
    pub generation: Generation,
}

/// Why there is no relay.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RelayError {
    #[error("`{0}` is no URL of a signaling server; ws://HOST:PORT/mesh was expected")]
    BadUrl(String),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the relay of {url} could not be reached: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("the signaling server has no relay; upgrade it")]
    NoRelay,
    #[error("the signaling server's relay is full; try another server, or later")]
    Full,
    #[error("the relay refused: {0}")]
    Refused(String),
    #[error("{0}")]
    Incompatible(#[from] meshproof_proto::version::Incompatible),
    #[error("the relay did not speak the protocol: {0}")]
    OutOfOrder(String),
    #[error("the relay broke off: {0}")]
    Broken(String),
    #[error("the other end did not come to the relay within {0:?}")]
    Timeout(std::time::Duration),
}
