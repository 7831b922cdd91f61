//! Which mesh is meant.

use std::path::{Path, PathBuf};

use meshproof_proto::verdict::Exit;
use thiserror::Error;

use crate::local::{self, LocalError, Running};
use crate::mesh_file::{MeshFile, MeshFileError};

/// Why no mesh was found.
#[derive(Debug, Error)]
pub enum FindError {
    #[error("no run goes on here; start one with `meshproof run PLAN`, or name a mesh file with --mesh FILE")]
    NoRun,
    #[error("several runs go on: {}; say which with --mesh RUN", .runs.join(", "))]
    Several { runs: Vec<String> },
    #[error("`{wanted}` is no run that goes on and no file; {}", those(.runs))]
    Unknown { wanted: String, runs: Vec<String> },
    #[error(transparent)]
    File(#[from] MeshFileError),
    #[error(transparent)]
    Local(#[from] LocalError),
}

impl FindError {
    /// What the command exits with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoRun | Self::Several { .. } | Self::Unknown { .. } | Self::File(_) => Exit::Usage,
            Self::Local(_) => Exit::MeshFailed,
        }
    }
}

fn those(runs: &[String]) -> String {
    if runs.is_empty() { "no run goes on here".to_owned() } else { format!("these runs go on: {}", runs.join(", ")) }
}

/// The mesh of this run or file; without either, of the one run that goes on.
///
/// # Errors
/// There is none, or more than one.
pub fn find(wanted: Option<&str>) -> Result<MeshFile, FindError> {
    Ok(MeshFile::read(&place(wanted)?)?)
}

/// Where the mesh file of this run is, or this file.
///
/// # Errors
/// As for [`find`].
pub fn place(wanted: Option<&str>) -> Result<PathBuf, FindError> {
    choose(wanted, &local::running()?)
}

fn choose(wanted: Option<&str>, running: &[Running]) -> Result<PathBuf, FindError> {
    let runs = || running.iter().map(|running| running.run.clone()).collect();
    let Some(wanted) = wanted else {
        return match running {
            [] => Err(FindError::NoRun),
            [only] => Ok(only.mesh_file.clone()),
            _ => Err(FindError::Several { runs: runs() }),
        };
    };
    if let Some(named) = running.iter().find(|running| running.run == wanted) {
        return Ok(named.mesh_file.clone());
    }
    if Path::new(wanted).exists() {
        return Ok(wanted.into());
    }
    let begins: Vec<&Running> = running.iter().filter(|running| running.run.starts_with(wanted)).collect();
    match begins[..] {
        [only] => return Ok(only.mesh_file.clone()),
        [] => {}
        _ => return Err(FindError::Several { runs: begins.iter().map(|running| running.run.clone()).collect() }),
    }
    Err(FindError::Unknown { wanted: wanted.to_owned(), runs: runs() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(runs: &[&str]) -> Vec<Running> {
        let running = |run: &&str| Running {
            run: (*run).to_owned(),
            mesh_file: format!("/runs/{run}/mesh.toml").into(),
            reports: None,
        };
        runs.iter().map(running).collect()
    }

    #[test]
    fn the_one_run_is_meant_and_of_several_one_has_to_be_named() {
        let found = choose(None, &running(&["r-1"])).expect("there is one");
        assert_eq!(found, Path::new("/runs/r-1/mesh.toml"));
        let two = running(&["r-1", "r-2"]);
        assert_eq!(choose(Some("r-2"), &two).expect("named"), Path::new("/runs/r-2/mesh.toml"));
        assert_eq!(choose(Some("r-"), &running(&["r-1"])).expect("it begins so"), Path::new("/runs/r-1/mesh.toml"));
        let error = choose(Some("r-"), &two).expect_err("which?");
        assert_eq!(error.to_string(), "several runs go on: r-1, r-2; say which with --mesh RUN");
        let error = choose(None, &two).expect_err("which?");
        assert_eq!(error.to_string(), "several runs go on: r-1, r-2; say which with --mesh RUN");
        assert_eq!(error.exit(), Exit::Usage);
        let error = choose(None, &[]).expect_err("none");
        assert!(error.to_string().contains("meshproof run PLAN"), "{error}");
        assert_eq!(error.exit(), Exit::Usage, "as of every command about a run that is not there");
        let error = choose(Some("r-3"), &two).expect_err("not there");
        assert_eq!(error.to_string(), "`r-3` is no run that goes on and no file; these runs go on: r-1, r-2");
        assert_eq!(error.exit(), Exit::Usage);
    }
}
