//! Ctrl-C, SIGTERM, and the terminal that goes away.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::run::Abort;

/// The signals that end a run early.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next one. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Abort {
        tokio::select! {
            _ = self.interrupt.recv() => Abort::Interrupted,
            _ = self.terminate.recv() => Abort::Terminated,
            _ = self.hang_up.recv() => Abort::Terminated,
        }
    }
}
