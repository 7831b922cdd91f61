//! The programs that steps have started and that run, on disk: an agent that is killed cannot end them, so the next one does.
//!
//! Instances of one name may share a state directory, so each process has a folder of its own, named after its number and when it began;
//! what is in the folder of a process that has ended belongs to nobody. A program leads a process group, and its file is named after it.
//! While anybody is left in a group, its number is given to nobody else; so a group is ours if it has no leader any more, or one that began
//! when ours did.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, getpid, kill_process_group};

/// Where the folders are. A process acts for one service; without a place nothing is kept.
static PLACE: OnceLock<Place> = OnceLock::new();

#[derive(Debug)]
struct Place {
    /// The folders of all instances.
    all: PathBuf,
    own: PathBuf,
}

/// A program that runs. Dropping it says that its group was ended.
#[derive(Debug)]
pub(super) struct Started(Option<PathBuf>);

impl Started {
    pub(super) fn of(group: Pid) -> Self {
        let file = PLACE.get().and_then(|place| {
            let file = place.own.join(group.as_raw_nonzero().to_string());
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

/// Keeps the files in this state directory from now on, after ending what agents that have ended left there.
///
/// # Errors
/// The directory cannot be made or read.
pub fn keep_in(state: &Path) -> io::Result<()> {
    let all = state.join("programs");
    fs::create_dir_all(&all)?;
    end_of_the_dead(&all)?;
    let process = getpid();
    let own = all.join(format!("{}-{}", process.as_raw_nonzero(), began(process)?));
    // An agent that begins anew is the same process.
    if own.exists() {
        end_all_in(&own)?;
    }
    fs::create_dir_all(&own)?;
    // The first place counts; there is only one.
    let _ = PLACE.set(Place { all, own });
    Ok(())
}

/// Ends what an instance before this one has started, should it have been killed.
///
/// # Errors
/// The directory cannot be read.
pub fn end_what_is_left() -> io::Result<()> {
    PLACE.get().map_or(Ok(()), |place| end_of_the_dead(&place.all))
}

fn end_of_the_dead(all: &Path) -> io::Result<()> {
    for entry in fs::read_dir(all)? {
        let folder = entry?.path();
        if folder.file_name().and_then(|name| name.to_str()).is_some_and(is_there) {
            continue;
        }
        match end_all_in(&folder) {
            // another instance has come to it as well
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            ended => ended?,
        }
    }
    Ok(())
}

/// Whether the process runs that a folder is named after; a zombie does not.
fn is_there(name: &str) -> bool {
    let process =
        name.split_once('-').and_then(|(process, began)| Some((Pid::from_raw(process.parse().ok()?)?, began)));
    process.is_some_and(|(process, ours)| stat(process).is_ok_and(|(state, began)| state != "Z" && began == ours))
}

fn end_all_in(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let group = file.file_name().and_then(|name| name.to_str()?.parse().ok()).and_then(Pid::from_raw);
        if let Some(group) = group.filter(|group| is_ours(*group, &file)) {
            // No such group: all of them have ended.
            if kill_process_group(group, Signal::KILL).is_ok() {
                let group = group.as_raw_nonzero();
                tracing::warn!(group, "a program that an agent before this one has started was killed");
            }
        }
        fs::remove_file(file)?;
    }
    fs::remove_dir(folder)
}

fn is_ours(group: Pid, file: &Path) -> bool {
    match began(group) {
        Ok(began) => fs::read_to_string(file).is_ok_and(|ours| ours == began),
        Err(_) => true,
    }
}

/// When the process began, in ticks since the machine did.
fn began(process: Pid) -> io::Result<String> {
    Ok(stat(process)?.1)
}

/// The state of a process, and when it began.
fn stat(process: Pid) -> io::Result<(String, String)> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()))?;
    // The name before may hold anything. Behind it, the first field is the state and the twentieth the time.
    let mut fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' ')).into_iter().flatten();
    let told = fields.next().zip(fields.nth(18)).map(|(state, began)| (state.to_owned(), began.to_owned()));
    told.ok_or_else(|| io::Error::other("a line of /proc that is too short"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::{Child, Command};

    use rustix::process::{WaitId, WaitIdOptions, waitid};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("1000").process_group(0).spawn().expect("it is there")
    }

    fn pid(child: &Child) -> Pid {
        Pid::from_raw(child.id().cast_signed()).expect("not 0")
    }

    fn write(folder: &Path, child: &Child, text: &str) {
        fs::create_dir_all(folder).expect("a folder");
        fs::write(folder.join(pid(child).as_raw_nonzero().to_string()), text).expect("written");
    }

    #[test]
    fn what_this_process_has_left_before_it_began_anew_is_ended() {
        let state = tempfile::tempdir().expect("a folder");
        let me = getpid();
        let own = format!("{}-{}", me.as_raw_nonzero(), began(me).expect("it lives"));
        let own = state.path().join("programs").join(own);
        let mut left = sleeper();
        write(&own, &left, &began(pid(&left)).expect("it lives"));
        keep_in(state.path()).expect("it can be read");
        assert_eq!(left.wait().expect("ours").signal(), Some(9));
        assert!(own.is_dir() && !own.join(pid(&left).as_raw_nonzero().to_string()).exists());
    }

    #[test]
    fn what_agents_that_have_ended_left_is_ended_and_nobody_else() {
        let state = tempfile::tempdir().expect("a folder");
        let place = state.path().join("programs");
        let (mut left, mut other, mut stands_by, mut of_it) = (sleeper(), sleeper(), sleeper(), sleeper());
        let since = |child| began(pid(child)).expect("it lives");
        // Its number is another process's by now.
        let ended = place.join(format!("{}-1", pid(&stands_by).as_raw_nonzero()));
        let lives = place.join(format!("{}-{}", pid(&stands_by).as_raw_nonzero(), since(&stands_by)));
        write(&ended, &left, &since(&left));
        // so is the number of this program
        write(&ended, &other, "1");
        write(&lives, &of_it, &since(&of_it));
        keep_in(state.path()).expect("it can be read");
        assert_eq!(left.wait().expect("ours").signal(), Some(9));
        assert!(!ended.exists() && lives.exists());
        for spared in [&mut other, &mut of_it, &mut stands_by] {
            assert!(spared.try_wait().expect("ours").is_none());
        }
        // Killed, it is a zombie until it is waited for.
        stands_by.kill().expect("it lives");
        waitid(WaitId::Pid(pid(&stands_by)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("ours");
        end_of_the_dead(&place).expect("it can be read");
        assert_eq!(of_it.wait().expect("ours").signal(), Some(9));
        assert!(!lives.exists());
        stands_by.wait().expect("ours");
        other.kill().expect("it lives");
        other.wait().expect("ours");
    }
}
