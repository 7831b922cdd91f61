//! The disk of the journal is full, and the run stands still until it is not, or somebody has had enough.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::task::AbortOnDropHandle;

use super::signals::Signals;
use crate::run::{Abort, STALLED_AT_MOST};
use crate::say;

/// How often it is tried again: whoever makes room sees the run go on.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A time without space.
#[derive(Debug)]
pub(super) struct Stall {
    began: Instant,
    signal: Receiver<Abort>,
    _listening: AbortOnDropHandle<()>,
}

/// It does not go on.
#[derive(Debug, Error)]
pub(super) enum GivenUp {
    #[error("there was no space for its journal, and somebody wanted it to end")]
    Aborted(Abort),
    #[error("there was no space for its journal for {STALLED_AT_MOST:?}")]
    TooLong,
}

impl Stall {
    /// Says so. `None`: on this thread everything else happens too, and would stand still for longer than links bear.
    pub(super) fn begin(why: &str) -> Option<Self> {
        let here = Handle::try_current().ok().filter(|here| here.runtime_flavor() == RuntimeFlavor::MultiThread)?;
        let mut signals = Signals::listen(None).ok()?;
        say::note(format_args!("the run stands still: {why}"));
        let (tell, signal) = sync_channel(1);
        let listening = here.spawn(async move {
            let _ = tell.send(signals.next().await);
        });
        Some(Self { began: Instant::now(), signal, _listening: AbortOnDropHandle::new(listening) })
    }

    /// Waits until it is to be tried again.
    ///
    /// # Errors
    /// It is not to be tried again.
    pub(super) fn wait(&self) -> Result<(), GivenUp> {
        if self.began.elapsed() > STALLED_AT_MOST {
            return Err(GivenUp::TooLong);
        }
        match tokio::task::block_in_place(|| self.signal.recv_timeout(AGAIN_AFTER)) {
            Ok(abort) => Err(GivenUp::Aborted(abort)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(()),
        }
    }

    /// It is over; gives how long it lasted.
    pub(super) fn end(self) -> Duration {
        let lasted = self.began.elapsed();
        say::note(format_args!("the run goes on after {:.1} s: there is space for its journal", lasted.as_secs_f64()));
        lasted
    }
}
