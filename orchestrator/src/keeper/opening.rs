//! What a keeper starts before anybody can ask for more: signaling, then an agent a service.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use meshproof_proto::id::Name;
use meshproof_proto::identity::{Token, TrustError};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::time::timeout;

use super::containers::Containers;
use super::engine::EngineError;
use super::folder::{RunFolder, make_private_dir, open_log, write_private_whole};
use super::groups::Groups;
use super::limits::{OWN_GRACE, SIGNALING_DEADLINE, SIGNALING_LINE_BYTES};
use super::namespace::{self, Namespace};
use super::protocol::{StopSignal, StopWish, What};
use super::respawn::Respawns;
use super::setup::Setup;
use super::spawn::{self, Home, Listen, SpawnError};

/// Everything that listens and waits.
#[derive(Debug)]
pub struct Opened {
    /// `ws://…`.
    pub signaling: String,
    pub agents: BTreeMap<Name, i32>,
    /// Those that live in one of their own.
    pub namespaces: BTreeMap<Name, Namespace>,
    pub containers: Option<Containers>,
}

/// Why it could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("cannot make {path}: {cause}")]
    Folder { path: PathBuf, cause: io::Error },
    #[error("cannot use the consoles' token in {path}: {cause}")]
    Token { path: PathBuf, cause: TrustError },
    #[error("cannot make a network namespace for service {service}: {cause}")]
    Namespace { service: Name, cause: io::Error },
    #[error("cannot make the containers of this run: {0}")]
    Containers(EngineError),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("signaling ended before it listened; its last words: {0}")]
    SignalingEnded(String),
    #[error("signaling did not say where it listens within {} s", SIGNALING_DEADLINE.as_secs())]
    SignalingSilent,
    #[error("signaling said `{0}` where `listening on ws://…` was expected")]
    SignalingUnclear(String),
    #[error("cannot read what signaling says: {0}")]
    SignalingPipe(io::Error),
}

/// Makes the folders and starts signaling. Gives its standard output, for [`address`].
pub fn begin(folder: &RunFolder, setup: &Setup, groups: &mut Groups) -> Result<OwnedFd, OpenError> {
    make_folders(folder, setup)?;
    // agents in containers find signaling where their network meets this machine
    let address = match Containers::of(folder, setup) {
        Some(containers) => containers.open().map_err(OpenError::Containers)?,
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let (pid, stdout) = spawn::signaling(folder, setup, Listen::Anywhere(address))?;
    groups.add(What::Signaling, pid, stop_of_ours());
    Ok(stdout)
}

/// Starts the agents and writes `mesh.toml`.
pub fn finish(
    folder: &RunFolder,
    setup: &Setup,
    (groups, respawns): (&mut Groups, &mut Respawns),
    signaling: String,
) -> Result<Opened, OpenError> {
    // whoever finds the first of these finds the second
    for (path, token) in [(folder.observers_mesh(), folder.observer_token()), (folder.mesh(), folder.console_token())] {
        let mesh = setup.mesh_file(&signaling, read_token(token)?).text();
        let written = write_private_whole(&path, mesh.as_bytes());
        written.map_err(|cause| OpenError::Folder { path, cause })?;
    }
    let containers = Containers::of(folder, setup);
    let mut opened = Opened { signaling, agents: BTreeMap::new(), namespaces: namespaces(folder, setup)?, containers };
    respawns.started(&What::Signaling, Instant::now());
    for name in setup.agents() {
        opened.start_agent((folder, setup), (groups, respawns), (name, 1))?;
    }
    Ok(opened)
}

fn namespaces(folder: &RunFolder, setup: &Setup) -> Result<BTreeMap<Name, Namespace>, OpenError> {
    let hosts = folder.hosts();
    if setup.networked.is_empty() {
        return Ok(BTreeMap::new());
    }
    // resolvers of any user read it
    let written = std::fs::write(&hosts, namespace::hosts(&setup.networked));
    written.map_err(|cause| OpenError::Folder { path: hosts.clone(), cause })?;
    let of = |name: &Name| match Namespace::make(name.as_str(), &hosts) {
        Ok(namespace) => Ok((name.clone(), namespace)),
        Err(cause) => Err(OpenError::Namespace { service: name.clone(), cause }),
    };
    setup.networked.keys().map(of).collect()
}

impl Opened {
    /// Where a service lives.
    pub fn home(&self, service: &Name) -> Home<'_> {
        let container = self.containers.as_ref().filter(|containers| containers.has(service)).map(Home::Container);
        let namespace = || self.namespaces.get(service).map(Home::Namespace);
        container.or_else(namespace).unwrap_or(Home::Machine)
    }

    /// Starts an agent, for the first time or again. Gives the process id.
    pub fn start_agent(
        &mut self,
        (folder, setup): (&RunFolder, &Setup),
        (groups, respawns): (&mut Groups, &mut Respawns),
        (name, number): (&Name, u32),
    ) -> Result<i32, SpawnError> {
        let what = What::Agent { name: name.clone(), number };
        respawns.started(&what, Instant::now());
        let pid = spawn::agent((folder, setup), (name, number), self.home(name), &self.signaling)?;
        groups.add(what, pid, stop_of_ours());
        self.agents
            .entry(name.clone())
            .and_modify(|first| *first = if number == 1 { pid } else { *first })
            .or_insert(pid);
        Ok(pid)
    }

    /// Starts signaling again, where peers look for it.
    pub fn start_signaling(
        &self,
        (folder, setup): (&RunFolder, &Setup),
        (groups, respawns): (&mut Groups, &mut Respawns),
    ) -> Result<(), SpawnError> {
        respawns.started(&What::Signaling, Instant::now());
        let (pid, stdout) = spawn::signaling(folder, setup, Listen::At(authority(&self.signaling)))?;
        groups.add(What::Signaling, pid, stop_of_ours());
        let folder = folder.clone();
        tokio::spawn(async move {
            if let Err(error) = address(stdout, &folder).await {
                tracing::warn!(%error, "signaling was started again");
            }
        });
        Ok(())
    }
}

/// `host:port` of a URL.
pub fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(authority, _)| authority)
}

fn read_token(path: PathBuf) -> Result<Token, OpenError> {
    let text = std::fs::read_to_string(&path).map_err(|cause| OpenError::Folder { path: path.clone(), cause })?;
    Token::from_text(&text).map_err(|cause| OpenError::Token { path, cause })
}

fn stop_of_ours() -> StopWish {
    StopWish { signal: StopSignal::Term, grace_ms: u64::try_from(OWN_GRACE.as_millis()).unwrap_or(u64::MAX) }
}

/// Also makes empty logs: who watches them finds them from the start.
fn make_folders(folder: &RunFolder, setup: &Setup) -> Result<(), OpenError> {
    for name in &setup.services {
        let logs = [folder.stdout(name), folder.stderr(name)];
        for path in [folder.service(name), folder.state(name), folder.logs().join(name.as_str())] {
            make_private_dir(&path).map_err(|cause| OpenError::Folder { path, cause })?;
        }
        for path in logs {
            open_log(&path).map_err(|cause| OpenError::Folder { path, cause })?;
        }
    }
    make_private_dir(&folder.logs()).map_err(|cause| OpenError::Folder { path: folder.logs(), cause })
}

/// Waits until signaling says where it listens, and goes on reading so that it never finds its output closed.
pub async fn address(stdout: OwnedFd, folder: &RunFolder) -> Result<String, OpenError> {
    let mut output = BufReader::new(pipe::Receiver::from_owned_fd(stdout).map_err(OpenError::SignalingPipe)?);
    let mut line = String::new();
    let mut limited = (&mut output).take(SIGNALING_LINE_BYTES);
    match timeout(SIGNALING_DEADLINE, limited.read_line(&mut line)).await {
        Err(_) => return Err(OpenError::SignalingSilent),
        Ok(Err(cause)) => return Err(OpenError::SignalingPipe(cause)),
        Ok(Ok(0)) => return Err(OpenError::SignalingEnded(last_words(folder))),
        Ok(Ok(_)) => {}
    }
    let url = line.trim().strip_prefix("listening on ").filter(|url| url.starts_with("ws://") && !url.contains('"'));
    let url = url.ok_or_else(|| OpenError::SignalingUnclear(line.trim().to_owned()))?.to_owned();
    // Ends with signaling, and with the keeper's runtime at the latest.
    tokio::spawn(async move { tokio::io::copy_buf(&mut output, &mut tokio::io::sink()).await });
    Ok(url)
}

fn last_words(folder: &RunFolder) -> String {
    let log = std::fs::read_to_string(folder.signaling_log()).unwrap_or_default();
    log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("none").to_owned()
}
