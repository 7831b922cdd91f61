//! Where a round takes place: a folder, and a network in which nobody else is.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

/// A folder that mentions nobody else, and a network with nothing but loopback, where that can be had.
pub struct Place {
    folder: TempDir,
    network: Option<File>,
}

impl Place {
    pub fn new() -> Self {
        // Short: the keeper's socket is in here, and the path of a socket has 108 bytes.
        let folder = TempDir::with_prefix("mpc-").expect("a temporary folder");
        for name in ["run", "state", "effects"] {
            std::fs::create_dir(folder.path().join(name)).expect("a new folder");
        }
        let network = rustix::process::geteuid().is_root().then(network).and_then(Result::ok);
        Self { folder, network }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn effects(&self) -> PathBuf {
        self.path().join("effects")
    }

    /// Where the reports go.
    pub fn out(&self) -> PathBuf {
        self.path().join("out")
    }

    /// Stays when this is gone.
    pub fn keep(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// The bare binary, for this place.
    pub fn meshproof(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
        command.current_dir(self.path());
        command.env("XDG_RUNTIME_DIR", self.path().join("run"));
        command.env("XDG_STATE_HOME", self.path().join("state"));
        for name in ["MESHPROOF_RUNS", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Does something in this place's network.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let Some(network) = &self.network else { return Ok(work()) };
        aside(|| {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        })
    }

    /// Starts it in this place's network.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        self.inside(|| command.spawn())?
    }

    /// Whether paths can be cut here.
    pub fn can_cut(&self) -> bool {
        self.network.is_some()
    }

    /// From now on what these words of nft name is dropped.
    pub fn cut(&self, what: &[String]) {
        let rules: String = what.iter().map(|what| format!("add rule inet chaos input {what} drop\n")).collect();
        self.nft(&format!(
            "add table inet chaos\nadd chain inet chaos input {{ type filter hook input priority 0; policy accept; }}\n{rules}"
        ));
    }

    /// Nothing is dropped any more.
    pub fn heal(&self) {
        self.nft("delete table inet chaos\n");
    }

    fn nft(&self, rules: &str) {
        let mut nft = Command::new("nft");
        nft.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut nft = self.spawn(&mut nft).expect("nft is there where paths can be cut; .ci/setup installs it");
        nft.stdin.take().expect("it is piped").write_all(rules.as_bytes()).expect("it reads");
        assert!(nft.wait().expect("it is our child").success(), "nft took no {rules}");
    }
}

/// A new network, with loopback. It goes when the last of those in it has ended.
fn network() -> io::Result<File> {
    aside(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
        if !up.success() || !Command::new("nft").arg("-v").stdout(Stdio::null()).status()?.success() {
            return Err(io::Error::other("ip or nft cannot be run"));
        }
        File::open("/proc/thread-self/ns/net")
    })
}

/// On a thread of its own, which ends with it: this process itself goes nowhere.
fn aside<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join()).expect("nothing panics there")
}

/// The UDP ports that a process has.
pub fn udp_ports(pid: i32) -> Vec<u16> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inode = |target: &str| target.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned);
    let inodes: Vec<String> = entries.filter_map(|entry| inode(entry.path().read_link().ok()?.to_str()?)).collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/udp")).unwrap_or_default();
    let port = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_its = inodes.iter().any(|inode| Some(&inode.as_str()) == words.get(9));
        let (_, port) = words.get(1)?.split_once(':')?;
        is_its.then(|| u16::from_str_radix(port, 16).ok())?
    };
    table.lines().skip(1).filter_map(port).collect()
}
