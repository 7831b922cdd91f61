//! Ctrl-C and SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::run::Abort;

/// Both signals that end a run early.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next one. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Abort {
        tokio::select! {
            _ = self.interrupt.recv() => Abort::Interrupted,
            _ = self.terminate.recv() => Abort::Terminated,
        }
    }
}
