//! Shows a run's journal from its first line to its end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::id::RunId;
use meshproof_proto::mask::Masker;
use tokio::time::timeout;

use super::AttachError;
use crate::journal::{self, Followed, Following};
use crate::plan::{Diagnostics, Source};
use crate::progress::{Mode, Progress};
use crate::record::Happening;
use crate::say::{self, Reader};

/// How long a run may take to write its reports after it has told its end.
const REPORTS_WITHIN: Duration = Duration::from_secs(10);

/// How a run that was followed came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Ended { exit: u8 },
    /// It goes on, or went, and nobody reads what is shown of it.
    Unread,
    /// Nobody writes its journal any more, and it says no end.
    BrokeOff { run: RunId },
}

/// Shows the run whose reports are in this folder until it ends.
///
/// # Errors
/// Its journal cannot be read, or begins otherwise than a run does.
pub async fn follow(folder: &Path, mode: Mode) -> Result<End, AttachError> {
    let mut following = Following::open(&folder.join(journal::FILE_NAME))?;
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
        let Followed::Record(record, _) = next else { return Ok(End::BrokeOff { run }) };
        if let Happening::RunEnded { exit, .. } = record.entry.what {
            // Its other reports come after this line, and are there when whoever attached goes.
            let _ = timeout(REPORTS_WITHIN, following.left()).await;
            return Ok(End::Ended { exit });
        }
        next = following.next().await?;
    }
}

/// How it is shown: lines of JSON as they stand in the journal, everything else as the run's own terminal shows it.
enum Shown {
    AsTheyAre,
    Told(Progress),
}

impl Shown {
    fn of(mode: Mode, plan: Source, folder: &Path) -> Self {
        match mode {
            Mode::Json => Self::AsTheyAre,
            other => Self::Told(Progress::new(other, Arc::new(plan), folder.to_owned())),
        }
    }

    fn show(&mut self, followed: &Followed) -> Reader {
        let Followed::Record(record, line) = followed else { return Reader::Reads };
        match self {
            // What cannot be written for another reason than that nobody reads ends no run, and no attendance at one.
            Self::AsTheyAre => say::out(line).unwrap_or(Reader::Reads),
            Self::Told(progress) => {
                // Records are without secrets, and so is the plan among them.
                progress.show(record, &Masker::default());
                Reader::Reads
            }
        }
    }
}

/// The run and its plan's file.
fn beginning(first: &Followed) -> Option<(RunId, &str)> {
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
