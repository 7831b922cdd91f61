//! The sessions that are kept, as a list has them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::report::JSON_FILE_NAME;
use super::results::Found;
use crate::history::size;

/// One session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Past {
    pub session: String,
    pub folder: PathBuf,
    pub began_ms: u64,
    pub bytes: u64,
    pub state: State,
}

/// How far it has come.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    GoesOn,
    /// It wrote no results.
    BrokeOff,
    Ended(Ended),
}

/// Of the results, what a list needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// The plan's, if one asked.
    pub name: Option<String>,
    pub repository: String,
    pub duration_ms: f64,
    interrupted: bool,
    /// How many commits there were to look at.
    pub of: usize,
    #[serde(skip_serializing)]
    commits: Vec<Tested>,
    found: Option<Found>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Tested {
    success: bool,
}

/// When the session began whose lock this is: it was made then.
pub(super) fn began_ms(lock: &File) -> io::Result<u64> {
    let began = lock.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(u64::try_from(began.as_millis()).unwrap_or(u64::MAX))
}

impl Past {
    /// The session in that folder; none: it is none's.
    pub(super) fn read((folder, lock): (&Path, &Path)) -> Option<Self> {
        let lock = File::open(lock).ok()?;
        let began_ms = began_ms(&lock).ok()?;
        let state = match lock.try_lock() {
            Err(_) => State::GoesOn,
            Ok(()) => Self::ended(folder).map_or(State::BrokeOff, State::Ended),
        };
        Some(Self {
            session: folder.file_name()?.to_string_lossy().into_owned(),
            folder: folder.to_owned(),
            began_ms,
            bytes: size(folder),
            state,
        })
    }

    fn ended(folder: &Path) -> Option<Ended> {
        let text = std::fs::read(folder.join(JSON_FILE_NAME)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// What asked for it: a plan, or the command for a repository, whose path is long and of which the end tells most.
    #[must_use]
    pub fn of(&self) -> &str {
        match &self.state {
            State::Ended(Ended { name: Some(name), .. }) => name,
            State::Ended(Ended { repository, .. }) => {
                repository.rsplit('/').find(|part| !part.is_empty()).unwrap_or(".")
            }
            State::GoesOn | State::BrokeOff => "",
        }
    }

    /// What it came to, in a few words.
    #[must_use]
    pub fn verdict(&self) -> String {
        match &self.state {
            State::GoesOn => "goes on".to_owned(),
            State::BrokeOff => "broke off".to_owned(),
            State::Ended(ended) => ended.verdict(),
        }
    }

    /// `10 of 40 commits`
    #[must_use]
    pub fn tests_in_words(&self) -> String {
        match &self.state {
            State::Ended(ended) => format!("{} of {} commits", ended.commits.len(), ended.of),
            State::GoesOn | State::BrokeOff => String::new(),
        }
    }
}

impl Ended {
    fn verdict(&self) -> String {
        match &self.found {
            _ if self.interrupted => "interrupted".to_owned(),
            Some(Found::Culprit(commit)) => format!("found {}", commit.short()),
            Some(Found::Suspects(suspects)) => format!("{} suspects", suspects.len()),
            Some(Found::GoodFails(_)) => "the good fails".to_owned(),
            Some(Found::BadPasses(_)) => "the bad passes".to_owned(),
            Some(Found::EndUntestable(_)) => "untestable".to_owned(),
            Some(Found::Flaky(_)) => "flaky".to_owned(),
            None if self.commits.iter().all(|commit| commit.success) => "pass".to_owned(),
            None => "fail".to_owned(),
        }
    }
}
