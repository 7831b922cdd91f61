//! The keeper proper: one loop that owns everything and never waits for anybody in particular.

use std::time::Instant;

use anyhow::Context as _;
use tokio::net::UnixListener;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::containers::Containers;
use super::control;
use super::folder::RunFolder;
use super::groups::Groups;
use super::keeping::Keeper;
use super::limits::{CALLS_QUEUED, HELPERS_LEAVE_WITHIN, KILL_DEADLINE};
use super::opening;
use super::reaper::Reaper;
use super::setup::Setup;

/// Keeps the environment of this folder until it is told to end it, or nobody is there to tell.
pub async fn keep(run_folder: RunFolder, listener: UnixListener) -> anyhow::Result<()> {
    let setup = Setup::read(&run_folder)?;
    let mut reaper = Reaper::new().context("cannot become the parent of orphans")?;
    let mut asked_to_end = EndSignals::new()?;
    let containers = Containers::of(&run_folder, &setup);
    let mut groups = Groups::new(containers.clone())?;
    let signaling = opening::begin(&run_folder, &setup, &mut groups);
    let logs = run_folder.clone();
    let mut address = AbortOnDropHandle::new(tokio::spawn(async move { opening::address(signaling?, &logs).await }));
    let (calls, mut incoming) = mpsc::channel(CALLS_QUEUED);
    let _listening = AbortOnDropHandle::new(tokio::spawn(control::listen(listener, calls)));
    let mut keeper = Keeper::new(run_folder, setup, groups);
    while !keeper.is_done() {
        let timeout = keeper.poll_timeout();
        tokio::select! {
            Some(incoming) = incoming.recv() => keeper.handle(incoming),
            address = &mut address, if keeper.is_opening() => keeper.handle_address(address?),
            () = reaper.changed() => keeper.handle_exits(reaper.reap()),
            name = asked_to_end.recv() => keeper.handle_signal(name),
            () = until(timeout) => keeper.handle_timeout(Instant::now()),
        }
    }
    if let Some(containers) = &containers {
        remove(containers, &mut reaper).await;
    }
    let strays = reaper.sweep(KILL_DEADLINE).await;
    keeper.leave(strays).await
}

/// Removes the containers of a run, and waits until those are gone who looked after them. What cannot be removed is found by its label later.
pub(super) async fn remove(containers: &Containers, reaper: &mut Reaper) {
    if let Err(error) = containers.remove() {
        tracing::error!(%error, "containers of this run are left; `meshproof clean` removes them");
    }
    reaper.alone(HELPERS_LEAVE_WITHIN).await;
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// The signals that ask the keeper itself to end everything.
struct EndSignals {
    term: unix::Signal,
    int: unix::Signal,
}

impl EndSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}
