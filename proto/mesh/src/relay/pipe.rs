//! A bounded pipe of datagrams between a connection's socket and the task that carries them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::RelayError;
use crate::limits::DATAGRAMS_WAITING;

/// How far a pipe is.
#[derive(Debug, Clone)]
pub enum Carrying {
    /// On the way to the server, or waiting there for the other end.
    Opening,
    /// What one end sends comes out at the other.
    Joined,
    Ended(PipeEnd),
}

/// How a pipe ended.
#[derive(Debug, Clone)]
pub enum PipeEnd {
    /// It never began.
    Unopened(Arc<RelayError>),
    /// The other end of the connection closed its half.
    Partner,
    /// The server or the way to it; says how.
    Broken(String),
}

/// Our end of a relayed connection. Dropping it closes the relay.
#[derive(Debug)]
pub struct RelayPipe {
    pub(crate) outgoing: mpsc::Sender<Bytes>,
    pub(crate) incoming: mpsc::Receiver<Bytes>,
    pub(crate) carrying: watch::Receiver<Carrying>,
}

/// The carrying task's ends of the same.
pub(super) struct PumpEnds {
    pub(super) outgoing: mpsc::Receiver<Bytes>,
    pub(super) incoming: mpsc::Sender<Bytes>,
    pub(super) carrying: watch::Sender<Carrying>,
}

impl RelayPipe {
    pub(super) fn new() -> (Self, PumpEnds) {
        let (outgoing, from_us) = mpsc::channel(DATAGRAMS_WAITING);
        let (to_us, incoming) = mpsc::channel(DATAGRAMS_WAITING);
        let (tell, carrying) = watch::channel(Carrying::Opening);
        let ends = PumpEnds { outgoing: from_us, incoming: to_us, carrying: tell };
        (Self { outgoing, incoming, carrying }, ends)
    }

    /// Waits until both ends are there.
    ///
    /// # Errors
    ///
    /// How it ended instead.
    pub async fn joined(&mut self) -> Result<(), PipeEnd> {
        match self.carrying.wait_for(|carrying| !matches!(carrying, Carrying::Opening)).await.as_deref() {
            Ok(Carrying::Ended(end)) => Err(end.clone()),
            Ok(Carrying::Joined | Carrying::Opening) => Ok(()),
            Err(_) => Err(PipeEnd::Broken("its task was ended".to_owned())),
        }
    }
}

impl fmt::Display for PipeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unopened(error) => error.fmt(f),
            Self::Partner => f.write_str("the other end closed"),
            Self::Broken(reason) => f.write_str(reason),
        }
    }
}
