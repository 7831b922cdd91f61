//! Byte streams of a link.
//!
//! Streams belong to the link, not to a connection: when a bulk connection is replaced, each stream goes on where the peer
//! acknowledged it. The sending side keeps at most a window of unacknowledged bytes, the receiving side at most a window of
//! unread ones, so a reader that stops stalls its own stream and nothing else.

mod byte_stream;
mod mux;
mod state;

pub use byte_stream::ByteStream;
pub(crate) use mux::{Incoming, Mux, Way};
