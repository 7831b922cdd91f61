//! The logs that a run took home.

use std::path::{Path, PathBuf};

use super::kept::HistoryError;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Log {
    /// The service, or none for those of the run itself.
    pub service: Option<String>,
    /// `stdout`, `agent`, `audit`.
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
}

/// Those of the run in this folder, in order.
///
/// # Errors
/// They cannot be listed.
pub fn logs(run: &Path) -> Result<Vec<Log>, HistoryError> {
    let folder = run.join("logs");
    let mut found = Vec::new();
    for path in entries(&folder)? {
        if path.is_dir() {
            let service = path.file_name().map(|name| name.to_string_lossy().into_owned());
            found.extend(entries(&path)?.into_iter().filter_map(|file| log(service.clone(), file)));
        } else {
            found.extend(log(None, path));
        }
    }
    found.sort();
    Ok(found)
}

fn log(service: Option<String>, path: PathBuf) -> Option<Log> {
    let about = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
    let name = path.file_stem()?.to_string_lossy().into_owned();
    Some(Log { service, name, bytes: about.len(), path })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, HistoryError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(HistoryError::Io { what: "list", path: folder.to_owned(), source }),
    };
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}
