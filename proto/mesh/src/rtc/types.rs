//! What a connection is given, what it tells, and why it may refuse. Nothing here names the stack.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use meshproof_proto::ice::IceServer;
use meshproof_proto::links::LinkPath;

use super::wire::Wire;

/// The largest message that is sent, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 60 * 1024;

/// A description of ours has about 1 KiB; more than this is not a description.
pub(super) const MAX_DESCRIPTION_BYTES: usize = 16 * 1024;

/// Every candidate of the peer is sent a check several times a second; a host with more addresses lists fewer.
pub(super) const MAX_CANDIDATES: usize = 32;

/// What a connection may use.
#[derive(Debug, Clone, Default)]
pub struct RtcConfig {
    /// Local addresses to bind, each with a port of its own choice; no wildcards. A mesh that is given none uses those that
    /// the machine has, and follows their changes.
    pub addresses: Vec<IpAddr>,
    /// STUN and TURN servers, beside those that a signaling server tells; no other is asked.
    pub ice_servers: Vec<IceServer>,
    /// Size of an SCTP packet in bytes; `None` is safe on every path.
    pub mtu: Option<u32>,
    /// Bytes that each UDP socket asks for, each way; the kernel grants no more than `net.core.rmem_max` and `wmem_max`. `None` is
    /// 4 MiB.
    pub socket_buffer: Option<usize>,
    /// SCTP receive window in bytes; `None` is what the sockets' buffers carry.
    pub receive_window: Option<u32>,
    /// Bytes of a channel that wait for the peer's acknowledgement before [`send`](super::Sender::send) waits; `None`
    /// is 256 KiB, which a path of 50 ms turns into 5 MB/s.
    pub send_buffer: Option<usize>,
    /// Makes the path worse than it is; for benches.
    pub wire: Option<Wire>,
}

/// A channel that both sides create, under the same id, before the offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelSpec {
    pub id: u16,
    pub label: &'static str,
    pub reliability: Reliability,
}

/// What a channel promises about its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reliability {
    /// Every message, in order, while the connection lives.
    ReliableOrdered,
    /// Each message at most once, in any order.
    UnorderedNoRetransmit,
}

/// One message as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingMessage {
    pub channel: u16,
    pub bytes: Bytes,
}

/// What happens to a connection: [`Open`](RtcEvent::Open) before the first message, and [`Failed`](RtcEvent::Failed)
/// or [`Closed`](RtcEvent::Closed) as the last event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RtcEvent {
    /// All channels are open on this side.
    Open,
    Message(IncomingMessage),
    /// No path was found, or it was lost. A refused certificate is *not* told: the connection then never opens, so
    /// whoever waits for the opening needs a limit.
    Failed(String),
    /// The peer closed.
    Closed,
}

/// How the datagrams of a connection travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelectedPath {
    pub kind: LinkPath,
    /// On a relayed path the addresses mean nothing.
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

/// Why there is no connection, or no use for a description.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RtcError {
    #[error("no local address to bind was given")]
    NoAddress,
    #[error("no channel was given")]
    NoChannel,
    #[error("no candidate was found on {addresses:?}")]
    NoCandidate { addresses: Vec<IpAddr> },
    #[error("a session description of {bytes} bytes, at most {MAX_DESCRIPTION_BYTES} are read")]
    DescriptionTooLong { bytes: usize },
    #[error("a session description of {candidates} candidates, at most {MAX_CANDIDATES} are tried")]
    TooManyCandidates { candidates: usize },
    #[error("could not {action}")]
    Stack { action: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the connection is closed")]
    Closed,
    #[error("a message of {bytes} bytes, at most {MAX_MESSAGE_BYTES} are sent")]
    TooLarge { bytes: usize },
    #[error("the connection has no channel {channel}")]
    UnknownChannel { channel: u16 },
}
