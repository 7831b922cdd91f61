//! Where a round takes place, and who commands there.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::ground::Ground;
use crate::network::Network;
use crate::plan;
use crate::processes::{self, Process};

/// Far above what anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Records of an orchestrator that nobody has looked at yet.
const RECORDS: usize = 4096;

/// A folder that mentions nobody else, and a network in which nobody else is.
pub struct Place {
    folder: TempDir,
    network: Option<Network>,
}

impl Place {
    pub fn new() -> Self {
        // Short: the keeper's socket is in here, and the path of a socket has 108 bytes.
        let place = TempDir::with_prefix("mpl-").expect("a temporary folder");
        for folder in ["run", "state", "asks"] {
            std::fs::create_dir(place.path().join(folder)).expect("a new folder");
        }
        Self { folder: place, network: Network::new() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// None: that of everybody.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// Where services write whom they ask.
    pub fn asks(&self) -> PathBuf {
        self.path().join("asks")
    }

    pub fn run(&self, ground: Ground, lease_s: u64) -> Commander {
        let program = std::env::current_exe().expect("this program").display().to_string();
        let text = plan::text(ground, lease_s, (&program, &self.asks().display().to_string()));
        let path = self.path().join("plan.yaml");
        std::fs::write(&path, text).expect("a writable folder");
        let mut command = self.meshproof();
        command.arg("run").arg(path).arg("--out").arg(self.path().join("out")).args(["--progress", "json"]);
        self.start(command)
    }

    pub fn take_over(&self) -> Commander {
        let mut command = self.meshproof();
        command.args(["attach", "--take-over", "--progress", "json"]);
        self.start(command)
    }

    /// In this place's network.
    fn start(&self, mut command: Command) -> Commander {
        let spawn = move || {
            self.network().into_iter().for_each(Network::enter);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            command.spawn().expect("the binary was built with this test")
        };
        Commander::of(std::thread::scope(|scope| scope.spawn(spawn).join()).expect("it is spawned"))
    }

    fn meshproof(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
        command.current_dir(self.path());
        command.env("XDG_RUNTIME_DIR", self.path().join("run")).env("XDG_STATE_HOME", self.path().join("state"));
        // longer than any lease: what ends a fault is not the end of everything
        command.env("MESHPROOF_ORPHAN_GRACE", "600s");
        for name in ["MESHPROOF_LOG", "MESHPROOF_RUNS", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"] {
            command.env_remove(name);
        }
        command
    }
}

/// When a round does not hold, its folder stays, with all that was written about it.
impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            processes::mentioning(self.path()).iter().for_each(kill);
            self.folder.disable_cleanup(true);
            println!("everything about it is in {}", self.path().display());
        }
    }
}

/// By SIGKILL, if it has not ended.
pub fn kill(process: &Process) {
    let pid = Pid::from_raw(process.pid).expect("a process id is not 0");
    let _ = kill_process(pid, Signal::KILL);
}

/// A process that commands the run, and what it tells.
pub struct Commander {
    child: Child,
    records: Receiver<Value>,
}

impl Commander {
    fn of(mut child: Child) -> Self {
        let (told, records) = sync_channel(RECORDS);
        let stdout = child.stdout.take().expect("it is a pipe");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // when nobody looks any more it is still read, so that it does not wait
                let _ = serde_json::from_str(&line).map(|record| told.try_send(record));
            }
        });
        Self { child, records }
    }

    /// Waits for a record that is it.
    pub fn until(&self, what: &str, mut is_it: impl FnMut(&Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.records.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(record) if is_it(&record["what"]) => return,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => panic!("{what}: not within {PATIENCE:?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("{what}: the orchestrator ended before"),
            }
        }
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Commander {
    fn drop(&mut self) {
        self.kill();
    }
}
