//! The programs that steps have started and that run, on disk: an agent that is killed cannot end them, so the next one does.
//!
//! A program leads a process group, and its file is named after it. While anybody is left in a group, its number is given to nobody else; so
//! a group is ours if it has no leader any more, or one that began when ours did.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process_group};

/// Where the files are. A process acts for one service; without a place nothing is kept.
static PLACE: OnceLock<PathBuf> = OnceLock::new();

/// A program that runs. Dropping it says that its group was ended.
#[derive(Debug)]
pub(super) struct Started(Option<PathBuf>);

impl Started {
    pub(super) fn of(group: Pid) -> Self {
        let file = PLACE.get().and_then(|place| {
            let file = place.join(group.as_raw_nonzero().to_string());
            let written = began(group).and_then(|began| fs::write(&file, began));
            written
                .inspect_err(|error| tracing::warn!(%error, "should this agent be killed, a program may outlive it"))
                .ok()?;
            Some(file)
        });
        Self(file)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            let _ = fs::remove_file(file);
        }
    }
}

/// Keeps the files in this state directory from now on, after ending what an agent before this one has left there.
///
/// # Errors
/// The directory cannot be made or read.
pub fn keep_in(state: &Path) -> io::Result<()> {
    let place = state.join("programs");
    fs::create_dir_all(&place)?;
    for entry in fs::read_dir(&place)? {
        let file = entry?.path();
        let group = file.file_name().and_then(|name| name.to_str()?.parse().ok()).and_then(Pid::from_raw);
        if let Some(group) = group.filter(|group| is_ours(*group, &file)) {
            // No such group: all of them have ended.
            if kill_process_group(group, Signal::KILL).is_ok() {
                tracing::warn!(
                    group = group.as_raw_nonzero(),
                    "a program that an agent before this one has started was killed"
                );
            }
        }
        fs::remove_file(file)?;
    }
    // The first place counts; there is only one.
    let _ = PLACE.set(place);
    Ok(())
}

fn is_ours(group: Pid, file: &Path) -> bool {
    match began(group) {
        Ok(began) => fs::read_to_string(file).is_ok_and(|ours| ours == began),
        Err(_) => true,
    }
}

/// When the process began, in ticks since the machine did.
fn began(process: Pid) -> io::Result<String> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()))?;
    // the name before may hold anything, and this is the twentieth field behind it
    let began = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(19));
    began.map(str::to_owned).ok_or_else(|| io::Error::other("a line of /proc that is too short"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::Command;

    use super::*;

    #[test]
    fn what_an_agent_before_this_one_has_started_is_ended_and_nobody_else() {
        let state = tempfile::tempdir().expect("a folder");
        let place = state.path().join("programs");
        fs::create_dir_all(&place).expect("a folder");
        let sleeper = || Command::new("sleep").arg("1000").process_group(0).spawn().expect("it is there");
        let (mut ours, mut other) = (sleeper(), sleeper());
        let group = |child: &std::process::Child| Pid::from_raw(child.id().cast_signed()).expect("not 0");
        let write = |child, text: &str| fs::write(place.join(group(child).as_raw_nonzero().to_string()), text);
        write(&ours, &began(group(&ours)).expect("it lives")).expect("written");
        // its number was another program's before
        write(&other, "1").expect("written");
        keep_in(state.path()).expect("it can be read");
        assert_eq!(ours.wait().expect("ours").signal(), Some(9));
        assert!(other.try_wait().expect("ours").is_none());
        assert_eq!(fs::read_dir(&place).expect("it is there").count(), 0);
        other.kill().expect("it lives");
        other.wait().expect("ours");
    }
}
