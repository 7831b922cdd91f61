//! Shows a run's journal from its first line to its end.

use std::path::Path;
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

/// Shows the run whose reports are in this folder until it ends.
///
/// # Errors
/// Its journal cannot be read, or begins otherwise than a run does.
pub async fn follow(folder: &Path, mode: Mode) -> Result<End, AttachError> {
    let path = folder.join(journal::FILE_NAME);
    let mut following = Following::open(&path)?;
    let first = following.next().await?;
    let Some((run, file)) = beginning(&first) else { return Err(AttachError::NoBeginning(folder.to_owned())) };
    let mut next = following.next().await?;
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
                    // Its other reports come after this line, and are there when whoever attached goes.
                    let _ = timeout(REPORTS_WITHIN, following.left()).await;
                    return Ok(End::Ended { exit });
                }
            }
            Followed::Left => match successor(&following, (&run, &path)).await? {
                Some(of_another) => {
                    following = of_another;
                    shown.is_told_again();
                }
                None => return Ok(End::BrokeOff { run }),
            },
        }
        next = following.next().await?;
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
pub(super) fn plan(file: &str, second: &Followed) -> Source {
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
