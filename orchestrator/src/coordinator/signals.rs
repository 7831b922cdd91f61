//! Ctrl-C, SIGTERM, the terminal that goes away, and the deadline.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::run::Abort;

/// The signals that end a run early.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    deadline: Option<Instant>,
    /// Whoever has the run in this process; none: it was heard.
    stop: Option<CancellationToken>,
    /// A signal has come. That the terminal goes away after it, or goes away twice, is nobody's impatience.
    has_come: bool,
}

impl Signals {
    pub(super) fn listen(deadline: Option<Duration>) -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            deadline: deadline.map(|deadline| Instant::now() + deadline),
            stop: None,
            has_come: false,
        })
    }

    /// Also heeds whoever has the run in this process.
    pub(super) fn or(self, stop: CancellationToken) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// The next one. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Abort {
        let abort = tokio::select! {
            _ = self.interrupt.recv() => Abort::Interrupted,
            _ = self.terminate.recv() => Abort::Terminated,
            _ = self.hang_up.recv(), if !self.has_come => Abort::Terminated,
            () = passed(self.deadline) => {
                self.deadline = None;
                Abort::Deadline
            }
            () = cancelled(self.stop.clone()) => {
                self.stop = None;
                Abort::Interrupted
            }
        };
        self.has_come |= abort != Abort::Deadline;
        abort
    }
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn cancelled(stop: Option<CancellationToken>) {
    match stop {
        Some(stop) => stop.cancelled().await,
        None => std::future::pending().await,
    }
}
