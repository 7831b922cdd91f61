//! What a peer tells of its links to whoever looks at the mesh.

use serde::{Deserialize, Serialize};

use crate::id::{Generation, Name, PeerId};
use crate::identity::Role;

/// One link, as the peer at one end of it sees it. Times are spans: clocks differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkReport {
    /// The other end.
    pub peer: PeerId,
    pub name: Name,
    pub role: Role,
    /// `connecting`, `up`, `suspect`, `lost`, `idle`.
    pub state: String,
    /// The control connection in use, or the last one.
    pub generation: Option<Generation>,
    pub path: Option<LinkPath>,
    /// Connections that carry bulk data now.
    pub stripes: u64,
    /// Round trip of the last heartbeat, by the application's tasks at both ends.
    pub rtt_us: Option<u64>,
    /// Payload over all generations and kinds of connection.
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// Over the last heartbeats.
    pub sent_per_s: u64,
    pub received_per_s: u64,
    /// Byte streams that are open.
    pub streams: u64,
    /// Bytes that streams took and the other end has not acknowledged.
    pub queued_bytes: u64,
    pub changed_ago_ms: u64,
    pub changed_why: String,
}

/// How the datagrams of a link travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkPath {
    Direct,
    /// At least one end goes through a TURN server.
    Turn,
    /// Through a signaling server, which carries what it cannot read.
    Relayed,
}

impl LinkPath {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Turn => "turn",
            Self::Relayed => "relayed",
        }
    }
}
