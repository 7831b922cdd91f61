//! The folder of one attempt at one commit: its tree, and a place for temporary files, that nothing else ever stood in.
//!
//! The tree is a clone that borrows the objects of its repository, not one of its worktrees: those share configuration, hooks and
//! references, and with them what one commit's test has set (see docs/decisions/0010).

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::git::{Git, GitError};
use super::repository::Repository;
use crate::record::now_ms;

/// Stands in a folder that is kept, and says until when: milliseconds since 1970.
const KEPT_UNTIL: &str = "kept-until";

/// A folder that goes when this is dropped, whatever happened.
#[derive(Debug)]
pub struct Workspace {
    /// None: it stays.
    folder: Option<PathBuf>,
    tree: PathBuf,
    tmp: PathBuf,
}

/// A workspace that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("cannot {what} {}: {source}", .path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the overlay `{path}` is not there{where_}")]
    NoOverlay { path: String, where_: String },
}

impl Workspace {
    /// The commit's tree in a new folder of this name, with these files of the present laid over it.
    ///
    /// # Errors
    /// A git command failed, or a file cannot be written.
    pub async fn make(
        repository: &Repository,
        commit: &str,
        folder: PathBuf,
        overlay: &[String],
    ) -> Result<Self, WorkspaceError> {
        let (tree, tmp) = (folder.join("tree"), folder.join("tmp"));
        let made = std::fs::create_dir_all(&tmp);
        made.map_err(|source| WorkspaceError::Io { what: "make", path: tmp.clone(), source })?;
        let workspace = Self { folder: Some(folder), tree, tmp };
        let tree = workspace.tree.as_os_str();
        let source = repository.source().as_os_str();
        let words = ["clone", "--quiet", "--shared", "--no-checkout", "--template=", "--"];
        let clone: Vec<&std::ffi::OsStr> = words.map(AsRef::as_ref).into_iter().chain([source, tree]).collect();
        Git::in_folder(&workspace.tmp).run(&clone).await?;
        let git = Git::in_folder(&workspace.tree);
        git.run(&["checkout", "--quiet", "--detach", commit]).await?;
        workspace.lay_over(repository, &git, overlay).await?;
        Ok(workspace)
    }

    async fn lay_over(&self, repository: &Repository, git: &Git, overlay: &[String]) -> Result<(), WorkspaceError> {
        for path in overlay {
            match repository.tree() {
                Some(present) => {
                    let from = present.join(path);
                    if !from.exists() {
                        let where_ = format!(" in {}", present.display());
                        return Err(WorkspaceError::NoOverlay { path: path.clone(), where_ });
                    }
                    let to = self.tree.join(path);
                    copy(&from, &to).map_err(|source| WorkspaceError::Io { what: "lay over", path: to, source })?;
                }
                // Without a working tree the present is where its main branch is.
                None => drop(git.run(&["checkout", "--quiet", "refs/remotes/origin/HEAD", "--", path]).await?),
            }
        }
        Ok(())
    }

    /// Where the commit's files are.
    #[must_use]
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Where its programs put temporary files.
    #[must_use]
    pub fn tmp(&self) -> &Path {
        &self.tmp
    }

    /// What it is called among the workspaces.
    pub fn name(&self) -> String {
        let folder = self.tree.parent().and_then(Path::file_name);
        folder.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Puts what was laid over into a commit behind the commit, so that a clone has it too.
    ///
    /// # Errors
    /// A git command failed.
    pub async fn commit_what_lies_over(&self, overlay: &[String]) -> Result<(), WorkspaceError> {
        if overlay.is_empty() {
            return Ok(());
        }
        let git = Git::in_folder(&self.tree);
        let add: Vec<&str> = ["add", "--force", "--"].into_iter().chain(overlay.iter().map(String::as_str)).collect();
        git.run(&add).await?;
        let who = ["-c", "user.name=meshproof", "-c", "user.email=meshproof@localhost", "-c", "commit.gpgSign=false"];
        let commit = ["commit", "--quiet", "--no-verify", "--allow-empty", "--message", "what today lays over it"];
        git.run(&who.into_iter().chain(commit).collect::<Vec<_>>()).await?;
        Ok(())
    }

    /// It stays for so long.
    pub fn keep(mut self, time: Duration) {
        if let Some(folder) = &self.folder {
            let until = now_ms().saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            if std::fs::write(folder.join(KEPT_UNTIL), until.to_string()).is_ok() {
                self.folder = None;
            }
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder
            && let Err(error) = remove(folder)
        {
            tracing::warn!(folder = %folder.display(), %error, "a workspace cannot be removed");
        }
    }
}

/// Removes those of the workspaces in this folder that are kept no longer; with [`u64::MAX`] all of them. Gives how many.
///
/// # Errors
/// The folder cannot be listed, or something in it not be removed.
pub fn expire(workspaces: &Path, now_ms: u64) -> io::Result<usize> {
    let entries = match std::fs::read_dir(workspaces) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for folder in entries.iter().map(std::fs::DirEntry::path) {
        let until = std::fs::read_to_string(folder.join(KEPT_UNTIL)).ok();
        if until.and_then(|until| until.trim().parse().ok()).unwrap_or(0_u64) <= now_ms {
            remove(&folder)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes a folder also where its owner has taken away his own right to write, as Go's module cache does.
fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let mut left = vec![folder.to_owned()];
            while let Some(folder) = left.pop() {
                std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
                let entries = std::fs::read_dir(&folder)?.flatten();
                left.extend(
                    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()),
                );
            }
            std::fs::remove_dir_all(folder)
        }
        other => other,
    }
}

/// A file, a link, or a folder with all that is in it, over what is there.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let kind = from.symlink_metadata()?.file_type();
    if kind.is_dir() {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    // What stood there may be a link to elsewhere, which is not to be written through.
    match std::fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    if kind.is_symlink() {
        std::os::unix::fs::symlink(std::fs::read_link(from)?, to)
    } else {
        std::fs::copy(from, to).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_workspace_goes_when_its_time_is_over_also_if_nobody_may_write_in_it() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let make = |name: &str, until: &str| {
            let inner = place.path().join(name).join("tree/cache");
            std::fs::create_dir_all(&inner).expect("made");
            std::fs::write(inner.join("module"), "x").expect("written");
            std::fs::write(place.path().join(name).join(KEPT_UNTIL), until).expect("written");
            std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o500)).expect("ours");
        };
        make("old", "1000");
        make("new", "3000");
        assert_eq!(expire(place.path(), 2_000).expect("ours"), 1);
        assert!(!place.path().join("old").exists() && place.path().join("new").exists());
        assert_eq!(expire(place.path(), u64::MAX).expect("ours"), 1);
        assert_eq!(expire(&place.path().join("nowhere"), 0).expect("nothing is no error"), 0);
    }

    #[test]
    fn what_is_laid_over_replaces_files_and_links_and_leaves_the_rest() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| place.path().join(name);
        for (name, text) in
            [("now/a", "new"), ("now/sub/b", "new"), ("then/a", "old"), ("then/c", "old"), ("elsewhere", "safe")]
        {
            std::fs::create_dir_all(path(name).parent().expect("inside")).expect("made");
            std::fs::write(path(name), text).expect("written");
        }
        std::fs::create_dir_all(path("then/sub")).expect("made");
        std::os::unix::fs::symlink(path("elsewhere"), path("then/sub/b")).expect("made");
        copy(&path("now"), &path("then")).expect("ours");
        let read = |name: &str| std::fs::read_to_string(path(name)).expect("there");
        assert_eq!(["then/a", "then/sub/b", "then/c", "elsewhere"].map(read), ["new", "new", "old", "safe"]);
    }
}
