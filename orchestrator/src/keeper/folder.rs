//! Where things are in the folder of a run. Only its owner may look inside.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use meshproof_proto::id::Name;

/// The folder of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it, with all that is in it, while nobody takes it for one that a crash has left.
    pub fn remove(&self) -> io::Result<()> {
        let _alone = self.0.parent().map(Alone::in_base).transpose()?;
        remove(&self.0)
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.0.join("keeper.sock")
    }

    /// What the keeper prints.
    pub fn keeper_log(&self) -> PathBuf {
        self.0.join("keeper.log")
    }

    /// What the keeper is to keep.
    pub fn setup(&self) -> PathBuf {
        self.0.join("setup.json")
    }

    /// What resolvers of services on a data network read.
    pub fn hosts(&self) -> PathBuf {
        self.0.join("hosts")
    }

    /// How others find the mesh of this run.
    pub fn mesh(&self) -> PathBuf {
        self.0.join("mesh.toml")
    }

    /// The token of consoles, on its way into the mesh file.
    pub fn console_token(&self) -> PathBuf {
        self.0.join("console-token")
    }

    /// The same for who may only look.
    pub fn observers_mesh(&self) -> PathBuf {
        self.0.join("observer.toml")
    }

    /// The token of observers, on its way into that file.
    pub fn observer_token(&self) -> PathBuf {
        self.0.join("observer-token")
    }

    /// The token of orchestrators: of another one, should the first die.
    pub fn orchestrator_token(&self) -> PathBuf {
        self.0.join("orchestrator-token")
    }

    /// The token of an agent.
    pub fn token(&self, agent: &Name) -> PathBuf {
        self.0.join("tokens").join(agent.as_str())
    }

    /// What an agent keeps.
    pub fn state(&self, agent: &Name) -> PathBuf {
        self.0.join("state").join(agent.as_str())
    }

    /// The working directories of all services.
    pub fn services(&self) -> PathBuf {
        self.0.join("services")
    }

    /// The working directory of a service.
    pub fn service(&self, name: &Name) -> PathBuf {
        self.services().join(name.as_str())
    }

    /// Everything that was printed, a folder a service.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    pub fn stdout(&self, service: &Name) -> PathBuf {
        self.logs().join(service.as_str()).join("stdout.log")
    }

    pub fn stderr(&self, service: &Name) -> PathBuf {
        self.logs().join(service.as_str()).join("stderr.log")
    }

    pub fn agent_log(&self, agent: &Name) -> PathBuf {
        self.logs().join(agent.as_str()).join("agent.log")
    }

    pub fn signaling_log(&self) -> PathBuf {
        self.logs().join("signaling.log")
    }
}

/// Of several processes that make and remove the folders of runs in one place, the only one at present.
#[derive(Debug)]
pub struct Alone(#[expect(dead_code, reason = "it holds the lock")] File);

impl Alone {
    /// Waits for its turn.
    pub fn in_base(base: &Path) -> io::Result<Self> {
        let folder = File::open(base)?;
        folder.lock()?;
        Ok(Self(folder))
    }
}

/// Makes a folder, and those above it, for its owner only.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a new file that only its owner may read.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)
}

/// As [`write_private`], for a file that others wait for: they find all of it or nothing.
pub fn write_private_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    write_private(&unfinished, content)?;
    std::fs::rename(unfinished, path)
}

/// Opens a log that several processes may append to.
pub fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Removes a folder; one that is gone already is no error.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
