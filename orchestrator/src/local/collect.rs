//! Taking home what a run leaves.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use meshproof_proto::id::Name;

use crate::keeper::folder::RunFolder;

/// What is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collect {
    /// What was printed, and the logs that the plan names.
    Logs,
    /// The services' working directories as well.
    Everything,
}

/// Log name to file, a service.
pub type NamedLogs = BTreeMap<Name, BTreeMap<String, PathBuf>>;

/// Copies into `to`: `logs/<service>/{stdout,stderr,agent,<name>}.log`, `logs/{signaling,keeper}.log`, `services/<service>/`.
pub fn collect(folder: &RunFolder, named: &NamedLogs, to: &Path, what: Collect) -> io::Result<()> {
    let logs = to.join("logs");
    copy_tree(&folder.logs(), &logs)?;
    copy_file(&folder.keeper_log(), &logs.join("keeper.log"))?;
    for (service, files) in named {
        for (name, file) in files {
            copy_file(file, &logs.join(service.as_str()).join(format!("{name}.log")))?;
        }
    }
    match what {
        Collect::Logs => Ok(()),
        Collect::Everything => copy_tree(&folder.services(), &to.join("services")),
    }
}

/// Folders and plain files. Sockets and pipes are left: reading one might never end. So are links, which may lead anywhere.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let place = to.join(entry.file_name());
        if kind.is_dir() {
            copy_tree(&entry.path(), &place)?;
        } else if kind.is_file() {
            copy_file(&entry.path(), &place)?;
        }
    }
    Ok(())
}

/// A service may remove or never write a file: that is no error.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    match from.symlink_metadata() {
        Ok(about) if about.is_file() => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::copy(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map(|_| ()),
    }
}
