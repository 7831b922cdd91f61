//! Processes that must not outlive the one that started them.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// The variable that carries the parent's process id to an agent or signaling server.
pub const DIE_WITH_PARENT: &str = "MESHPROOF_DIE_WITH_PARENT";

/// To be called first by every subcommand that a keeper starts (`agent`, `signaling`): when the environment names a
/// parent, the kernel kills this process as soon as that parent is gone, however it went.
///
/// # Errors
/// The parent is gone already: nothing is left to do here.
pub fn die_with_parent() -> io::Result<()> {
    match std::env::var(DIE_WITH_PARENT).ok().and_then(|text| text.parse().ok()).and_then(Pid::from_raw) {
        Some(parent) => follow(parent, Signal::KILL),
        None => Ok(()),
    }
}

/// Has this process sent `signal` when `parent`, who started it, is gone.
pub fn follow(parent: Pid, signal: Signal) -> io::Result<()> {
    set_parent_process_death_signal(Some(signal))?;
    // It may have died before the kernel knew that we care.
    if getppid() != Some(parent) {
        return Err(io::Error::other("the process that started this one is gone"));
    }
    Ok(())
}

/// Another program that ends with the process that started this one.
#[derive(Debug, clap::Args)]
pub struct Follower {
    /// Process id of whoever starts this
    #[arg(long)]
    parent: i32,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Follower {
    /// The program in the place of this process. Returns only what kept it from that.
    pub fn become_it(self) -> io::Error {
        let parent = Pid::from_raw(self.parent).ok_or_else(|| io::Error::other("no process has the id 0"));
        // what it has begun is nobody's any more
        match parent.and_then(|parent| follow(parent, Signal::KILL)) {
            Ok(()) => Command::new(&self.command[0]).args(&self.command[1..]).exec(),
            Err(error) => error,
        }
    }
}
