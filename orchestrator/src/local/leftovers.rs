//! What a run has left of which everything was killed at once: nobody was there to end it.

use std::fmt;
use std::fs::DirEntry;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::error::LocalError;
use super::folders::{check_private, usual_base};
use crate::keeper::containers::Containers;
use crate::keeper::folder::{self, Alone, RunFolder};
use crate::keeper::limits::KILL_DEADLINE;
use crate::keeper::marked::{self, Killed};
use crate::keeper::setup::Setup;

/// What was found of one run, and what became of it.
#[derive(Debug)]
pub struct Leftover {
    run: String,
    folder: PathBuf,
    processes: Killed,
    removed: io::Result<()>,
}

impl Leftover {
    /// Whether nothing of it is there any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.processes.stay.is_empty() && self.removed.is_ok()
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Killed { ended, stay } = &self.processes;
        write!(f, "of the run {}, whose keeper was killed, ", self.run)?;
        match &ended[..] {
            [] => write!(f, "no process was left")?,
            ended => write!(f, "what still ran was killed: {}", ended.join(", "))?,
        }
        match &self.removed {
            Ok(()) => write!(f, "; its folder was removed")?,
            Err(error) => write!(f, "; its folder {} cannot be removed: {error}", self.folder.display())?,
        }
        match &stay[..] {
            [] => Ok(()),
            stay => write!(f, "; SIGKILL has not ended {}", stay.join(", ")),
        }
    }
}

/// Ends and removes whatever runs of this user have left that have no keeper any more.
///
/// # Errors
/// The folder above them cannot be read, or others can write there.
pub fn clear() -> Result<Vec<Leftover>, LocalError> {
    clear_in(&usual_base())
}

pub(super) fn clear_in(base: &Path) -> Result<Vec<Leftover>, LocalError> {
    let cannot = |cause| LocalError::Folder { what: "look into", path: base.to_owned(), cause };
    let _alone = match Alone::in_base(base) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        alone => alone.map_err(cannot)?,
    };
    check_private(base)?;
    let entries: Vec<DirEntry> = std::fs::read_dir(base).and_then(Iterator::collect).map_err(cannot)?;
    let mut folders: Vec<PathBuf> = entries.iter().map(DirEntry::path).filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders.into_iter().filter(|path| is_left(path)).map(end).collect())
}

/// While a run begins, goes on or ends, somebody listens at its socket, or whoever makes or removes its folder is alone here.
fn is_left(folder: &Path) -> bool {
    let answer = UnixStream::connect(RunFolder::new(folder.to_owned()).socket());
    let nobody = |error: io::Error| matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
    answer.is_err_and(nobody)
}

/// The folder stays while a process of the run does: the next one to look needs it.
fn end(folder: PathBuf) -> Leftover {
    let place = RunFolder::new(folder.clone());
    let containers = Setup::read(&place).ok().and_then(|setup| Containers::of(&place, &setup));
    if let Some(Err(error)) = containers.as_ref().map(Containers::remove) {
        tracing::warn!(%error, "containers of a run that was killed are left");
    }
    let processes = marked::kill(&folder, KILL_DEADLINE);
    let removed = match processes.stay.is_empty() {
        true => folder::remove(&folder),
        false => Err(io::Error::other("a process of it is still there")),
    };
    let run = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Leftover { run, folder, processes, removed }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::keeper::folder::make_private_dir;

    #[test]
    fn the_folder_of_a_run_is_left_when_nobody_listens_there() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let base = place.path().join("base");
        assert!(clear_in(&base).expect("none yet").is_empty());
        let folder = |run: &str| {
            let folder = RunFolder::new(base.join(run));
            make_private_dir(&folder.logs()).expect("ours");
            folder
        };
        let (half, killed, lives) = (folder("half"), folder("killed"), folder("lives"));
        drop(UnixListener::bind(killed.socket()).expect("a short path"));
        let keeper = UnixListener::bind(lives.socket()).expect("a short path");
        std::fs::write(base.join("a file"), "").expect("ours");
        let cleared = clear_in(&base).expect("ours");
        let told: Vec<_> = cleared.iter().map(ToString::to_string).collect();
        let gone =
            |run| format!("of the run {run}, whose keeper was killed, no process was left; its folder was removed");
        assert_eq!(told, [gone("half"), gone("killed")]);
        assert!(cleared.iter().all(Leftover::is_gone));
        assert!(!half.path().exists() && !killed.path().exists() && lives.logs().is_dir());
        drop(keeper);
        assert_eq!(clear_in(&base).expect("ours").len(), 1);
    }
}
