//! The keeper's keeper. `meshproof keep` is two processes: this one starts the keeper proper, waits for it, and, should it
//! die without having cleaned up, kills everything that it left and removes the folder. Should this one die first, the
//! kernel sends the keeper a SIGTERM and it ends everything in good order. Killing both at once leaves
//! something, which the next run finds by its [`mark`](super::marked).

use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use rustix::process::setsid;

use super::containers::Containers;
use super::folder::RunFolder;
use super::limits::KILL_DEADLINE;
use super::protocol::Exit;
use super::reaper::Reaper;
use super::serve;
use super::setup::Setup;

/// Starts the keeper of this folder in a session of its own, and makes sure that nothing outlives it.
pub async fn guard(folder: &RunFolder) -> anyhow::Result<()> {
    // In another session no Ctrl-C of the terminal reaches it or anything that it starts.
    setsid().context("cannot begin a session; `meshproof keep` is started by `meshproof run`")?;
    let mut reaper = Reaper::new().context("cannot become the parent of orphans")?;
    let outcome = keep(folder, &mut reaper).await;
    if outcome.is_err()
        && let Some(containers) = Setup::read(folder).ok().and_then(|setup| Containers::of(folder, &setup))
    {
        serve::remove(&containers, &mut reaper).await;
    }
    let strays = reaper.sweep(KILL_DEADLINE).await;
    if !strays.is_empty() {
        tracing::warn!(?strays, "the keeper left processes, which were killed");
    }
    folder.remove().with_context(|| format!("cannot remove {}", folder.path().display()))?;
    outcome
}

async fn keep(folder: &RunFolder, reaper: &mut Reaper) -> anyhow::Result<()> {
    let setup = Setup::read(folder)?;
    let (program, arguments) = setup.programs.keeper.split_first().context("the keeper's command line is empty")?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned().context("cannot pass the control socket on")?;
    let mut command = Command::new(program);
    command.args(arguments).arg("--dir").arg(folder.path()).stdin(Stdio::from(socket));
    command.arg("--guard").arg(std::process::id().to_string());
    let keeper = command.spawn().with_context(|| format!("cannot start the keeper `{program}`"))?.id();
    drop(command);
    loop {
        reaper.changed().await;
        if let Some((_, exit)) = reaper.reap().into_iter().find(|(pid, _)| u32::try_from(*pid) == Ok(keeper)) {
            anyhow::ensure!(exit == Exit::Code(0), "the keeper died: {exit}");
            return Ok(());
        }
    }
}
