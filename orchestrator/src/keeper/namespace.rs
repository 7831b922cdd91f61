//! Namespaces of services on a data network: of its network, of its host's name, and of what is mounted, so that names of services
//! are found in a hosts file that nobody else sees.
//!
//! They have no names but only holders: this process, the agent and the processes of the service. When the last of them is gone,
//! however it went, the kernel takes a namespace away and every device in it. So there is nothing to undo, and nothing that
//! could be left. Nothing is made on the machine's own network either.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use meshproof_agent::namespace::{HOSTS, resolve_by};
use meshproof_proto::id::Name;
use nix::sched::{CloneFlags, unshare};
use rustix::system::sethostname;
use rustix::thread::move_into_link_name_space;
use thiserror::Error;

/// Where Testground's SDK for Rust looks for its sync service, which the agent of each service stands in for.
const SYNC_SERVICE: &str = "127.0.0.1 testground-sync-service";

/// The namespaces of a service, as long as somebody holds them.
#[derive(Debug)]
pub struct Namespace {
    network: File,
    /// Of mounts, and of the host's name.
    others: [File; 2],
}

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
    /// New ones, in which nobody is, of a host of that name where resolvers find what this file says.
    pub fn make(host: &str, hosts: &Path) -> io::Result<Self> {
        aside(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS)?;
            sethostname(host.as_bytes())?;
            resolve_by(hosts)?;
            let of = |kind| File::open(format!("/proc/thread-self/ns/{kind}"));
            Ok(Self { network: of("net")?, others: [of("mnt")?, of("uts")?] })
        })
    }

    /// Where other processes find that of the network, as long as this process holds it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.network.as_raw_fd()).into()
    }

    /// Starts a program in them.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        aside(|| {
            // a thread whose root and working directory are shared with others may not enter another one's mounts
            unshare(CloneFlags::CLONE_FS)?;
            for namespace in [&self.network].into_iter().chain(&self.others) {
                move_into_link_name_space(namespace.as_fd(), None)?;
            }
            command.spawn()
        })
    }
}

/// The hosts file of services at these addresses: their names, and behind them what the machine's own says.
pub fn hosts(addresses: &BTreeMap<Name, Ipv4Addr>) -> String {
    let mut text = format!("{SYNC_SERVICE}\n");
    for (name, address) in addresses {
        let _ = writeln!(text, "{address} {name}");
    }
    text + &std::fs::read_to_string(HOSTS).unwrap_or_default()
}

/// Makes what a data network is made of, once, and lets go of it.
///
/// # Errors
/// What this machine, or this user, cannot do.
pub fn possible() -> Result<(), Impossible> {
    let namespace = Namespace::make("try", Path::new(HOSTS)).map_err(Impossible::Namespace)?;
    let mut ip = Command::new("ip");
    ip.args(["tuntap", "add", "dev", "try0", "mode", "tun"]).stdin(std::process::Stdio::null());
    ip.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let made = namespace.spawn(&mut ip).and_then(Child::wait_with_output).map_err(Impossible::Ip)?;
    match made.status.success() {
        true => Ok(()),
        false => Err(Impossible::Tun(String::from_utf8_lossy(&made.stderr).trim().to_owned())),
    }
}

/// Has a program of the system change a network that is made for this and gone with it: whether this kernel, and this user, can.
///
/// # Errors
/// What was said instead.
pub fn takes(program: &str, arguments: &[&str]) -> Result<(), String> {
    let namespace = Namespace::make("try", Path::new(HOSTS));
    let namespace = namespace.map_err(|error| Impossible::Namespace(error).to_string())?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let ended = namespace.spawn(&mut command).and_then(Child::wait_with_output);
    let ended = ended.map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    match ended.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&ended.stderr);
            let first = said.trim().lines().next().unwrap_or("it failed");
            Err(format!("`{program}` says: {}", first.trim_start_matches("Error: ").trim_end_matches('.')))
        }
    }
}

/// On a thread of its own, which ends with it: this process itself goes nowhere.
fn aside<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(io::Error::other("a thread that was to be in a namespace panicked")))
}
