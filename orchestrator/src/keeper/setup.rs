//! What a keeper is to keep: written by `local`, read once at start. Holds no secret; tokens are files of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshproof_proto::id::{Name, PeerId, RunId};
use meshproof_proto::identity::Token;
use meshproof_proto::labels::{Labels, ZONE};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::containers::Contained;
use super::folder::{RunFolder, write_private};
use crate::mesh_file::MeshFile;

/// The environment of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    pub run: RunId,
    pub mesh: Name,
    /// The mesh's root key.
    pub root: PeerId,
    /// Each gets an agent.
    pub services: Vec<Name>,
    /// But for these, which share another one's.
    #[serde(default)]
    pub guests: BTreeSet<Name>,
    /// Those that get a network namespace of their own, and their addresses on the data network.
    pub networked: BTreeMap<Name, Ipv4Addr>,
    /// What the instances of each agent are labelled with, from the first.
    #[serde(default)]
    pub labels: BTreeMap<Name, Vec<Labels>>,
    pub orphan_grace_ms: u64,
    /// Where its reports go, for those who look for them; none: nowhere.
    #[serde(default)]
    pub reports: Option<PathBuf>,
    pub programs: Programs,
    /// The services that live in containers; none: none does.
    #[serde(default)]
    pub contained: Option<Contained>,
}

/// The beginnings of the command lines that the keeper uses; it adds the arguments. Everywhere but in tests: this binary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programs {
    pub keeper: Vec<String>,
    pub signaling: Vec<String>,
    pub agent: Vec<String>,
}

impl Programs {
    /// This binary's own subcommands: of the file that runs, also when a build has put another one in its place, or none.
    ///
    /// # Errors
    /// The path of this binary cannot be told, or is not Unicode.
    pub fn of_this_binary() -> io::Result<Self> {
        // Opens what runs, whatever became of its path, in each process that is started from here.
        let running = Path::new("/proc/self/exe");
        let path = std::env::current_exe()?;
        let file = |path: &Path| path.metadata().map(|file| (file.dev(), file.ino())).ok();
        // By its path people know it in a list of processes.
        let is_there = file(running).is_some_and(|this| file(&path) == Some(this));
        Self::of(if is_there { &path } else { running })
    }

    /// The subcommands of this meshproof binary.
    ///
    /// # Errors
    /// Its path is not Unicode.
    pub fn of(path: &Path) -> io::Result<Self> {
        let path =
            path.to_str().ok_or_else(|| io::Error::other(format!("the path {} is not Unicode", path.display())))?;
        let subcommand = |name: &str| vec![path.to_owned(), name.to_owned()];
        Ok(Self { keeper: subcommand("keep"), signaling: subcommand("signaling"), agent: subcommand("agent") })
    }
}

/// Why a setup could not be read.
#[derive(Debug, Error)]
pub enum SetupError {
    #[error("cannot read {path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    #[error("{path} is not what a keeper expects: {cause}")]
    Unreadable { path: PathBuf, cause: serde_json::Error },
}

impl Setup {
    /// The services that have an agent of their own.
    pub fn agents(&self) -> impl Iterator<Item = &Name> {
        self.services.iter().filter(|name| !self.guests.contains(*name))
    }

    pub fn orphan_grace(&self) -> Duration {
        Duration::from_millis(self.orphan_grace_ms)
    }

    /// How many instances of that agent there are.
    pub fn instances(&self, name: &Name) -> u32 {
        self.labels.get(name).and_then(|labels| u32::try_from(labels.len()).ok()).unwrap_or(0).max(1)
    }

    /// What that instance is labelled with.
    pub fn labels_of(&self, name: &Name, number: u32) -> Option<&Labels> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.labels.get(name)?.get(at).filter(|labels| !labels.is_empty())
    }

    /// Where that instance is, if it is in a zone.
    pub fn zone_of(&self, name: &Name, number: u32) -> Option<&str> {
        self.labels_of(name, number)?.get(ZONE)
    }

    pub fn write(&self, folder: &RunFolder) -> io::Result<()> {
        write_private(&folder.setup(), &serde_json::to_vec_pretty(self)?)
    }

    pub fn read(folder: &RunFolder) -> Result<Self, SetupError> {
        let path = folder.setup();
        let text = std::fs::read(&path).map_err(|cause| SetupError::Io { path: path.clone(), cause })?;
        serde_json::from_slice(&text).map_err(|cause| SetupError::Unreadable { path, cause })
    }

    /// What the run's `mesh.toml` says.
    pub fn mesh_file(&self, signaling: &str, token: Token) -> MeshFile {
        MeshFile {
            run: Some(self.run.clone()),
            mesh: self.mesh.clone(),
            root: self.root,
            signaling: vec![signaling.to_owned()],
            agents: self.agents().cloned().collect(),
            token,
            ca: None,
        }
    }
}
