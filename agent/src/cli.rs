//! The command: of the `meshproof-agent` binary and of `meshproof agent`. Everything comes from the environment, as in a
//! container, and the token from a file, so that no secret stands in an argument list.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use meshproof_mesh::rtc::RtcConfig;
use meshproof_mesh::{Mesh, MeshConfig};
use meshproof_proto::id::Name;
use meshproof_proto::identity::{Grant, Token};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::limits;
use crate::session::Session;

/// Act for the service beside this process.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Signaling servers, `ws://HOST:PORT/mesh`; several are separated by commas
    #[arg(long, value_name = "URLS", env = "MESHPROOF_SIGNALING", value_delimiter = ',', required = true)]
    pub signaling: Vec<String>,
    /// This agent's name: that of the service beside it
    #[arg(long, env = "MESHPROOF_NAME")]
    pub name: Name,
    /// File that holds the token
    #[arg(long, value_name = "PATH", env = "MESHPROOF_TOKEN_FILE")]
    pub token_file: PathBuf,
    /// Directory for what has to survive this process; made when it is not there
    #[arg(long, value_name = "PATH", env = "MESHPROOF_STATE")]
    pub state: Option<PathBuf>,
    /// Local addresses that other peers can reach; several are separated by commas
    #[arg(
        long,
        value_name = "ADDRESSES",
        env = "MESHPROOF_ADDRESSES",
        value_delimiter = ',',
        default_value = "127.0.0.1"
    )]
    pub addresses: Vec<IpAddr>,
    /// End when the parent process does
    #[arg(long, env = "MESHPROOF_DIE_WITH_PARENT", value_parser = clap::builder::FalseyValueParser::new())]
    pub die_with_parent: bool,
}

/// Joins the mesh and serves until SIGTERM or SIGINT; then leaves at once, and on a second signal without a word. Logs go to
/// whatever `tracing` subscriber the caller has installed.
///
/// # Errors
///
/// The token cannot be read or is not for this name, or a directory cannot be made.
pub async fn run(args: Args) -> anyhow::Result<()> {
    // Before anything else, so that no signal finds us unprepared.
    let mut signals = Signals::listen()?;
    if args.die_with_parent {
        die_with_parent()?;
    }
    if let Some(state) = &args.state {
        std::fs::create_dir_all(state)
            .with_context(|| format!("cannot make the state directory {}", state.display()))?;
    }
    let token = read_token(&args.token_file)?;
    let grant: Grant = serde_json::from_str(&token.grant.text).context("the token's grant cannot be read")?;
    let config = MeshConfig {
        mesh: grant.mesh.clone(),
        name: args.name.clone(),
        token,
        signaling: args.signaling,
        rtc: RtcConfig { addresses: args.addresses, ..RtcConfig::default() },
        proxies: Default::default(),
    };
    let (mesh, events) = Mesh::join(config).context("cannot join the mesh")?;
    tracing::info!(name = %args.name, mesh = %grant.mesh, instance = %mesh.me(), "joined");
    let stop = CancellationToken::new();
    let session = Session::new((mesh.clone(), events), args.name, grant.capabilities).run(stop.clone());
    tokio::pin!(session);
    tokio::select! {
        () = &mut session => {}
        () = signals.next() => {
            stop.cancel();
            session.await;
        }
    }
    tokio::select! {
        _ = tokio::time::timeout(limits::LEAVE, mesh.leave()) => {}
        () = signals.next() => {}
    }
    Ok(())
}

fn read_token(path: &Path) -> anyhow::Result<Token> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the token file {}", path.display()))?;
    Token::from_text(&text).with_context(|| format!("{} holds no token", path.display()))
}

/// The kernel sends SIGTERM when the parent ends; more exactly, when the thread that made us does. A parent that ended just
/// before is noticed by its absence.
fn die_with_parent() -> anyhow::Result<()> {
    let parent = rustix::process::getppid();
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .context("cannot ask the kernel to end this process with its parent")?;
    if rustix::process::getppid() != parent {
        bail!("the parent process has ended");
    }
    Ok(())
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
