//! Processes, as `/proc` tells them.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// One process, and what it was started with.
#[derive(Clone)]
pub struct Process {
    pub pid: i32,
    pub arguments: Vec<String>,
    environment: Vec<String>,
    folder: PathBuf,
}

impl Process {
    /// The value of a variable that it was started with.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find_map(|set| set.strip_prefix(name)?.strip_prefix('='))
    }

    /// The subcommand, if it is one of ours.
    pub fn subcommand(&self) -> Option<&str> {
        let program = Path::new(self.arguments.first()?).file_name()?;
        (program == "meshproof").then(|| self.arguments.get(1).map(String::as_str))?
    }

    fn mentions(&self, text: &str) -> bool {
        let mut all = self.arguments.iter().chain(&self.environment);
        all.any(|word| word.contains(text)) || self.folder.to_string_lossy().contains(text)
    }
}

/// Without the environment, which is nobody's business and long.
impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} in {}", self.pid, self.arguments, self.folder.display())
    }
}

/// Every living process whose command line, environment or working directory mentions this path.
pub fn mentioning(path: &Path) -> Vec<Process> {
    let text = path.to_str().expect("temporary folders have plain names");
    let entries = std::fs::read_dir("/proc").expect("this is Linux").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(look).filter(|process| process.mentions(text)).collect()
}

/// `None` when it has ended, or is not ours to see.
fn look(pid: i32) -> Option<Process> {
    let words = |file: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).ok()?;
        let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        Some(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
    };
    let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    Some(Process { pid, arguments: words("cmdline")?, environment: words("environ")?, folder })
}

/// The agents among these, by name.
pub fn agent<'a>(processes: &'a [Process], name: &str) -> &'a Process {
    let is_it =
        |process: &&Process| process.subcommand() == Some("agent") && process.variable("MESHPROOF_NAME") == Some(name);
    processes.iter().find(is_it).unwrap_or_else(|| panic!("no agent {name} among {processes:#?}"))
}

/// The two processes of `meshproof keep`: the guard, and the keeper that it guards.
pub fn keepers(processes: &[Process]) -> (&Process, &Process) {
    let keep = || processes.iter().filter(|process| process.subcommand() == Some("keep"));
    let is_guarded = |process: &&Process| process.arguments.iter().any(|argument| argument == "--guard");
    let guard = keep().find(|process| !is_guarded(process)).expect("a run has a guard");
    (guard, keep().find(is_guarded).expect("a run has a keeper"))
}

/// Holds on to processes, so that their end can be waited for and no other process is mistaken for them.
pub struct Watch(Vec<(Process, OwnedFd)>);

impl Watch {
    pub fn on(processes: Vec<Process>) -> Self {
        let handle = |process: Process| {
            let pid = Pid::from_raw(process.pid).expect("a process id is not 0");
            // One that is not found has ended already.
            Some((process, pidfd_open(pid, PidfdFlags::empty()).ok()?))
        };
        Self(processes.into_iter().filter_map(handle).collect())
    }

    /// Waits until all of them have ended.
    pub fn wait(&self, patience: Duration) {
        let seconds = i64::try_from(patience.as_secs()).expect("patience has an end");
        let timeout = Timespec { tv_sec: seconds, tv_nsec: 0 };
        for (process, handle) in &self.0 {
            let ended = poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&timeout));
            assert_eq!(ended, Ok(1), "still there after {patience:?}: {process:?}");
        }
    }
}
