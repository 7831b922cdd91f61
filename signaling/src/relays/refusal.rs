//! Why the server does not carry a connection, in words that say what to do.

use std::time::Duration;

use meshproof_proto::version::PROTOCOL;
use thiserror::Error;

use crate::limits;
use crate::rooms::Refusal;

/// The text travels to the peer as `refused`; the socket closes behind it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RelayRefusal {
    /// As for signaling.
    #[error(transparent)]
    Peer(#[from] Refusal),
    #[error("a relay has two ends; name the other one, not yourself")]
    ToItself,
    #[error("this socket has asked for its connection already; open another one for the next")]
    AskedAlready,
    #[error("the peer has {limit} relayed connections already; close some", limit = limits::RELAYS_PER_PEER)]
    TooMany,
    #[error("nothing was asked for within {after:?}; answer the challenge at once")]
    Late { after: Duration },
    #[error("the other end did not come within {after:?}; both ends ask the same server for the same generation")]
    Alone { after: Duration },
    #[error("not a request of protocol {PROTOCOL}: {0}")]
    Unreadable(String),
}
