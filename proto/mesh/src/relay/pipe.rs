//! A bounded pipe of datagrams between a connection's socket and the task that carries them.

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

/// Datagrams that wait each way. A relayed connection has at most a receive window on its way, which is 128 of its packets,
/// and the acknowledgements of as much; what does not fit is lost, as it is on any path, and sent again.
const QUEUE: usize = 512;

/// How a pipe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PipeEnd {
    /// The other end of the connection closed its half.
    Partner,
    /// The server or the way to it; says how.
    Broken(String),
}

/// Our end of a relayed connection, open and joined to the other. Dropping it closes the relay.
#[derive(Debug)]
pub struct RelayPipe {
    pub(crate) outgoing: mpsc::Sender<Bytes>,
    pub(crate) incoming: mpsc::Receiver<Bytes>,
    pub(crate) end: watch::Receiver<Option<PipeEnd>>,
}

/// The carrying task's ends of the same.
pub(super) struct PumpEnds {
    pub(super) outgoing: mpsc::Receiver<Bytes>,
    pub(super) incoming: mpsc::Sender<Bytes>,
    pub(super) end: watch::Sender<Option<PipeEnd>>,
}

impl RelayPipe {
    pub(super) fn new() -> (Self, PumpEnds) {
        let (outgoing, from_us) = mpsc::channel(QUEUE);
        let (to_us, incoming) = mpsc::channel(QUEUE);
        let (ended, end) = watch::channel(None);
        (Self { outgoing, incoming, end }, PumpEnds { outgoing: from_us, incoming: to_us, end: ended })
    }
}
