//! The messages between a peer and a signaling server: JSON text over a WebSocket, so that a browser speaks them too.
//!
//! The server challenges, the peer registers with its chain and a proof that it holds the instance key; from then on the
//! server tells who comes and goes and carries signed signals that it cannot read into or change.

use serde::{Deserialize, Serialize};

use crate::codec::base64_bytes;
use crate::epoch::EpochNotice;
use crate::ice::IceServer;
use crate::id::{Generation, Name, PeerId};
use crate::identity::{Chain, Signed};
use crate::signal::ConnectionKind;
use crate::trust::RootNews;
use crate::version::Version;

/// The label under which a peer signs a server's nonce.
pub const REGISTER_LABEL: &str = "register";

/// The label under which a peer signs the nonce of a relay socket: a proof of one kind is none of the other.
pub const RELAY_LABEL: &str = "relay";

/// The WebSocket close code with which a relay socket ends because its other end did (4000 and above are an application's own).
pub const RELAY_PARTNER_GONE: u16 = 4_000;

/// From a peer to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToServer {
    Register {
        protocol: Version,
        mesh: Name,
        chain: Box<Chain>,
        /// The instance key's signature over the challenge's nonce, under [`REGISTER_LABEL`].
        #[serde(with = "base64_bytes")]
        proof: Vec<u8>,
    },
    /// Carry this signal to that peer.
    Signal { to: PeerId, signal: Signed },
    /// The peer goes on purpose; the others hear of it at once.
    Leave,
    /// What the mesh's root has said, if anything: before `register`, as the chain may need it, and again when there is more.
    /// Since protocol 1.1.
    News { mesh: Name, news: RootNews },
}

/// From the server to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToPeer {
    /// First message on every socket.
    Challenge {
        protocol: Version,
        #[serde(with = "base64_bytes")]
        nonce: Vec<u8>,
    },
    /// Registered; these peers were there before.
    Welcome {
        peers: Vec<Chain>,
    },
    Joined {
        chain: Box<Chain>,
    },
    Left {
        peer: PeerId,
    },
    Signal {
        from: PeerId,
        signal: Signed,
    },
    /// The signal's receiver is not registered here.
    Undeliverable {
        to: PeerId,
    },
    /// The server will not serve this peer; the socket closes. Says why and what to do.
    Refused {
        reason: String,
    },
    /// What the mesh's root has said, if anything: before `welcome`, and again when there is more. Since protocol 1.1.
    News(RootNews),
    /// The STUN and TURN servers of this mesh, if it has any, with credentials of this peer: before `welcome`, and again before they
    /// end. Since protocol 1.1.
    Ice(Vec<IceServer>),
    /// Which zone counts in each pool of the mesh that has said so: before `welcome`, and the new ones at each change. Since protocol 1.1.
    Epochs(Vec<EpochNotice>),
}

/// From a peer to the server on a relay socket, in answer to [`FromRelay::Challenge`]. After [`FromRelay::Paired`] there are
/// only binary messages, one a datagram and at most [`DATAGRAM_BYTES`](crate::limits::DATAGRAM_BYTES) long, which go to the
/// other end as they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToRelay {
    /// Carry my half of this connection to `to`, who asks for the same with me as `to`.
    Pair {
        protocol: Version,
        mesh: Name,
        chain: Box<Chain>,
        /// The instance key's signature over the challenge's nonce, under [`RELAY_LABEL`].
        #[serde(with = "base64_bytes")]
        proof: Vec<u8>,
        to: PeerId,
        kind: ConnectionKind,
        generation: Generation,
    },
}

/// From the server to a peer on a relay socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromRelay {
    /// First message on every socket.
    Challenge {
        protocol: Version,
        #[serde(with = "base64_bytes")]
        nonce: Vec<u8>,
    },
    /// Both ends are here.
    Paired,
    /// The server will not carry this; the socket closes. Says why and what to do.
    Refused { reason: String },
}
