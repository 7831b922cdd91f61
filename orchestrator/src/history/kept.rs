//! The folder of the kept runs.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use meshproof_proto::verdict::Exit;
use thiserror::Error;

use super::brief::{Brief, State};
use super::keep::{Keep, Removed};
use crate::journal::{self, JournalError};

/// What stands for the newest run.
const LAST: &str = "last";

/// What is being removed bears this before its name, so that a removal that was cut off is finished by the next.
const REMOVING: &str = ".removing-";

/// Sessions of commits have a folder of their own.
pub const SESSIONS: &str = "commits";

/// There is no such history.
#[derive(Debug, Error)]
pub enum HistoryError {
    #[error("neither XDG_STATE_HOME nor HOME is set; name the folder of the runs with --runs DIR or MESHPROOF_RUNS")]
    NoPlace,
    #[error("no run is kept in {}; `meshproof run PLAN` makes one", .0.display())]
    NoRun(PathBuf),
    #[error("there is no run `{wanted}`; `meshproof runs` lists those that were, in {}", .place.display())]
    Unknown { wanted: String, place: PathBuf },
    #[error("`{wanted}` is no run but a session of commits; its report is {}", .report.display())]
    Session { wanted: String, report: PathBuf },
    #[error("`{wanted}` may be any of {}", .runs.join(", "))]
    Several { wanted: String, runs: Vec<String> },
    #[error("cannot {what} {}: {source}", .path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl HistoryError {
    /// What the command exits with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoPlace | Self::NoRun(_) | Self::Unknown { .. } | Self::Session { .. } | Self::Several { .. } => {
                Exit::Usage
            }
            Self::Io { .. } | Self::Journal(_) => Exit::MeshFailed,
        }
    }
}

/// Where the XDG base directory specification puts our state; none: nothing says where.
pub fn state_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("meshproof"))
}

/// Where runs are kept that were given no folder of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept(PathBuf);

impl Kept {
    /// In this folder, or else in that of our state.
    ///
    /// # Errors
    /// Nothing says where that is.
    pub fn in_folder(folder: Option<&Path>) -> Result<Self, HistoryError> {
        if let Some(folder) = folder {
            let absolute = std::path::absolute(folder);
            let io = |source| HistoryError::Io { what: "find", path: folder.to_owned(), source };
            return absolute.map(Self).map_err(io);
        }
        state_folder().map(|state| Self(state.join("runs"))).ok_or(HistoryError::NoPlace)
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Where a run of this name is put.
    #[must_use]
    pub fn place_of(&self, run: &str) -> PathBuf {
        self.0.join(run)
    }

    /// All runs, newest first, and the folders that could not be read, with why.
    ///
    /// # Errors
    /// The folder cannot be listed; one that is not there has no runs.
    pub fn list(&self) -> Result<(Vec<Brief>, Vec<JournalError>), HistoryError> {
        self.each(Brief::read)
    }

    /// The folders of those that go on, newest first.
    ///
    /// # Errors
    /// As for [`list`](Self::list).
    pub fn going_on(&self) -> Result<Vec<PathBuf>, HistoryError> {
        let going = self.beginnings()?.into_iter().filter(|brief| brief.state == State::GoesOn);
        Ok(going.map(|brief| brief.folder).collect())
    }

    /// The same of each journal's first line alone: they may be long, and there may be a gigabyte of them.
    ///
    /// # Errors
    /// As for [`list`](Self::list).
    pub fn beginnings(&self) -> Result<Vec<Brief>, HistoryError> {
        self.each(Brief::beginning).map(|(briefs, _)| briefs)
    }

    fn each(
        &self,
        read: impl Fn(&Path) -> Result<Brief, JournalError>,
    ) -> Result<(Vec<Brief>, Vec<JournalError>), HistoryError> {
        let (mut briefs, mut unreadable) = (Vec::new(), Vec::new());
        for folder in self.folders()? {
            match read(&folder) {
                Ok(brief) => briefs.push(brief),
                Err(error) => unreadable.push(error),
            }
        }
        briefs.sort_by(|a, b| b.began_ms.cmp(&a.began_ms).then_with(|| a.run.cmp(&b.run)));
        Ok((briefs, unreadable))
    }

    /// The folder of a run: by its name, a beginning of it that only one has, `last`, or a path.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn find(&self, wanted: &str) -> Result<PathBuf, HistoryError> {
        let path = Path::new(wanted);
        if path.join(journal::FILE_NAME).is_file() {
            return Ok(path.to_owned());
        }
        if path.file_name().is_some_and(|name| name == journal::FILE_NAME) && path.is_file() {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            return Ok(parent.unwrap_or(Path::new(".")).to_owned());
        }
        if wanted == LAST {
            let newest = self.beginnings()?.into_iter().next();
            return newest.map(|newest| newest.folder).ok_or_else(|| HistoryError::NoRun(self.0.clone()));
        }
        let name = |folder: &Path| folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut found = self.folders()?;
        found.retain(|folder| name(folder).starts_with(wanted));
        if let Some(exact) = found.iter().find(|folder| name(folder) == wanted) {
            return Ok(exact.clone());
        }
        match &found[..] {
            [only] => Ok(only.clone()),
            [] => Err(self.none(wanted)),
            several => {
                let runs = several.iter().map(|folder| name(folder)).collect();
                Err(HistoryError::Several { wanted: wanted.to_owned(), runs })
            }
        }
    }

    fn none(&self, wanted: &str) -> HistoryError {
        let report = self.0.join(SESSIONS).join(wanted).join(crate::report::HTML_FILE_NAME);
        match !wanted.is_empty() && report.is_file() {
            true => HistoryError::Session { wanted: wanted.to_owned(), report },
            false => HistoryError::Unknown { wanted: wanted.to_owned(), place: self.0.clone() },
        }
    }

    /// Removes what is not to be kept, and says what that was.
    ///
    /// # Errors
    /// The folder cannot be listed, or something in it not be removed.
    pub fn prune(&self, keep: &Keep, now_ms: u64) -> Result<Vec<Removed>, HistoryError> {
        self.finish_removals()?;
        let briefs = self.beginnings()?;
        let mut removed = Vec::new();
        for (brief, why) in keep.beyond(&briefs, now_ms) {
            if brief.state != State::GoesOn && self.remove(&brief.folder)? {
                removed.push(Removed { run: brief.run.clone(), bytes: brief.bytes, why });
            }
        }
        Ok(removed)
    }

    /// The folders that hold a journal.
    fn folders(&self) -> Result<Vec<PathBuf>, HistoryError> {
        let visible =
            |folder: &PathBuf| !folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let mut folders = self.entries()?;
        folders.retain(|folder| visible(folder) && folder.join(journal::FILE_NAME).is_file());
        Ok(folders)
    }

    /// Folders of any kind; links are none.
    fn entries(&self) -> Result<Vec<PathBuf>, HistoryError> {
        let io = |source| HistoryError::Io { what: "list", path: self.0.clone(), source };
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>().map_err(io)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io(error)),
        };
        let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        Ok(entries.iter().filter(|entry| is_folder(entry)).map(fs::DirEntry::path).collect())
    }

    /// Whether it was there and nobody writes it. It loses its name first: whoever lists meanwhile sees all of it or nothing.
    fn remove(&self, folder: &Path) -> Result<bool, HistoryError> {
        let io = |source| HistoryError::Io { what: "remove", path: folder.to_owned(), source };
        let Some(name) = folder.file_name() else { return Ok(false) };
        let journal = match File::open(folder.join(journal::FILE_NAME)) {
            Ok(journal) => journal,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io(error)),
        };
        match journal.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let mut aside = std::ffi::OsString::from(REMOVING);
        aside.push(name);
        let aside = self.0.join(aside);
        match fs::rename(folder, &aside) {
            Ok(()) => fs::remove_dir_all(&aside).map(|()| true).map_err(io),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io(error)),
        }
    }

    fn finish_removals(&self) -> Result<(), HistoryError> {
        let is_aside = |folder: &PathBuf| {
            folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(REMOVING.as_bytes()))
        };
        for aside in self.entries()?.into_iter().filter(is_aside) {
            match fs::remove_dir_all(&aside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(HistoryError::Io { what: "remove", path: aside, source: error });
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;
    use crate::record::{Entry, Happening};
    use meshproof_proto::id::{Digest, RunId, Term};

    fn began(run: &str, at_ms: u64) -> Entry {
        let what = Happening::RunBegan {
            run: RunId(run.to_owned()),
            plan: "p".to_owned(),
            file: "p.yaml".to_owned(),
            digest: Digest([0; 32]),
            seed: 1,
            term: Term(1),
        };
        Entry::own(at_ms, what)
    }

    fn write(kept: &Kept, run: &str, at_ms: u64) -> Journal {
        fs::create_dir_all(kept.place_of(run)).expect("a new folder");
        let mut journal = Journal::create(&kept.place_of(run).join(journal::FILE_NAME)).expect("a new file");
        journal.append(began(run, at_ms)).expect("written");
        journal
    }

    fn kept() -> (tempfile::TempDir, Kept) {
        let place = tempfile::tempdir().expect("a temporary folder");
        let kept = Kept::in_folder(Some(&place.path().join("runs"))).expect("named");
        (place, kept)
    }

    #[test]
    fn a_run_is_found_by_its_name_a_beginning_of_it_its_folder_or_as_the_last() {
        let (_place, kept) = kept();
        assert!(matches!(kept.find("last"), Err(HistoryError::NoRun(_))));
        for (run, at_ms) in [("r-aa1", 1), ("r-aa2", 3), ("r-b", 2)] {
            drop(write(&kept, run, at_ms));
        }
        let place = kept.place_of("r-aa2");
        let path = place.to_str().expect("plain").to_owned();
        for wanted in ["r-aa2", "last", &path, &format!("{path}/events.jsonl")] {
            assert_eq!(kept.find(wanted).expect(wanted), place);
        }
        assert_eq!(kept.find("r-b").expect("one"), kept.place_of("r-b"));
        let several = kept.find("r-a").expect_err("two").to_string();
        assert!(several.contains("r-aa1") && several.contains("r-aa2"), "{several}");
        assert!(matches!(kept.find("r-c"), Err(HistoryError::Unknown { .. })));
        let runs: Vec<String> = kept.list().expect("listed").0.into_iter().map(|brief| brief.run).collect();
        assert_eq!(runs, ["r-aa2", "r-b", "r-aa1"]);
    }

    #[test]
    fn only_runs_that_have_ended_are_removed_and_nothing_else_in_the_folder() {
        let (_place, kept) = kept();
        let going = write(&kept, "r-going", 1);
        for (run, at_ms) in [("r-old", 2), ("r-new", 3)] {
            drop(write(&kept, run, at_ms));
        }
        fs::create_dir_all(kept.place_of("mine")).expect("a new folder");
        fs::create_dir_all(kept.place_of(".removing-r-half/logs")).expect("a new folder");
        let keep = Keep { runs: 1, ..Keep::default() };
        let removed = kept.prune(&keep, 4).expect("removed");
        assert_eq!(removed.iter().map(|removed| removed.run.as_str()).collect::<Vec<_>>(), ["r-old"]);
        let mut left: Vec<_> =
            fs::read_dir(kept.folder()).expect("there").flatten().map(|entry| entry.file_name()).collect();
        left.sort();
        assert_eq!(left, ["mine", "r-going", "r-new"]);
        drop(going);
        assert_eq!(kept.prune(&keep, 4).expect("removed").len(), 1);
    }
}
