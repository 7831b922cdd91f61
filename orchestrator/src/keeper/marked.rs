//! The processes of a run, found when nobody is left who started them.
//!
//! Whatever the keeper starts has the run's folder in its environment, and so has what that starts, unless it takes it away. A session
//! is entered by birth only, so all of one in which somebody is marked are of that run: also the programs of steps, which see nothing of
//! their agent's environment.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::procfs::{self, Process};

/// The variable that names the folder of the run.
pub const MARK: &str = "MESHPROOF_RUN_FOLDER";

/// What became of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Killed {
    /// `shop (1234)`.
    pub ended: Vec<String>,
    /// Not even SIGKILL has ended these.
    pub stay: Vec<String>,
}

/// Kills every process of a run whose keeper is gone, and what they start meanwhile. Gives up on those that live on after `deadline`.
pub fn kill(folder: &Path, deadline: Duration) -> Killed {
    let give_up_at = Instant::now() + deadline;
    let (mut found, mut sessions) = (BTreeMap::new(), BTreeSet::new());
    loop {
        let seen = of(folder, &mut sessions);
        // Between a look and a handle another may have got a number, so it is looked again before anybody is killed.
        let handles: Vec<_> = seen.keys().filter_map(|pid| Some((*pid, handle(*pid)?))).collect();
        let left = of(folder, &mut sessions);
        let ours: Vec<_> = handles.iter().filter(|(pid, _)| left.contains_key(pid)).collect();
        found.extend(left.clone());
        // One that has ended by now is what we want.
        for (_, handle) in &ours {
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
        ours.iter().for_each(|(_, handle)| wait(handle, give_up_at));
        if left.is_empty() || Instant::now() >= give_up_at {
            let name = |(pid, name): (&i32, &String)| format!("{name} ({pid})");
            let (stay, ended): (Vec<_>, Vec<_>) = found.iter().partition(|(pid, _)| left.contains_key(pid));
            return Killed { ended: ended.into_iter().map(name).collect(), stay: stay.into_iter().map(name).collect() };
        }
    }
}

/// Those that live, with their names: of every session in which somebody is marked, or was when it was looked before.
fn of(folder: &Path, sessions: &mut BTreeSet<i32>) -> BTreeMap<i32, String> {
    let living: Vec<_> = procfs::processes().filter(Process::is_alive).collect();
    sessions.extend(living.iter().filter(|process| is_marked(process.pid, folder)).map(|process| process.session));
    let ours = living.into_iter().filter(|process| sessions.contains(&process.session));
    ours.map(|process| (process.pid, process.name)).collect()
}

fn handle(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// Waits until it has ended, but not for longer.
fn wait(handle: &OwnedFd, give_up_at: Instant) {
    let patience = Timespec::try_from(give_up_at.saturating_duration_since(Instant::now())).ok();
    // Whether it has is looked at anew.
    let _ = poll(&mut [PollFd::new(handle, PollFlags::IN)], patience.as_ref());
}

/// The environment that it began with; that of others is not ours to see.
fn is_marked(pid: i32, folder: &Path) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0);
    variables.any(|set| {
        let value = set.strip_prefix(MARK.as_bytes()).and_then(|set| set.strip_prefix(b"="));
        value.is_some_and(|value| value == folder.as_os_str().as_encoded_bytes())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Child, Command};

    use super::*;

    fn begin(line: &str, mark: Option<&Path>) -> Child {
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", line]).env_remove(MARK).stdout(std::process::Stdio::piped());
        command.envs(mark.map(|folder| (MARK, folder))).spawn().expect("it is there")
    }

    /// Waits until it says so.
    fn is_there(child: &mut Child) {
        let mut line = String::new();
        let out = child.stdout.take().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("it says something");
        assert_eq!(line, "here\n");
    }

    #[test]
    fn whoever_is_marked_is_killed_with_all_of_its_session_and_nobody_else_is() {
        let place = tempfile::tempdir().expect("a folder");
        let (ours, others) = (place.path().join("ours"), place.path().join("ours-too"));
        // The subshell between them is gone before it is said.
        let hidden = "(env -i sleep 1000 &); echo here; exec sleep 1000";
        let mut marked = begin(hidden, Some(&ours));
        let mut elsewhere = begin("echo here; exec sleep 1000", Some(&ours));
        let mut of_another = begin("echo here; exec sleep 1000", Some(&others));
        let mut unmarked = begin("echo here; exec sleep 1000", None);
        for child in [&mut marked, &mut elsewhere, &mut of_another, &mut unmarked] {
            is_there(child);
        }
        let before: Vec<i32> = of(&ours, &mut BTreeSet::new()).into_keys().collect();
        assert_eq!(before.len(), 3);
        let killed = kill(&ours, Duration::from_secs(10));
        let lives = |pid: &&i32| procfs::process(**pid).is_some_and(|process| process.is_alive());
        assert_eq!(before.iter().find(lives), None, "also the one that is not marked is gone");
        assert_eq!((killed.ended.len(), killed.stay.len()), (3, 0), "{killed:?}");
        for child in [&mut marked, &mut elsewhere] {
            assert_eq!(child.wait().expect("ours").signal(), Some(9));
        }
        for child in [&mut of_another, &mut unmarked] {
            assert!(child.try_wait().expect("ours").is_none());
            child.kill().expect("it lives");
            child.wait().expect("ours");
        }
        assert_eq!(kill(&ours, Duration::from_secs(10)), Killed::default());
    }
}
