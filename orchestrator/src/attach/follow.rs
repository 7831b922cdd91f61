//! Shows a run's journal from its first line to its end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use meshproof_proto::id::RunId;
use tokio::time::timeout;

use super::AttachError;
use super::shown::Shown;
use crate::journal::{self, Followed, Following};
use crate::local;
use crate::plan::{Diagnostics, Source};
use crate::progress::Mode;
use crate::record::Happening;
use crate::say::{self, Reader};

/// How long a run may take to write its reports after it has told its end.
const REPORTS_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked whether somebody goes on with a run.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How a run that was followed came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Ended { exit: u8 },
    /// It goes on, or went, and nobody reads what is shown of it.
    Unread,
    /// Nobody writes its journal any more, it says no end, and nobody waits for another orchestrator.
    BrokeOff { run: RunId },
}

/// Where a run's journal is read: that of whoever commands it, and of whoever does next.
pub(super) trait Journals {
    /// The next record, or that this journal brings no more.
    async fn next(&mut self) -> Result<Followed, AttachError>;

    /// Reads the journal of whoever goes on with the run from now on. `false`: nobody does.
    async fn go_on(&mut self, run: &RunId) -> Result<bool, AttachError>;

    /// The run has told its end.
    async fn end(&mut self);
}

/// Shows the run whose reports are in this folder until it ends.
///
/// # Errors
/// Its journal cannot be read, or begins otherwise than a run does.
pub async fn follow(folder: &Path, mode: Mode) -> Result<End, AttachError> {
    let path = folder.join(journal::FILE_NAME);
    let following = Following::open(&path)?;
    show(&mut Here { path, following }, (mode, folder)).await
}

/// Shows a run from its first record to its end.
pub(super) async fn show(journals: &mut impl Journals, (mode, folder): (Mode, &Path)) -> Result<End, AttachError> {
    let first = journals.next().await?;
    let Some((run, file)) = beginning(&first) else { return Err(AttachError::NoBeginning(folder.to_owned())) };
    let mut next = journals.next().await?;
    let mut shown = Shown::of(mode, plan(file, &next), folder);
    if shown.show(&first) == Reader::Gone {
        return Ok(End::Unread);
    }
    loop {
        if shown.show(&next) == Reader::Gone {
            return Ok(End::Unread);
        }
        match &next {
            Followed::Record(record, _) => {
                if let Happening::RunEnded { exit, .. } = record.entry.what {
                    journals.end().await;
                    return Ok(End::Ended { exit });
                }
            }
            Followed::Left if journals.go_on(&run).await? => shown.is_told_again(),
            Followed::Left => return Ok(End::BrokeOff { run }),
        }
        next = journals.next().await?;
    }
}

/// On the machine of whoever commands: read where it is written.
struct Here {
    path: PathBuf,
    following: Following,
}

impl Journals for Here {
    async fn next(&mut self) -> Result<Followed, AttachError> {
        Ok(self.following.next().await?)
    }

    async fn go_on(&mut self, run: &RunId) -> Result<bool, AttachError> {
        let next = successor(&self.following, (run, &self.path)).await?;
        Ok(next.map(|next| self.following = next).is_some())
    }

    async fn end(&mut self) {
        // Its other reports come after its last line, and are there when whoever attached goes.
        let _ = timeout(REPORTS_WITHIN, self.following.left()).await;
    }
}

/// The journal of an orchestrator that goes on in the place of one that is gone. There may be one as long as the run's keeper waits.
async fn successor(before: &Following, (run, path): (&RunId, &Path)) -> Result<Option<Following>, AttachError> {
    let mut is_told = false;
    loop {
        // Asked first: whoever has ended the run by now has written a journal before.
        let waits = local::running()?.iter().any(|running| running.run == run.0);
        if !before.is_in_its_place()? && path.exists() {
            return Ok(Some(Following::open(path)?));
        }
        if !waits {
            return Ok(None);
        }
        if !std::mem::replace(&mut is_told, true) {
            say::note(format_args!(
                "{run} has no orchestrator any more; while its keeper waits, `meshproof attach {run} --take-over` goes on with it"
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The run and its plan's file.
pub(super) fn beginning(first: &Followed) -> Option<(RunId, &str)> {
    let Followed::Record(record, _) = first else { return None };
    let Happening::RunBegan { run, file, .. } = &record.entry.what else { return None };
    Some((run.clone(), file))
}

/// The plan as the journal has it, for the places of failures.
fn plan(file: &str, second: &Followed) -> Source {
    let invoked = match second {
        Followed::Record(record, _) => match &record.entry.what {
            Happening::Invoked(how) => Some(how),
            _ => None,
        },
        Followed::Left => None,
    };
    let text = invoked.map_or("", |how| how.plan.as_str());
    Source::new(file, text, &Diagnostics::default())
}
