//! Which run is meant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use meshproof_proto::verdict::Exit;
use thiserror::Error;

use crate::console::ConsoleError;
use crate::history::{HistoryError, Kept, State};
use crate::journal::JournalError;
use crate::local::{self, LocalError, Running};

/// A run cannot be followed.
#[derive(Debug, Error)]
pub enum AttachError {
    #[error(
        "no run goes on here; start one with `meshproof run PLAN`, or name one that was (`meshproof runs` lists them)"
    )]
    NoRun,
    #[error("several runs go on: {}; name the one that is meant", .0.join(", "))]
    Several(Vec<String>),
    #[error("there is no run `{wanted}`{}; `meshproof runs` lists those that were, in {}", those(.running), .place.display())]
    Unknown { wanted: String, running: Vec<String>, place: PathBuf },
    #[error("no run `{wanted}` goes on here{}", those(.running))]
    Over { wanted: String, running: Vec<String> },
    #[error("nobody commands {} in this mesh{}", .wanted.as_ref().map_or_else(|| "a run".to_owned(), |run| format!("the run `{run}`")), those(.running))]
    NoneHere { wanted: Option<String>, running: Vec<String> },
    #[error(transparent)]
    Console(#[from] ConsoleError),
    #[error(transparent)]
    Local(#[from] LocalError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the journal in {} does not begin with a run", .0.display())]
    NoBeginning(PathBuf),
}

impl AttachError {
    /// What the command exits with: a run that is not there is a mistake of whoever asked for it, named or not.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoRun | Self::Several(_) | Self::Unknown { .. } | Self::Over { .. } | Self::NoneHere { .. } => {
                Exit::Usage
            }
            Self::History(error) => error.exit(),
            Self::Console(_) | Self::Local(_) | Self::Journal(_) | Self::NoBeginning(_) => Exit::MeshFailed,
        }
    }
}

fn those(running: &[String]) -> String {
    if running.is_empty() { String::new() } else { format!(" (these go on: {})", running.join(", ")) }
}

/// The folder of this run's reports: one that goes on, by its name or a beginning of it, or one that was. Without a name, of the one
/// that goes on. Every command that is about a run asks here, so that all know the same runs and say the same of one that is not there.
///
/// # Errors
/// There is none, or more than one.
pub fn find(wanted: Option<&str>, kept: &Kept) -> Result<PathBuf, AttachError> {
    let mut going = going(local::running()?);
    if let Some(wanted) = wanted {
        return named(wanted, &going, kept);
    }
    // One that is still being built has no mesh yet.
    for brief in kept.list()?.0.into_iter().filter(|brief| brief.state == State::GoesOn) {
        going.insert(brief.run, brief.folder);
    }
    let mut runs = going.iter();
    match (runs.next(), runs.next()) {
        (None, _) => Err(AttachError::NoRun),
        (Some((_, folder)), None) => Ok(folder.clone()),
        (Some(_), Some(_)) => Err(AttachError::Several(going.into_keys().collect())),
    }
}

/// The run that goes on and is meant.
///
/// # Errors
/// There is none, or more than one.
pub fn running(wanted: Option<&str>) -> Result<Running, AttachError> {
    let mut running = local::running()?;
    if let Some(wanted) = wanted {
        let exact = running.iter().position(|one| one.run == wanted);
        running = match exact {
            Some(at) => vec![running.swap_remove(at)],
            None => running.into_iter().filter(|one| one.run.starts_with(wanted)).collect(),
        };
    }
    match (running.len(), wanted) {
        (0, None) => Err(AttachError::NoRun),
        (0, Some(wanted)) => {
            let running = local::running()?.into_iter().map(|one| one.run).collect();
            Err(AttachError::Over { wanted: wanted.to_owned(), running })
        }
        (1, _) => Ok(running.remove(0)),
        _ => Err(AttachError::Several(running.into_iter().map(|one| one.run).collect())),
    }
}

fn going(running: Vec<Running>) -> BTreeMap<String, PathBuf> {
    running.into_iter().filter_map(|running| Some((running.run, running.reports?))).collect()
}

fn named(wanted: &str, going: &BTreeMap<String, PathBuf>, kept: &Kept) -> Result<PathBuf, AttachError> {
    if let Some(folder) = going.get(wanted) {
        return Ok(folder.clone());
    }
    let begins: Vec<(&String, &PathBuf)> = going.iter().filter(|(run, _)| run.starts_with(wanted)).collect();
    match (&begins[..], kept.find(wanted)) {
        // A run that goes on may be among the kept ones too.
        ([(_, folder)], Ok(found)) if is_same(folder, &found) => Ok(found),
        ([(_, folder)], Err(HistoryError::Unknown { .. } | HistoryError::NoRun(_))) => Ok((*folder).clone()),
        ([], found) => found.map_err(|source| unknown(wanted, going, source)),
        (_, Ok(_) | Err(_)) => {
            let runs = begins.into_iter().map(|(run, _)| run.clone()).collect();
            Err(HistoryError::Several { wanted: wanted.to_owned(), runs }.into())
        }
    }
}

fn unknown(wanted: &str, going: &BTreeMap<String, PathBuf>, source: HistoryError) -> AttachError {
    match source {
        HistoryError::Unknown { place, .. } => {
            AttachError::Unknown { wanted: wanted.to_owned(), running: going.keys().cloned().collect(), place }
        }
        other => other.into(),
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    one == other || real(one).is_some_and(|one| real(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_goes_on_is_found_by_its_name_or_a_beginning_and_a_bad_name_says_which_there_are() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let kept = Kept::in_folder(Some(place.path())).expect("named");
        let runs = ["r-aa1", "r-aa2", "r-b"];
        let going = runs.iter().map(|run| ((*run).to_owned(), format!("/out/{run}").into())).collect();
        for (wanted, folder) in [("r-aa1", "/out/r-aa1"), ("r-b", "/out/r-b"), ("r-aa2", "/out/r-aa2")] {
            assert_eq!(named(wanted, &going, &kept).expect("it goes on"), Path::new(folder));
        }
        assert_eq!(named("r-b", &going, &kept).expect("one begins so"), Path::new("/out/r-b"));
        let several = named("r-aa", &going, &kept).expect_err("two begin so");
        assert_eq!(several.to_string(), "`r-aa` may be any of r-aa1, r-aa2");
        let error = named("r-c", &going, &kept).expect_err("there is none");
        let said = error.to_string();
        assert!(
            said.starts_with("there is no run `r-c` (these go on: r-aa1, r-aa2, r-b); `meshproof runs` lists"),
            "{said}"
        );
        let none = named("last", &going, &kept).expect_err("none was kept");
        assert!(none.to_string().starts_with("no run is kept in "), "{none}");
        for error in [several, error, none, AttachError::NoRun, AttachError::Several(Vec::new())] {
            assert_eq!(error.exit(), Exit::Usage, "{error}");
        }
    }
}
