//! Shows a run's journal from its first line to its end.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use meshproof_proto::id::RunId;
use meshproof_proto::mask::Masker;
use regex::Regex;
use tokio::time::timeout;

use super::AttachError;
use crate::journal::{self, Followed, Following};
use crate::local;
use crate::plan::{Diagnostics, Source};
use crate::progress::{Mode, Progress};
use crate::record::{Happening, Record};
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

/// How it is shown: lines of JSON as they stand in the journal, everything else as the run's own terminal shows it.
enum How {
    AsTheyAre,
    Told(Progress),
}

/// What is shown, each thing once: whoever goes on with a run tells again what was told before.
struct Shown {
    how: How,
    /// How often each thing was shown.
    shown: BTreeMap<u64, usize>,
    /// How often it stood in the journal that is read now; none: everything in it is new.
    again: Option<BTreeMap<u64, usize>>,
}

impl Shown {
    fn of(mode: Mode, plan: Source, folder: &Path) -> Self {
        let how = match mode {
            Mode::Json => How::AsTheyAre,
            other => How::Told(Progress::new(other, Arc::new(plan), folder.to_owned())),
        };
        Self { how, shown: BTreeMap::new(), again: None }
    }

    /// From here on another journal is read, which begins with what this one had.
    fn is_told_again(&mut self) {
        self.again = Some(BTreeMap::new());
    }

    /// What was shown of another journal is not shown again.
    fn is_new(&mut self, record: &Record, line: &str) -> bool {
        let thing = thing(line);
        let shown = self.shown.entry(thing).or_default();
        if let Some(again) = &mut self.again {
            let times = again.entry(thing).or_default();
            *times += 1;
            if *times <= *shown || is_of_the_beginning(&record.entry.what) {
                return false;
            }
        }
        *shown += 1;
        true
    }

    fn show(&mut self, followed: &Followed) -> Reader {
        let Followed::Record(record, line) = followed else { return Reader::Reads };
        if !self.is_new(record, line) {
            return Reader::Reads;
        }
        match &mut self.how {
            // What cannot be written for another reason than that nobody reads ends no run, and no attendance at one.
            How::AsTheyAre => say::out(line).unwrap_or(Reader::Reads),
            How::Told(progress) => {
                // Records are without secrets, and so is the plan among them.
                progress.show(record, &Masker::default());
                Reader::Reads
            }
        }
    }
}

/// Everybody who commands a run says this anew, with a term and a command line of its own.
fn is_of_the_beginning(what: &Happening) -> bool {
    matches!(what, Happening::RunBegan { .. } | Happening::Invoked(_))
}

/// What a line says, without its number, its time and its check sum: those of a thing that was told before the run began are others when it is told again.
/// Fractions are not always written again as they were read.
fn thing(line: &str) -> u64 {
    static FRACTION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\d+\.\d+").expect("it is one"));
    let said = line.splitn(3, ',').last().unwrap_or(line);
    let said = said.rsplit_once(",\"crc\":").map_or(said, |(said, _)| said);
    let mut hasher = DefaultHasher::new();
    FRACTION.replace_all(said, "#").hash(&mut hasher);
    hasher.finish()
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
