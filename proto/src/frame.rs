//! What travels on the data channels of a link.
//!
//! Control connection: channel 0 [`ControlFrame`], channel 1 [`EventFrame`]. Bulk connection: channel 0 [`BulkFrame`],
//! channel 1 datagrams. Channel 0 of either begins with hello and proof.

use serde::{Deserialize, Serialize};

use crate::codec::base64_block;
use crate::event::EventBatch;
use crate::hello::Hello;
use crate::id::{PeerId, StreamId};
use crate::identity::Signed;
use crate::trust::RootNews;

/// Channel 0 of both kinds of connection, for hello, RPC or streams.
pub const MAIN_CHANNEL: u16 = 0;
/// Channel 1 of the control connection.
pub const EVENTS_CHANNEL: u16 = 1;
/// Channel 1 of a bulk connection.
pub const DATAGRAM_CHANNEL: u16 = 1;

/// A frame on the control channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlFrame {
    Hello(Box<Hello>),
    Proof(Vec<u8>),
    /// The connection ends, and why.
    Refuse(String),
    /// A sign of life, answered by the application's task and not by a transport that may outlive it.
    Beat(u64),
    /// The answer with the beat's number. Only answers count as life: they prove both directions, so a one-way cut is
    /// noticed on both sides.
    BeatAnswer(u64),
    /// A tarpc request to the receiver's service.
    Call(Piece),
    /// A tarpc response to the sender's call.
    Reply(Piece),
    /// A signal for a new connection, carried in band while signaling may be away.
    Signal(Signed),
    /// The peer goes on purpose.
    Bye,
    /// Pass this signal on to that peer, if there is a link to it: signaling is away. Since protocol 1.1.
    Forward {
        to: PeerId,
        signal: Signed,
    },
    /// A signal of that peer, passed on by the sender of this frame. Since protocol 1.1.
    Forwarded {
        from: PeerId,
        signal: Signed,
    },
    /// What the mesh's root has said: first on every control connection after the hello, and again when there is more. Since
    /// protocol 1.1.
    News(RootNews),
}

/// A part of an RPC message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Ends a message that needed several frames.
    pub last: bool,
    #[serde(with = "base64_block")]
    pub bytes: Vec<u8>,
}

/// A frame on the events channel. Batches carry each event once in order; acknowledgements come after the journal has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventFrame {
    Batch(EventBatch),
    /// Every event of that instance up to and including this number is on disk.
    Ack {
        instance: PeerId,
        through: u64,
    },
}

/// A frame on the bulk channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BulkFrame {
    Hello(Box<Hello>),
    Proof(Vec<u8>),
    Refuse(String),
    Beat(u64),
    BeatAnswer(u64),
    /// A new stream and what it is for. Sent again in the next generation until acknowledged.
    Open {
        stream: StreamId,
        header: Vec<u8>,
    },
    Data {
        stream: StreamId,
        offset: u64,
        // as one block: byte by byte, a link's goodput was half of what it is
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// No bytes follow `offset`.
    Fin {
        stream: StreamId,
        offset: u64,
    },
    /// The receiver has everything below `received` and will take up to `limit`.
    Ack {
        stream: StreamId,
        received: u64,
        limit: u64,
    },
    Reset {
        stream: StreamId,
        reason: String,
    },
}
