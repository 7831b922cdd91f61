//! Taking home what a run leaves.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use meshproof_proto::id::Name;
use meshproof_proto::limits::MASK_STREAM_BYTES;
use meshproof_proto::mask::Masker;

use crate::keeper::folder::RunFolder;
use crate::run::{KEEP, OUTPUTS};

/// What is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collect {
    /// What was printed, and the logs that the plan names.
    Logs,
    /// What members of groups have put into their folders for outputs as well.
    Outputs,
    /// The services' working directories as well.
    Everything,
}

/// Log name to file, a service.
pub type NamedLogs = BTreeMap<Name, BTreeMap<String, PathBuf>>;

/// Copies into `to`, without secrets: `logs/<service>/{stdout,stderr,agent,<name>}.log`, `logs/{signaling,keeper}.log`, `services/<service>/`.
pub fn collect((folder, named): (&RunFolder, &NamedLogs), to: &Path, what: Collect, masker: &Masker) -> io::Result<()> {
    let logs = to.join("logs");
    copy_tree(&folder.logs(), &logs, masker)?;
    copy_file(&folder.keeper_log(), &logs.join("keeper.log"), masker)?;
    for (service, files) in named {
        for (name, file) in files {
            copy_file(file, &logs.join(service.as_str()).join(format!("{name}.log")), masker)?;
        }
    }
    match what {
        Collect::Logs => Ok(()),
        Collect::Outputs => copy_outputs(&folder.services(), &to.join("services"), masker),
        Collect::Everything => copy_tree(&folder.services(), &to.join("services"), masker),
    }
}

/// Of each service the folder that is for that, where it has put something there.
fn copy_outputs(services: &Path, to: &Path, masker: &Masker) -> io::Result<()> {
    for entry in fs::read_dir(services)? {
        let (service, outputs) = entry.map(|entry| (entry.file_name(), entry.path().join(OUTPUTS)))?;
        let is_folder = outputs.symlink_metadata().is_ok_and(|about| about.is_dir());
        if is_folder && holds_something(&outputs)? {
            copy_tree(&outputs, &to.join(service).join(OUTPUTS), masker)?;
        }
    }
    Ok(())
}

/// Besides what the run made it with.
fn holds_something(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if entry?.file_name() != KEEP {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Folders and plain files. Sockets and pipes are left: reading one might never end. So are links, which may lead anywhere.
fn copy_tree(from: &Path, to: &Path, masker: &Masker) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let place = to.join(entry.file_name());
        if kind.is_dir() {
            copy_tree(&entry.path(), &place, masker)?;
        } else if kind.is_file() {
            copy_file(&entry.path(), &place, masker)?;
        }
    }
    Ok(())
}

/// A service may remove or never write a file: that is no error.
fn copy_file(from: &Path, to: &Path, masker: &Masker) -> io::Result<()> {
    match from.symlink_metadata() {
        Ok(about) if about.is_file() => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    // what services print is as private as the journal that tells of it
    let copied = copy_masked(from, to, masker);
    match copied {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// As much of the file as is there when the copy begins, so that one who writes without end does not keep us.
fn copy_masked(from: &Path, to: &Path, masker: &Masker) -> io::Result<()> {
    let file = fs::File::open(from)?;
    let about = file.metadata()?;
    let mut reader = file.take(about.len());
    let options = fs::File::options().write(true).create(true).truncate(true).mode(0o600).clone();
    let mut writer = BufWriter::new(options.open(to)?);
    let mut stream = masker.stream();
    let mut piece = vec![0; MASK_STREAM_BYTES];
    loop {
        match reader.read(&mut piece)? {
            0 => break,
            count => writer.write_all(&stream.push(&piece[..count]))?,
        }
    }
    writer.write_all(&stream.finish())?;
    writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .set_permissions(fs::Permissions::from_mode(about.permissions().mode() & 0o700))
}
