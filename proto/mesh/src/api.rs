//! What a mesh tells the peer that joined it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::frame::EventFrame;
use meshproof_proto::id::{Generation, PeerId};
use meshproof_proto::identity::{Identity, Role, TrustError};
use meshproof_proto::trust::RootNews;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::rpc::RpcPort;
use crate::rtc::SelectedPath;
use crate::streams::ByteStream;

/// Something that happened in the mesh. Whoever joined takes these without delay: a full queue slows all links.
#[derive(Debug)]
pub enum MeshEvent {
    /// Registered with a signaling server; whom it lists follows, a [`MeshEvent::PeerJoined`] each.
    SignalingUp {
        url: String,
    },
    /// A signaling server cannot be reached; attempts go on.
    SignalingDown {
        url: String,
        reason: String,
        /// Starting a server there would help nothing: somebody else answers, or the way to it is wrong. The reason says what would.
        wrong_way: bool,
    },
    /// A signaling server will not have us; it is asked again now and then, and this is told each time.
    SignalingRefused {
        url: String,
        reason: String,
    },
    PeerJoined(Identity),
    /// No signaling server lists the peer any more. A link to it may still work.
    PeerLeft(Identity),
    /// We offered the first connection of a link.
    Offered {
        peer: Identity,
    },
    /// A connection that the peer offered is there, its signed hello checked.
    Acknowledged {
        peer: Identity,
    },
    LinkUp(LinkUp),
    /// The link's connection is silent or broken; another is on its way.
    LinkSuspect {
        peer: Identity,
        reason: String,
    },
    /// The link is lost for good, or for long: its streams are reset.
    LinkLost {
        peer: Identity,
        loss: Loss,
    },
    Events {
        peer: Identity,
        frame: EventFrame,
        /// Of the frame, as it came.
        bytes: usize,
        turn: Turn,
    },
    /// The mesh's root keys said more; all of it that is known, to be kept for the next life.
    News(RootNews),
    /// Another zone counts in a pool of agents, or it is known for the first time which one does: [`crate::Mesh::epochs`].
    Epochs,
    /// The peer opened a byte stream.
    Stream {
        peer: Identity,
        header: Vec<u8>,
        stream: ByteStream,
        turn: Turn,
    },
}

/// A link's place before whoever joined. A link has few of them and gets this one back when it is dropped, so that no peer fills
/// the queue for all others: what one floods with waits at its own link.
#[derive(Debug)]
pub struct Turn {
    _place: OwnedSemaphorePermit,
}

impl Turn {
    /// Waits while all places of the link are taken.
    pub(crate) async fn of(places: &Arc<Semaphore>) -> Self {
        let place = Arc::clone(places).acquire_owned().await;
        Self { _place: place.expect("nobody closes this semaphore") }
    }
}

/// A link's control connection is there, for the first time or again.
#[derive(Debug)]
pub struct LinkUp {
    pub peer: Identity,
    pub generation: Generation,
    pub path: Option<SelectedPath>,
    /// RPC both ways over this generation. A tarpc client does not outlive it.
    pub rpc: RpcPort,
}

/// Why a link is over, or has been without a connection for too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// The peer said so, or no signaling server lists it any more.
    #[error("the peer left")]
    Left,
    #[error("a new instance took its place")]
    Replaced,
    /// Attempts go on.
    #[error("no connection for {0:?}")]
    Silence(Duration),
    /// Its token, or our own, ended or was revoked.
    #[error(transparent)]
    NotAdmitted(#[from] TrustError),
    /// Whoever joined will have nothing to do with it, and told it why.
    #[error("{0}")]
    Refused(String),
}

/// A link as it is now.
#[derive(Debug, Clone)]
pub struct LinkInfo {
    pub peer: PeerId,
    pub name: String,
    pub role: Role,
    /// `connecting`, `up`, `suspect`, `lost`, `idle`.
    pub state: &'static str,
    /// The control connection in use, or the last one.
    pub generation: Option<Generation>,
    pub path: Option<SelectedPath>,
    /// Round trip of the last heartbeat, by the application's tasks at both ends.
    pub rtt: Option<Duration>,
    /// Payload bytes over all generations and kinds of connection.
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// Payload bytes a second, over the last heartbeats.
    pub sent_per_s: u64,
    pub received_per_s: u64,
    /// Byte streams that are open.
    pub streams: usize,
    /// Bulk connections that carry them.
    pub stripes: usize,
    /// Bytes that streams took and the peer has not acknowledged.
    pub queued: u64,
    /// Datagrams that were lost at this end, on their way out or in: a queue was full, or nobody took them.
    pub datagrams_dropped: u64,
    pub last_change: LinkChange,
}

impl LinkInfo {
    /// Of a link that has done nothing yet.
    pub(crate) fn new(peer: &Identity) -> Self {
        Self {
            peer: peer.peer,
            name: peer.name.to_string(),
            role: peer.role,
            state: "idle",
            generation: None,
            path: None,
            rtt: None,
            bytes_sent: 0,
            bytes_received: 0,
            sent_per_s: 0,
            received_per_s: 0,
            streams: 0,
            stripes: 0,
            queued: 0,
            datagrams_dropped: 0,
            last_change: LinkChange { at: Instant::now(), why: "made".to_owned() },
        }
    }
}

/// When a link's state last changed, and why.
#[derive(Debug, Clone)]
pub struct LinkChange {
    pub at: Instant,
    pub why: String,
}

/// There is no such link, or it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no link to that peer")]
pub struct NoLink;
