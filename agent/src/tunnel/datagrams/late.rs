//! Datagrams that a fault delays, in the order of their times; of one time, in the order that they came.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limits;
use crate::punctual::punctually;

/// What is done when the time has come.
type Then = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Late {
    waiting: Mutex<Waiting>,
    woken: Notify,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    entries: BTreeMap<(Instant, u64), Then>,
}

/// As many wait as may.
#[derive(Debug)]
pub(super) struct Full;

impl Late {
    pub(super) fn put(&self, due: Instant, then: Then) -> Result<(), Full> {
        let mut waiting = self.lock();
        if waiting.entries.len() >= limits::DATAGRAMS_LATE {
            return Err(Full);
        }
        waiting.next += 1;
        let entry = (due, waiting.next);
        waiting.entries.insert(entry, then);
        drop(waiting);
        self.woken.notify_one();
        Ok(())
    }

    /// Does everything at its time, for ever.
    pub(super) async fn run(&self) {
        loop {
            let next = self.lock().entries.keys().next().map(|(due, _)| *due);
            tokio::select! {
                () = self.woken.notified() => {}
                () = punctually(next) => {
                    while let Some(then) = self.pop_due() {
                        then();
                    }
                }
            }
        }
    }

    fn pop_due(&self) -> Option<Then> {
        let mut waiting = self.lock();
        let entry = waiting.entries.first_entry().filter(|entry| entry.key().0 <= Instant::now())?;
        Some(entry.remove())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late").field("waiting", &self.lock().entries.len()).finish()
    }
}
