//! Every child's end, seen once. The keeper is a *subreaper*: what its children leave behind becomes its child, so
//! nothing that it started, however deep, gets out of its sight.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout_at};

use super::procfs;
use super::protocol::Exit;

/// Reaps all children of this process. There can be only one, and nobody else may wait for a child.
#[derive(Debug)]
pub struct Reaper(tokio::signal::unix::Signal);

impl Reaper {
    /// Makes this process the parent of its orphaned descendants. To be called before the first child is started.
    pub fn new() -> io::Result<Self> {
        set_child_subreaper(Some(getpid()))?;
        Ok(Self(signal(SignalKind::child())?))
    }

    /// Waits until some child may have ended.
    pub async fn changed(&mut self) {
        self.0.recv().await;
    }

    /// The children that ended since.
    pub fn reap(&self) -> Vec<(i32, Exit)> {
        let mut ended = Vec::new();
        // An error means that there is no child at all.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let code = status.exit_status().map(Exit::Code);
            if let Some(exit) = code.or(status.terminating_signal().map(Exit::Signal)) {
                ended.push((pid.as_raw_nonzero().get(), exit));
            }
        }
        ended
    }

    /// Waits until there is no child any more, but not for longer.
    pub async fn alone(&mut self, within: Duration) {
        let give_up_at = Instant::now() + within;
        loop {
            self.reap();
            if children().next().is_none() || timeout_at(give_up_at, self.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Kills whatever children are left, and theirs as they come to us, and names them. Gives up on those that not even
    /// SIGKILL ends within `deadline`.
    pub async fn sweep(&mut self, deadline: Duration) -> Vec<String> {
        let give_up_at = Instant::now() + deadline;
        let mut strays = BTreeMap::new();
        loop {
            self.reap();
            let children: Vec<_> = children().collect();
            for child in &children {
                strays.entry(child.pid).or_insert_with(|| format!("{} ({})", child.name, child.pid));
                send(child.pid, Signal::KILL);
            }
            if children.is_empty() || timeout_at(give_up_at, self.changed()).await.is_err() {
                return strays.into_values().collect();
            }
        }
    }
}

fn children() -> impl Iterator<Item = procfs::Process> {
    let own = getpid().as_raw_nonzero().get();
    procfs::processes().filter(move |process| process.parent == own && process.is_alive())
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended by now, which is what we want.
        let _ = kill_process(pid, signal);
    }
}
