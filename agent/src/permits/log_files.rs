//! Which files may be logs: with folders listed (`--paths`), those in them.
//!
//! A log is read, or written by an endpoint, by the agent itself, which no Landlock holds. So its path is judged when an order names
//! it, with every link followed; and whatever it has led to is judged once more after it was opened, for a service may have put
//! a link there since.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::{Path, PathBuf, absolute};

/// Folders that hold logs; none: all that the agent's user may read.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogFiles(Vec<PathBuf>);

impl LogFiles {
    pub(super) fn within(folders: Vec<PathBuf>) -> Self {
        Self(folders)
    }

    /// Judges a path as it leads now; it need not be there yet.
    pub(crate) fn path(&self, path: &str) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        let led = leads_to(Path::new(path)).map_err(|why| format!("the log `{path}` {why}"))?;
        match self.holds(&led) {
            true => Ok(()),
            false => Err(refused(path, &led)),
        }
    }

    /// Judges what was opened, whatever the path was.
    pub(crate) fn opened(&self, file: RawFd) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let place = fs::read_link(format!("/proc/self/fd/{file}"))?;
        match self.holds(&place) {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::PermissionDenied, refused("", &place))),
        }
    }

    /// Opens it for reading, if what it leads to may be a log.
    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        let file = File::open(path)?;
        self.opened(file.as_raw_fd())?;
        Ok(file)
    }

    /// `path` is without links.
    fn holds(&self, path: &Path) -> bool {
        self.0.iter().filter_map(|folder| folder.canonicalize().ok()).any(|folder| path.starts_with(folder))
    }
}

fn refused(path: &str, led: &Path) -> String {
    let led = led.display();
    let what = if path.is_empty() { format!("`{led}`") } else { format!("the log `{path}` (`{led}`)") };
    format!("{what} is in no folder of this agent; add its folder to --paths (MESHPROOF_PATHS)")
}

/// Where a path leads, every link of what is there followed. What is not there yet can have no links, nor go back.
fn leads_to(path: &Path) -> Result<PathBuf, String> {
    let path = absolute(path).map_err(|error| format!("has no place: {error}"))?;
    let is_there = |path: &&Path| fs::symlink_metadata(path).is_ok();
    let there = path.ancestors().find(is_there).unwrap_or(Path::new("/"));
    let missing = path.strip_prefix(there).expect("an ancestor begins it");
    let led = there.canonicalize().map_err(|error| format!("leads nowhere: {error}"))?;
    if missing.components().any(|part| part.as_os_str() == "..") {
        return Err("goes back (`..`) over a folder that is not there".to_owned());
    }
    Ok(if missing.as_os_str().is_empty() { led } else { led.join(missing) })
}
