//! What the keeper's tests share: an environment whose keeper is this very test binary, and events to wait for.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshproof::local::{
    Exit, LocalEnvironment, Notice, ProcessExited, Programs, Spec, StartService, StopSignal, StopWish, What,
};
use meshproof_proto::id::{Name, RunId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// Far above anything that is waited for: a test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs [`crate::this_is_the_keeper`] with the arguments that follow it in `KEEPER_ARGS`.
const KEEPER: &str = r#"KEEPER_ARGS="$*" exec "$0" --exact this_is_the_keeper --ignored --nocapture"#;
const SIGNALING: &str = "echo listening on ws://127.0.0.1:9/mesh; exec sleep 1000";
const AGENT: &str = "exec sleep 1000";

pub fn name(text: &str) -> Name {
    text.parse().expect("a good name")
}

fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).into()
}

/// An environment of one service, `shop`, in a place that is the test's own.
pub struct Scene {
    pub place: tempfile::TempDir,
    pub spec: Spec,
}

impl Scene {
    pub fn new() -> Self {
        let place = tempfile::tempdir().expect("a temporary folder");
        let this = std::env::current_exe().expect("we run").to_str().expect("a plain path").to_owned();
        let keeper = [shell(KEEPER), vec![this]].concat();
        let programs = Programs { keeper, signaling: shell(SIGNALING), agent: shell(AGENT) };
        let base = Some(place.path().join("runs"));
        let (run, mesh, services) = (RunId("r1".to_owned()), name("dev"), vec![name("shop")]);
        let orphan_grace = Duration::from_secs(600);
        let (capabilities, withheld) = Default::default();
        let networked = Default::default();
        let spec = Spec {
            guests: Default::default(),
            labels: Default::default(),
            run,
            mesh,
            services,
            networked,
            orphan_grace,
            programs,
            capabilities,
            withheld,
            base,
            reports: None,
            contained: None,
        };
        Self { place, spec }
    }

    pub fn run_folder(&self) -> PathBuf {
        self.place.path().join("runs/r1")
    }

    pub async fn start(&self) -> (LocalEnvironment, Receiver<Notice>) {
        LocalEnvironment::start(self.spec.clone()).await.expect("everything is there")
    }

    /// A pipe that a service writes to when it has something to tell: its path, for the script.
    pub fn pipe(&self) -> PathBuf {
        let path = self.place.path().join("pipe");
        mkfifoat(CWD, &path, Mode::RWXU).expect("a new name");
        path
    }
}

/// A runtime that a test can end.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The service `shop`, as a shell script.
pub fn shop(script: &str) -> StartService {
    shop_of(vec![shell(script)])
}

pub fn shop_of(processes: Vec<Vec<String>>) -> StartService {
    let stop = StopWish { signal: StopSignal::Term, grace_ms: 10_000 };
    StartService { name: name("shop"), processes, env: BTreeMap::new(), files: Vec::new(), stop }
}

pub fn shop_process(process: usize) -> What {
    What::Service { name: name("shop"), process }
}

/// What is written to the pipe until everybody has closed it.
pub async fn told(pipe: &Path) -> String {
    let text = timeout(PATIENCE, tokio::fs::read_to_string(pipe)).await.expect("somebody writes");
    text.expect("plain text").trim().to_owned()
}

/// The next exit.
pub async fn exited(notices: &mut Receiver<Notice>) -> ProcessExited {
    loop {
        match timeout(PATIENCE, notices.recv()).await.expect("an exit") {
            Some(Notice::ProcessExited(exited)) => return exited,
            Some(
                Notice::Ending { .. }
                | Notice::AgentStarted { .. }
                | Notice::AgentGivenUp { .. }
                | Notice::SignalingGivenUp { .. }
                | Notice::Replaced,
            ) => {}
            None => panic!("the keeper is gone"),
        }
    }
}

/// Waits for these processes to be gone.
pub async fn gone(pids: impl IntoIterator<Item = i32>) {
    for pid in pids {
        let pid = Pid::from_raw(pid).expect("a process id");
        // One that is not found is gone already.
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
        let waited = move || poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&patience));
        let ended = tokio::task::spawn_blocking(waited).await.expect("it only waits");
        assert_eq!(ended, Ok(1), "{pid:?} is still there");
    }
}

pub fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a process id"), Signal::KILL).expect("it runs");
}

/// The parent of a process.
pub fn parent_of(pid: i32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("every process has one");
    parent.trim().parse().expect("a number")
}

pub fn is_there(path: &Path) -> bool {
    !matches!(path.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound)
}

pub const KILLED: Exit = Exit::Signal(9);
pub const TERMINATED: Exit = Exit::Signal(15);
