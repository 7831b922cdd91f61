//! What travels on the data channels of a link.
//!
//! Control connection: channel 0 [`ControlFrame`], channel 1 [`EventFrame`]. Bulk connection: channel 0 [`BulkFrame`],
//! channel 1 datagrams. Channel 0 of either begins with hello and proof.

use serde::{Deserialize, Serialize};

use crate::event::EventBatch;
use crate::hello::Hello;
use crate::id::{PeerId, StreamId};
use crate::identity::Signed;

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
    Beat(Beat),
    /// A tarpc request to the receiver's service; `last` ends a message that needed several frames.
    Call {
        last: bool,
        bytes: Vec<u8>,
    },
    /// A tarpc response to the sender's call.
    Reply {
        last: bool,
        bytes: Vec<u8>,
    },
    /// A signal for a new connection, carried in band while signaling may be away.
    Signal(Signed),
    /// The peer goes on purpose.
    Bye,
}

/// A sign of life, sent and answered by the application's task and not by a transport that may outlive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    pub number: u64,
    /// The highest beat heard from the receiver, which tells it whether its own direction works, and the round trip.
    pub heard: u64,
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
    Beat(Beat),
    /// A new stream and what it is for. Sent again in the next generation until acknowledged.
    Open {
        stream: StreamId,
        header: Vec<u8>,
    },
    Data {
        stream: StreamId,
        offset: u64,
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
