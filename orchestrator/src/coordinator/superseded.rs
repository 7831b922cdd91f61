//! Another orchestrator commands the run now, and this one follows it to its end.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use meshproof_proto::verdict::Exit;
use tokio::time::timeout;

use super::driver::Driver;
use super::signals::Signals;
use crate::attach::{self, End};
use crate::journal;
use crate::run::Abort;
use crate::say;

/// From the first order that was refused until the other orchestrator writes a journal: it has collected everything by then.
const WRITES_WITHIN: Duration = Duration::from_secs(60);

/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Driver {
    /// Lets go of everything, and shows the run as whoever attaches to it sees it.
    pub(super) async fn follow_successor(&mut self, mut signals: Signals) -> anyhow::Result<Exit> {
        self.release.release();
        if let Some(teardown) = self.teardown.take() {
            teardown.abort();
        }
        self.environment = None;
        if let Some(mesh) = self.mesh.take() {
            mesh.leave().await;
        }
        let run = self.options.run.clone();
        say::note(format_args!("another orchestrator commands {run} now; this one follows it"));
        let ours = self.journal;
        let following = follow(&self.options.out, ours, self.options.mode);
        let ended = tokio::select! {
            ended = following => ended?,
            abort = signals.next() => return Ok(left(abort)),
        };
        Ok(match ended {
            End::Ended { exit } => Exit::from_code(exit).unwrap_or(Exit::MeshFailed),
            End::Unread => Exit::Passed,
            End::BrokeOff { run } => say::failed(&format!("{run} broke off: its orchestrator died"), Exit::MeshFailed),
        })
    }
}

/// Ctrl-C leaves the run alone: it is another's.
fn left(abort: Abort) -> Exit {
    match abort {
        Abort::Interrupted => Exit::Interrupted,
        Abort::Terminated => Exit::Terminated,
        Abort::Deadline => Exit::Aborted,
    }
}

async fn follow(out: &Path, ours: Option<u64>, mode: crate::progress::Mode) -> anyhow::Result<End> {
    timeout(WRITES_WITHIN, written(out, ours)).await.map_err(|_| {
        anyhow::anyhow!("another orchestrator commands it, and has written nothing for {WRITES_WITHIN:?}")
    })?;
    Ok(attach::follow(out, mode).await?)
}

/// Waits until there is another journal than this one.
pub(super) async fn written(out: &Path, before: Option<u64>) {
    while number(out) == before || number(out).is_none() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// That of the journal's file, which each orchestrator makes anew.
pub(super) fn number(out: &Path) -> Option<u64> {
    std::fs::metadata(out.join(journal::FILE_NAME)).ok().map(|file| file.ino())
}
