//! The folder of a run, where nobody else can look inside or put something in the way.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use meshproof_mesh::token_file;
use meshproof_proto::id::{Name, RunId};
use meshproof_proto::identity::Token;
use rustix::process::getuid;

use super::error::LocalError;
use crate::keeper::folder::{Alone, RunFolder, make_private_dir};
use crate::keeper::setup::Setup;
use crate::mesh_file::MeshFile;

/// Makes the folder of a run, which must be new. Until somebody listens in it, whoever has it must stay alone: it would be taken for one
/// that a crash has left.
pub fn make(base: Option<PathBuf>, run: &RunId) -> Result<(RunFolder, Alone), LocalError> {
    let name: Name = run.0.parse().map_err(|_| LocalError::BadRunId(run.0.clone()))?;
    let base = base.unwrap_or_else(usual_base);
    make_private_dir(&base).map_err(|cause| LocalError::Folder { what: "make", path: base.clone(), cause })?;
    check_private(&base)?;
    let alone = Alone::in_base(&base);
    let alone = alone.map_err(|cause| LocalError::Folder { what: "lock", path: base.clone(), cause })?;
    let path = base.join(name.as_str());
    let made = DirBuilder::new().mode(0o700).create(&path);
    made.map_err(|cause| LocalError::Folder { what: "make the folder of this run,", path: path.clone(), cause })?;
    Ok((RunFolder::new(path), alone))
}

/// A run whose keeper lives and whose mesh can be joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    pub run: String,
    pub mesh_file: PathBuf,
    /// Where its reports go.
    pub reports: Option<PathBuf>,
}

/// What a run's keeper has put where only its user finds it: enough to join its mesh as an orchestrator.
#[derive(Clone, Debug)]
pub struct KeptMesh {
    pub(super) folder: RunFolder,
    pub(super) setup: Setup,
    pub(super) token: Token,
    signaling: Vec<String>,
}

impl KeptMesh {
    /// Of a run that goes on.
    ///
    /// # Errors
    /// Something of it is not there, or cannot be read.
    pub fn of(running: &Running) -> Result<Self, LocalError> {
        let folder = running.mesh_file.parent().unwrap_or(Path::new("/")).to_owned();
        let folder = RunFolder::new(folder);
        let unreadable = |why: String| LocalError::NoKeptMesh { run: running.run.clone(), why };
        let setup = Setup::read(&folder).map_err(|error| unreadable(error.to_string()))?;
        let token = token_file::read(&folder.orchestrator_token()).map_err(|error| unreadable(error.to_string()))?;
        let mesh = MeshFile::read(&running.mesh_file).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { folder, setup, token, signaling: mesh.signaling })
    }

    pub fn run(&self) -> &RunId {
        &self.setup.run
    }

    pub fn mesh(&self) -> &Name {
        &self.setup.mesh
    }

    /// The agents: the names that have a vote.
    pub fn names(&self) -> Vec<Name> {
        self.setup.agents().cloned().collect()
    }

    pub fn token(&self) -> &Token {
        &self.token
    }

    pub fn signaling(&self) -> &[String] {
        &self.signaling
    }

    /// Where its reports go.
    pub fn reports(&self) -> Option<&Path> {
        self.setup.reports.as_deref()
    }
}

/// The runs of this user that go on, by id.
///
/// # Errors
/// The folder above them cannot be read, or others can write there.
pub fn running() -> Result<Vec<Running>, LocalError> {
    running_in(&usual_base())
}

fn running_in(base: &Path) -> Result<Vec<Running>, LocalError> {
    let cannot = |cause| LocalError::Folder { what: "look into", path: base.to_owned(), cause };
    let entries = match std::fs::read_dir(base) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(cannot)?,
    };
    check_private(base)?;
    let lives = |folder: &RunFolder| folder.mesh().is_file() && UnixStream::connect(folder.socket()).is_ok();
    let mut running = Vec::new();
    for entry in entries {
        let entry = entry.map_err(cannot)?;
        let folder = RunFolder::new(entry.path());
        if lives(&folder) {
            let run = entry.file_name().to_string_lossy().into_owned();
            let reports = Setup::read(&folder).ok().and_then(|setup| setup.reports);
            running.push(Running { run, mesh_file: folder.mesh(), reports });
        }
    }
    running.sort_by(|left, right| left.run.cmp(&right.run));
    Ok(running)
}

/// The runtime folder of the user's session, where there is one; it is on no disk and nobody else's.
pub(super) fn usual_base() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let above = runtime.filter(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir);
    above.join(format!("meshproof-{}", getuid().as_raw()))
}

/// Anybody can make a folder of that name in `/tmp` before us.
pub(super) fn check_private(path: &Path) -> Result<(), LocalError> {
    let about = path.symlink_metadata();
    let about = about.map_err(|cause| LocalError::Folder { what: "look at", path: path.to_owned(), cause })?;
    let is_ours = about.is_dir() && about.uid() == getuid().as_raw() && about.mode() & 0o077 == 0;
    if is_ours { Ok(()) } else { Err(LocalError::NotPrivate { path: path.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn run(text: &str) -> RunId {
        RunId(text.to_owned())
    }

    #[test]
    fn a_run_folder_is_private_and_new() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let base = place.path().join("base");
        let (made, alone) = make(Some(base.clone()), &run("r1")).expect("nothing is in the way");
        drop(alone);
        assert_eq!(made.path().metadata().expect("made").mode() & 0o777, 0o700);
        assert!(matches!(make(Some(base.clone()), &run("r1")), Err(LocalError::Folder { .. })));
        assert!(matches!(make(Some(base), &run("../r2")), Err(LocalError::BadRunId(_))));
    }

    #[test]
    fn a_run_goes_on_while_its_keeper_listens_and_not_when_only_its_folder_is_left() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let base = place.path().join("base");
        assert_eq!(running_in(&base).expect("none yet"), []);
        for name in ["left", "lives"] {
            let (folder, _alone) = make(Some(base.clone()), &run(name)).expect("nothing is in the way");
            std::fs::write(folder.mesh(), "").expect("ours");
        }
        let lives = RunFolder::new(base.join("lives"));
        let keeper = std::os::unix::net::UnixListener::bind(lives.socket()).expect("a short path");
        let found = running_in(&base).expect("ours");
        assert_eq!(found, [Running { run: "lives".to_owned(), mesh_file: lives.mesh(), reports: None }]);
        drop(keeper);
        assert_eq!(running_in(&base).expect("ours"), []);
    }

    #[test]
    fn a_base_that_others_can_enter_is_refused() {
        let place = tempfile::tempdir().expect("a temporary folder");
        std::fs::set_permissions(place.path(), Permissions::from_mode(0o755)).expect("ours");
        let made = make(Some(place.path().to_owned()), &run("r1"));
        assert!(matches!(made, Err(LocalError::NotPrivate { .. })));
    }
}
