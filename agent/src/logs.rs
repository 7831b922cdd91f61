//! The service's logs, read as they grow.
//!
//! Logs are plain files that the service writes, so that it outlives this agent. One task reads them: woken by the file
//! system, asked by a step, or by the clock as a safety net. It reads in a blocking thread, for the agent has only one other and a
//! service may log faster than anybody reads. Lines are kept up to a limit; what had to go is counted, never
//! forgotten. A line counts once its end is there, or once its file was rotated away.

mod kept;
mod pass;
mod tail;
mod watch;

pub use kept::{Last, LogLine, Mark, Since};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::limits;
use crate::permits::LogFiles;
use kept::Kept;
use pass::Files;
use tail::Tail;
use watch::Watch;

/// The logs of the service beside this agent. Dropping it ends the reading.
#[derive(Debug)]
pub struct LogStore {
    kept: Arc<Mutex<Kept>>,
    requests: mpsc::Sender<oneshot::Sender<()>>,
    changes: tokio::sync::watch::Receiver<u64>,
    reader: JoinHandle<()>,
    stop: DropGuard,
}

impl LogStore {
    /// Begins to read these files, log name to path, from their beginning; they need not exist yet. What leads to another place than
    /// where logs may be is not read.
    pub(crate) fn open(files: &BTreeMap<String, String>, permitted: &LogFiles) -> Self {
        Self::with_poll(files, permitted, limits::LOG_POLL)
    }

    fn with_poll(files: &BTreeMap<String, String>, permitted: &LogFiles, poll: Duration) -> Self {
        let watch = Watch::of(files.values());
        let kept = Arc::new(Mutex::new(Kept::of(files.keys().cloned())));
        let (requests, asked) = mpsc::channel(limits::LOG_REQUESTS);
        let (changed, changes) = tokio::sync::watch::channel(0);
        let token = CancellationToken::new();
        let tails = files.iter().map(|(log, path)| (log.clone(), Tail::of(path, permitted.clone())));
        let files = Files::of(tails, Arc::clone(&kept), changed);
        let reader = Reader { files, watch };
        let reader = tokio::spawn(reader.run(asked, poll, token.clone()));
        Self { kept, requests, changes, reader, stop: token.drop_guard() }
    }

    /// Names of the logs.
    pub fn names(&self) -> Vec<String> {
        lock(&self.kept).names()
    }

    /// Where the logs end now. `Mark::default()` is the run's start.
    pub fn mark(&self) -> Mark {
        lock(&self.kept).mark()
    }

    /// Lines that came after the mark, of one log or, for `*`, of all; of each not more than are taken at once.
    /// `None`: there is no such log.
    pub fn lines_since(&self, log: &str, mark: &Mark) -> Option<Since> {
        lock(&self.kept).since(log, mark)
    }

    /// The last so many lines of each log.
    pub fn last(&self, lines: usize) -> Vec<LogLine> {
        lock(&self.kept).last(lines)
    }

    /// The last so many lines of one log or, for `*`, of each, that were read after that time. `None`: there is no such log.
    pub fn last_of(&self, log: &str, lines: usize, then: Option<Instant>) -> Option<Last> {
        lock(&self.kept).last_of(log, lines, then)
    }

    /// Tells whenever lines came.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Returns when everything is read that was in the files at the call.
    pub async fn read_to_end(&self) {
        let (done, read) = oneshot::channel();
        if self.requests.send(done).await.is_ok() {
            let _ = read.await;
        }
    }

    /// Ends the reading and waits for its end.
    pub async fn close(self) {
        drop(self.stop);
        if let Err(error) = self.reader.await {
            tracing::error!(%error, "the reader of logs ended badly");
        }
    }
}

struct Reader {
    files: Files,
    watch: Watch,
}

impl Reader {
    async fn run(mut self, mut asked: mpsc::Receiver<oneshot::Sender<()>>, poll: Duration, stop: CancellationToken) {
        let mut clock = tokio::time::interval(poll);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut waiting = Vec::new();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.watch.woken() => {}
                Some(done) = asked.recv() => waiting.push(done),
                _ = clock.tick() => self.watch.retry(),
            }
            while let Ok(done) = asked.try_recv() {
                waiting.push(done);
            }
            self.files = tokio::select! {
                () = stop.cancelled() => return,
                files = self.files.read_to_end() => files,
            };
            for done in waiting {
                // Who asked may have given up.
                let _ = done.send(());
            }
        }
    }
}

/// The lines stay whole when a holder panics: each change is one push or pop.
fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
