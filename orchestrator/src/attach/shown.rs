//! What is shown of a run's journals, each thing once: whoever goes on with a run tells again what was told before.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use meshproof_proto::mask::Masker;
use regex::Regex;

use crate::journal::Followed;
use crate::plan::Source;
use crate::progress::{Mode, Progress};
use crate::record::{Happening, Record};
use crate::say::{self, Reader};

/// How it is shown: lines of JSON as they stand in the journal, everything else as the run's own terminal shows it.
enum How {
    AsTheyAre,
    Told(Progress),
}

/// What is shown, each thing once: whoever goes on with a run tells again what was told before.
pub(super) struct Shown {
    how: How,
    /// How often each thing was shown.
    shown: BTreeMap<u64, usize>,
    /// How often it stood in the journal that is read now; none: everything in it is new.
    again: Option<BTreeMap<u64, usize>>,
}

impl Shown {
    pub(super) fn of(mode: Mode, plan: Source, folder: &Path) -> Self {
        let how = match mode {
            Mode::Json => How::AsTheyAre,
            other => How::Told(Progress::new(other, Arc::new(plan), folder.to_owned())),
        };
        Self { how, shown: BTreeMap::new(), again: None }
    }

    /// From here on another journal is read, which begins with what this one had.
    pub(super) fn is_told_again(&mut self) {
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

    pub(super) fn show(&mut self, followed: &Followed) -> Reader {
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
