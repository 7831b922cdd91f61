//! The command: of the `meshproof-signaling` binary and of `meshproof signaling`.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context;
use meshproof_proto::id::{Name, PeerId};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::ice::Ice;
use crate::limits;
use crate::server::{Config, serve};
use crate::tls::Tls;

/// Introduce the peers of a mesh to each other.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "MESHPROOF_SIGNALING_LISTEN", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// A mesh to serve and its public root key; may be given several times
    #[arg(
        long = "mesh",
        value_name = "NAME=ROOT-KEY",
        env = "MESHPROOF_MESHES",
        value_delimiter = ',',
        required = true
    )]
    pub meshes: Vec<MeshRoot>,
    /// Speak TLS (`wss`) with this certificate, and those that lead to its authority: PEM
    #[arg(long, value_name = "PATH", env = "MESHPROOF_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key: PEM
    #[arg(long, value_name = "PATH", env = "MESHPROOF_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// STUN and TURN servers that peers are told, `stun:HOST:PORT` and `turn:HOST:PORT` (over UDP); several are separated by commas
    #[arg(long, value_name = "URLS", env = "MESHPROOF_ICE", value_delimiter = ',')]
    pub ice: Vec<String>,
    /// File with the secret that the TURN servers share (coturn's `static-auth-secret`): each peer gets credentials made with it,
    /// good for an hour, and new ones before that
    #[arg(long, value_name = "PATH", env = "MESHPROOF_TURN_SECRET_FILE")]
    pub turn_secret_file: Option<PathBuf>,
    /// Folder with signed epochs, a file `NAME.json` for each pool of agents, as the Kubernetes operator writes them into ConfigMaps: peers
    /// are told which zone of a pool counts, now and when a file is replaced by one with a higher epoch
    #[arg(long, value_name = "FOLDER", env = "MESHPROOF_EPOCHS")]
    pub epochs: Option<PathBuf>,
    /// Where to answer `/healthz`, `/readyz` and `/metrics` over HTTP, as in `0.0.0.0:9464`; the names of meshes are told there.
    /// Default: `/healthz` only, where the server listens
    #[arg(long, value_name = "ADDRESS", env = "MESHPROOF_HEALTH")]
    pub health: Option<SocketAddr>,
    /// Write the URL into this file once connections are accepted; it goes when the server stops
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
}

/// `NAME=ROOT-KEY`: a mesh and its public root key in base32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshRoot {
    pub name: Name,
    pub root: PeerId,
}

/// The text is not `NAME=ROOT-KEY`.
#[derive(Debug, Error)]
pub enum BadMeshRoot {
    #[error("`NAME=ROOT-KEY` was expected, there is no `=`")]
    NoEquals,
    #[error(transparent)]
    Name(#[from] meshproof_proto::id::BadName),
    #[error(transparent)]
    Root(#[from] meshproof_proto::id::BadPeerId),
}

impl FromStr for MeshRoot {
    type Err = BadMeshRoot;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, root) = text.trim().split_once('=').ok_or(BadMeshRoot::NoEquals)?;
        Ok(Self { name: name.parse()?, root: root.parse()? })
    }
}

/// Serves until SIGTERM or SIGINT. Prints `listening on ws://ADDRESS:PORT/mesh` (or `wss`) once connections are accepted, so that a
/// parent can read where. Logs go to whatever `tracing` subscriber the caller has installed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let meshes = distinct(args.meshes)?;
    let tls =
        args.tls_cert.zip(args.tls_key).map(|(certificate, key)| Tls::of_files(&certificate, &key)).transpose()?;
    let secret = args.turn_secret_file.as_deref().map(Ice::read_secret).transpose()?;
    let ice = Ice::new(args.ice, secret)?;
    if let Some(folder) = &args.epochs {
        folder.read_dir().with_context(|| format!("cannot read the folder of epochs {}", folder.display()))?;
    }
    // before the line that makes a parent believe that it may send them
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    take_descriptors();
    let listener = TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let health = match args.health {
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            Some(Arc::new(bound.with_context(|| format!("cannot listen on {address}, where --health says"))?))
        }
        None => None,
    };
    let scheme = if tls.is_some() { "wss" } else { "ws" };
    let url = format!("{scheme}://{}/mesh", listener.local_addr()?);
    let _ready = args.ready_file.map(|path| ReadyFile::write(path, &url)).transpose()?;
    announce(&url).context("cannot say on stdout where the server listens")?;

    let shutdown = CancellationToken::new();
    let serving =
        serve(listener, Config { tls, ice, epochs: args.epochs, health, ..Config::new(meshes) }, shutdown.clone());
    let stopping = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
    };
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = stopping => serving.await,
    };
    served.context("the listener broke")
}

/// A connection is a descriptor, and many systems give a process 1,024 unless it asks for more.
fn take_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(limits::DESCRIPTORS).unwrap_or(u64::MAX);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let most = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }) {
        tracing::warn!(%error, "no more descriptors to be had than before");
    } else if most < wanted {
        tracing::info!(
            most,
            wanted,
            "fewer descriptors than connections; raise the hard limit (ulimit -Hn) for more than that"
        );
    }
}

fn distinct(meshes: Vec<MeshRoot>) -> anyhow::Result<Vec<(Name, PeerId)>> {
    let mut roots = BTreeMap::new();
    for MeshRoot { name, root } in meshes {
        if roots.insert(name.clone(), root).is_some_and(|former| former != root) {
            anyhow::bail!("mesh `{name}` is given with two root keys; keep one");
        }
    }
    Ok(roots.into_iter().collect())
}

fn announce(url: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening on {url}")?;
    stdout.flush()
}

/// Holds the URL while the server listens.
struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Whoever sees the file sees all of it.
    fn write(path: PathBuf, url: &str) -> anyhow::Result<Self> {
        let unfinished = path.with_added_extension("part");
        let written = std::fs::write(&unfinished, format!("{url}\n"));
        written.and_then(|()| std::fs::rename(&unfinished, &path)).with_context(|| cannot_write(&path))?;
        Ok(Self(path))
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write the ready file {}", path.display())
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // somebody may have removed it before
        let _ = std::fs::remove_file(&self.0);
    }
}
