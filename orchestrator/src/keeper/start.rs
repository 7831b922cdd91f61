//! `meshproof keep`.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use anyhow::Context as _;
use rustix::process::{Pid, Signal};

use super::folder::RunFolder;
use super::parent::follow;
use super::{guard, serve};

/// The arguments of `meshproof keep`. Its standard input is the listening control socket, so that whoever starts it can
/// connect at once and sees the end when it dies.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The folder of the run.
    #[arg(long)]
    pub dir: PathBuf,
    /// The process id of the guard that started this, which is the keeper proper then.
    #[arg(long, hide = true)]
    pub guard: Option<i32>,
}

/// Keeps the environment of a folder until it has ended.
///
/// # Errors
/// It was not started as `meshproof run` does it, or it could not clean up.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let folder = RunFolder::new(args.dir);
    let Some(guard) = args.guard else { return guard::guard(&folder).await };
    follow(Pid::from_raw(guard).context("a guard has a process id")?, Signal::TERM)?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned().context("there is no standard input")?;
    let listener = UnixListener::from(socket);
    listener.local_addr().context("standard input is not a socket; `meshproof keep` is started by `meshproof run`")?;
    listener.set_nonblocking(true)?;
    serve::keep(folder, tokio::net::UnixListener::from_std(listener)?).await
}
