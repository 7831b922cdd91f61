//! What a run came to, in short.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use meshproof_proto::id::{Digest, Term};
use meshproof_proto::verdict::Verdict;
use serde::Serialize;

use crate::journal::{self, JournalError, Reader};
use crate::record::{Happening, Invocation};

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Brief {
    pub run: String,
    pub plan: String,
    /// The plan's file, as it was named.
    pub file: String,
    #[serde(skip)]
    pub digest: Option<Digest>,
    #[serde(skip)]
    pub term: Option<Term>,
    pub seed: u64,
    /// Milliseconds since 1970.
    pub began_ms: u64,
    pub state: State,
    /// Test to verdict; none: not run.
    pub tests: BTreeMap<String, Option<Verdict>>,
    pub folder: PathBuf,
    pub bytes: u64,
    #[serde(skip)]
    pub invocation: Option<Invocation>,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    GoesOn,
    /// It came to no end: its process died.
    BrokeOff,
    Ended(Finish),
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finish {
    pub verdict: Verdict,
    pub exit: u8,
    pub duration_ms: f64,
}

/// The beginnings of `what` that a brief is made of. Quotes inside of texts are escaped, so nothing that a service prints looks
/// like one of them.
const TELLING: [&[u8]; 5] = [
    br#""what":{"run-began""#,
    br#""what":{"invoked""#,
    br#""what":{"test-ended""#,
    br#""what":{"test-not-run""#,
    br#""what":{"run-ended""#,
];

/// Bytes of a line in which `what` begins: before it stand numbers, a name and an id.
const HEAD: usize = 400;

impl Brief {
    /// Of the run whose reports are in this folder.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn read(folder: &Path) -> Result<Self, JournalError> {
        Self::of_lines(folder, usize::MAX)
    }

    /// The same of its first line alone: which run it is, when it began, and whether somebody writes it.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn beginning(folder: &Path) -> Result<Self, JournalError> {
        Self::of_lines(folder, 1)
    }

    fn of_lines(folder: &Path, telling: usize) -> Result<Self, JournalError> {
        let path = folder.join(journal::FILE_NAME);
        let mut brief = Self::unknown(folder, &path);
        for record in Reader::open(&path)?.those(is_telling).take(telling) {
            let entry = record?.entry;
            brief.take(entry.at_ms, entry.what);
        }
        if brief.state == State::BrokeOff && goes_on(&path) {
            brief.state = State::GoesOn;
        }
        Ok(brief)
    }

    /// Before anything was read: a run may have broken off before its first line.
    fn unknown(folder: &Path, path: &Path) -> Self {
        let changed = path.metadata().and_then(|about| about.modified()).ok();
        let since = changed.and_then(|changed| changed.duration_since(std::time::UNIX_EPOCH).ok());
        let name = folder.file_name().unwrap_or_default();
        Self {
            run: name.to_string_lossy().into_owned(),
            plan: String::new(),
            file: String::new(),
            digest: None,
            term: None,
            seed: 0,
            began_ms: since.and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or_default(),
            state: State::BrokeOff,
            tests: BTreeMap::new(),
            folder: folder.to_owned(),
            bytes: size(folder),
            invocation: None,
        }
    }

    fn take(&mut self, at_ms: u64, what: Happening) {
        match what {
            Happening::RunBegan { run, plan, file, digest, seed, term } => {
                (self.run, self.plan, self.file) = (run.0, plan, file);
                (self.digest, self.term) = (Some(digest), Some(term));
                (self.seed, self.began_ms) = (seed, at_ms);
            }
            Happening::Invoked(how) => self.invocation = Some(*how),
            Happening::TestEnded { test, verdict, .. } => drop(self.tests.insert(test, Some(verdict))),
            Happening::TestNotRun { test, .. } => drop(self.tests.insert(test, None)),
            Happening::RunEnded { verdict, exit, summary } => {
                self.state = State::Ended(Finish { verdict, exit, duration_ms: summary.duration_ms });
            }
            _ => {}
        }
    }

    /// `3 passed, not one, other`
    #[must_use]
    pub fn tests_in_words(&self) -> String {
        let not_passed: Vec<&str> = self.not_passed().collect();
        let passed = self.tests.len() - not_passed.len();
        if not_passed.is_empty() {
            format!("{passed} passed")
        } else {
            format!("{passed} passed, not {}", not_passed.join(", "))
        }
    }

    /// One of which only its name is known.
    #[cfg(test)]
    pub(crate) fn named(run: &str) -> Self {
        Self {
            run: run.to_owned(),
            plan: "p".to_owned(),
            file: "p.yaml".to_owned(),
            digest: None,
            term: None,
            seed: 0,
            began_ms: 0,
            state: State::BrokeOff,
            tests: BTreeMap::new(),
            folder: PathBuf::new(),
            bytes: 0,
            invocation: None,
        }
    }

    /// The tests that did not pass, in order.
    pub fn not_passed(&self) -> impl Iterator<Item = &str> {
        let not_passed = self.tests.iter().filter(|(_, verdict)| **verdict != Some(Verdict::Pass));
        not_passed.map(|(test, _)| test.as_str())
    }
}

fn is_telling(line: &[u8]) -> bool {
    let head = &line[..line.len().min(HEAD)];
    TELLING.iter().any(|telling| head.windows(telling.len()).any(|window| window == *telling))
}

/// Whether somebody writes the journal.
#[must_use]
pub fn goes_on(journal: &Path) -> bool {
    File::open(journal).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Bytes of everything below a folder; links are not followed.
#[must_use]
pub fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => size(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
