//! Network namespaces of services.
//!
//! Each has no name but only holders: this process, the agent and the processes of its service. When the last of them is gone,
//! however it went, the kernel takes the namespace away and every device in it. So there is nothing to undo, and nothing that
//! could be left. Nothing is made on the machine's own network either.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::PathBuf;
use std::process::{Child, Command};

use nix::sched::{CloneFlags, unshare};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use thiserror::Error;

/// A network namespace, as long as somebody holds it.
#[derive(Debug)]
pub struct Namespace(File);

/// Why this machine has none to give.
#[derive(Debug, Error)]
pub enum Impossible {
    #[error("a network namespace cannot be made: {0}")]
    Namespace(io::Error),
    #[error("`ip` cannot be run: {0}")]
    Ip(io::Error),
    #[error("a TUN device cannot be made: {0}")]
    Tun(String),
}

impl Namespace {
    /// A new one, in which nobody is.
    pub fn make() -> io::Result<Self> {
        aside(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net").map(Self)
        })
    }

    /// Where other processes find it, as long as this process holds it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }

    /// Starts a program in it.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        aside(|| {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?;
            command.spawn()
        })
    }
}

/// Makes what a data network is made of, once, and lets go of it.
///
/// # Errors
/// What this machine, or this user, cannot do.
pub fn possible() -> Result<(), Impossible> {
    let namespace = Namespace::make().map_err(Impossible::Namespace)?;
    let mut ip = Command::new("ip");
    ip.args(["tuntap", "add", "dev", "try0", "mode", "tun"]).stdin(std::process::Stdio::null());
    ip.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let made = namespace.spawn(&mut ip).and_then(Child::wait_with_output).map_err(Impossible::Ip)?;
    match made.status.success() {
        true => Ok(()),
        false => Err(Impossible::Tun(String::from_utf8_lossy(&made.stderr).trim().to_owned())),
    }
}

/// On a thread of its own, which ends with it: this process itself goes nowhere.
fn aside<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(io::Error::other("a thread that was to be in a namespace panicked")))
}
