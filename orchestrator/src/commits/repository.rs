//! Where the commits come from: a repository on this machine, or a copy of one elsewhere, cloned once and updated after that.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use meshproof_proto::id::Digest;
use meshproof_proto::verdict::Exit;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::git::{Credentials, Git, GitError};
use super::limits::COMMITS_MOST;

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this machine: a working tree, or a bare repository.
    Path(PathBuf),
    Url(String),
}

/// It cannot be had, or has no such commit.
#[derive(Debug, Error)]
pub enum RepositoryError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("cannot {what} {}: {source}", .path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} has no commit `{rev}`: {said}", .place)]
    NoCommit { place: String, rev: String, said: String },
    #[error(
        "`{good}` (good) is no ancestor of `{bad}` (bad); where both come from is {base}: `--good {base}` begins there"
    )]
    NoAncestor { good: String, bad: String, base: String },
    #[error("`{good}` and `{bad}` have no commit in common")]
    Apart { good: String, bad: String },
    #[error("there is no commit between `{good}` (good) and `{bad}` (bad): they are the same")]
    Nothing { good: String, bad: String },
    #[error("{0} commits are more than {COMMITS_MOST}; name a younger --good")]
    Many(usize),
    #[error(
        "a password in a URL is seen by everybody on this machine; leave it out and name a file with --credentials"
    )]
    PasswordInUrl,
    #[error("commits cannot be offered to the agents of the mesh: {0}")]
    NotServed(io::Error),
    /// A signal came first.
    #[error("stopped before any commit was tested")]
    Stopped(Exit),
}

impl RepositoryError {
    /// What the command exits with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Stopped(exit) => *exit,
            Self::Git(_) | Self::Io { .. } | Self::NotServed(_) => Exit::MeshFailed,
            Self::NoCommit { .. }
            | Self::NoAncestor { .. }
            | Self::Apart { .. }
            | Self::Nothing { .. }
            | Self::Many(_)
            | Self::PasswordInUrl => Exit::Usage,
        }
    }
}

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub id: String,
    /// The first line of its message.
    pub subject: String,
}

impl Commit {
    /// As people tell it from others.
    #[must_use]
    pub fn short(&self) -> &str {
        self.id.get(..10).unwrap_or(&self.id)
    }
}

/// A part of a history, parents before children: the good commit first, the bad one last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub commits: Vec<Commit>,
    /// Of each its parents, as numbers among these.
    pub parents: Vec<Vec<usize>>,
}

/// A repository that is here.
#[derive(Clone, Debug)]
pub struct Repository {
    git: Git,
    /// As the user named it.
    shown: String,
    /// What is cloned from, for each workspace.
    source: PathBuf,
    /// What lies in the working tree now; none: there is none.
    tree: Option<PathBuf>,
}

impl Place {
    /// Of what a user wrote: what has a scheme or looks like `host:path` is elsewhere, unless there is such a path here.
    ///
    /// # Errors
    /// It is a URL with a password in it.
    pub fn of(text: &str) -> Result<Self, RepositoryError> {
        let has_host =
            |text: &str| text.split_once(':').is_some_and(|(host, _)| !host.is_empty() && !host.contains('/'));
        if !text.contains("://") && (Path::new(text).exists() || !has_host(text)) {
            return Ok(Self::Path(text.into()));
        }
        let authority = text.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        if user.contains(':') {
            return Err(RepositoryError::PasswordInUrl);
        }
        Ok(Self::Url(text.to_owned()))
    }
}

impl Repository {
    /// Opens it. One that is elsewhere is cloned to a folder of its own in `copies`, or updated if it is there.
    ///
    /// # Errors
    /// There is none, or git cannot reach it: the command and what it said.
    pub async fn open(place: &Place, credentials: Option<Credentials>, copies: &Path) -> Result<Self, RepositoryError> {
        match place {
            Place::Path(path) => Self::here(path).await,
            Place::Url(url) => Self::copied(url, credentials, copies).await,
        }
    }

    async fn here(path: &Path) -> Result<Self, RepositoryError> {
        let git = Git::in_folder(path);
        let source = git.run(&["rev-parse", "--absolute-git-dir"]).await?.into();
        // A bare repository has no working tree.
        let tree = git.run(&["rev-parse", "--show-toplevel"]).await.ok().map(PathBuf::from);
        Ok(Self { git, shown: path.display().to_string(), source, tree })
    }

    async fn copied(url: &str, credentials: Option<Credentials>, copies: &Path) -> Result<Self, RepositoryError> {
        let io = |what| move |source| RepositoryError::Io { what, path: copies.to_owned(), source };
        std::fs::create_dir_all(copies).map_err(io("make"))?;
        let name = Digest::of(url.as_bytes()).to_string();
        let name = &name[..name.len().min(16)];
        // Two at once would disturb each other; whoever comes second waits.
        let lock = File::create(copies.join(format!("{name}.lock"))).map_err(io("lock in"))?;
        let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await;
        let _lock = lock.map_err(io::Error::other).and_then(|lock| lock).map_err(io("lock in"))?;
        let copy = copies.join(name);
        if copy.join("HEAD").is_file() {
            Git::in_folder(&copy).with(credentials).run(&["remote", "update", "--prune"]).await?;
        } else {
            let aside = copies.join(format!("{name}.part"));
            if let Err(source) = crate::keeper::folder::remove(&aside) {
                return Err(RepositoryError::Io { what: "remove", path: aside, source });
            }
            let clone =
                [OsArg::from("clone"), "--quiet".into(), "--mirror".into(), "--".into(), url.into(), (&*aside).into()];
            Git::in_folder(copies).with(credentials).run(&clone.map(|OsArg(arg)| arg)).await?;
            std::fs::rename(&aside, &copy).map_err(io("make a copy in"))?;
        }
        Ok(Self { git: Git::in_folder(&copy), shown: url.to_owned(), source: copy, tree: None })
    }

    /// As the user named it.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn source(&self) -> &Path {
        &self.source
    }

    pub(super) fn tree(&self) -> Option<&Path> {
        self.tree.as_deref()
    }

    /// The commit of this name: `HEAD~2`, a tag, a branch, a hash or a beginning of one.
    ///
    /// # Errors
    /// There is none.
    pub async fn commit(&self, rev: &str) -> Result<Commit, RepositoryError> {
        let named = format!("{rev}^{{commit}}");
        let found = self.git.run(&["rev-parse", "--verify", "--quiet", "--end-of-options", &named]).await;
        let id = found.map_err(|error| RepositoryError::NoCommit {
            place: self.shown.clone(),
            rev: rev.to_owned(),
            said: if error.said.is_empty() { "git knows none of this name".to_owned() } else { error.said },
        })?;
        let subject = self.git.run(&["show", "--no-patch", "--format=%s", &id]).await?;
        Ok(Commit { id, subject })
    }

    /// What a word of the user's names: one commit, or with `a..b` all of them after `a` up to `b`, the oldest first.
    ///
    /// # Errors
    /// There is none.
    pub async fn commits(&self, word: &str) -> Result<Vec<Commit>, RepositoryError> {
        let Some((from, to)) = word.split_once("..") else { return Ok(vec![self.commit(word).await?]) };
        let or_head = |rev: &str| if rev.is_empty() { "HEAD".to_owned() } else { rev.to_owned() };
        let (from, to) = (self.commit(&or_head(from)).await?, self.commit(&or_head(to.trim_start_matches('.'))).await?);
        let (commits, _) = self.log(&[&to.id, &format!("^{}", from.id)]).await?;
        match commits.len() {
            0 => Err(RepositoryError::Nothing { good: from.id, bad: to.id }),
            many if many > COMMITS_MOST => Err(RepositoryError::Many(many)),
            _ => Ok(commits),
        }
    }

    /// Everything after the good commit up to the bad one, along every branch that was merged, and the good one before it.
    ///
    /// # Errors
    /// One of them is not there, or the good one is no ancestor of the bad one.
    pub async fn between(&self, good: &str, bad: &str) -> Result<History, RepositoryError> {
        let words = || (good.to_owned(), bad.to_owned());
        let (first, last) = (self.commit(good).await?, self.commit(bad).await?);
        if first.id == last.id {
            let (good, bad) = words();
            return Err(RepositoryError::Nothing { good, bad });
        }
        let base = self.git.run(&["merge-base", &first.id, &last.id]).await;
        match base {
            Ok(base) if base == first.id => {}
            Ok(base) => {
                let (good, bad) = words();
                return Err(RepositoryError::NoAncestor { good, bad, base: base.chars().take(10).collect() });
            }
            Err(_) => {
                let (good, bad) = words();
                return Err(RepositoryError::Apart { good, bad });
            }
        }
        let (after, parents) = self.log(&[&last.id, &format!("^{}", first.id)]).await?;
        if after.len() > COMMITS_MOST {
            return Err(RepositoryError::Many(after.len()));
        }
        let commits: Vec<Commit> = std::iter::once(first).chain(after).collect();
        let number: std::collections::BTreeMap<&str, usize> =
            commits.iter().enumerate().map(|(number, commit)| (commit.id.as_str(), number)).collect();
        let known = |its: &Vec<String>| its.iter().filter_map(|id| number.get(id.as_str()).copied()).collect();
        let parents = std::iter::once(Vec::new()).chain(parents.iter().map(known)).collect();
        Ok(History { commits, parents })
    }

    /// Commits with the ids of their parents, parents first.
    async fn log(&self, which: &[&str]) -> Result<(Vec<Commit>, Vec<Vec<String>>), RepositoryError> {
        let mut args = vec!["log", "--topo-order", "--reverse", "--format=%H%x1f%P%x1f%s", "--end-of-options"];
        args.extend(which);
        let log = self.git.run(&args).await?;
        let lines = log.lines().filter_map(|line| {
            let mut fields = line.splitn(3, '\u{1f}');
            let (id, parents, subject) = (fields.next()?, fields.next()?, fields.next()?);
            let parents = parents.split_whitespace().map(str::to_owned).collect();
            Some((Commit { id: id.to_owned(), subject: subject.to_owned() }, parents))
        });
        Ok(lines.unzip())
    }
}

/// An argument that may be a path.
struct OsArg(std::ffi::OsString);

impl From<&str> for OsArg {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<&Path> for OsArg {
    fn from(path: &Path) -> Self {
        Self(path.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_if_it_is_there_or_has_no_host() {
        let path = |text: &str| matches!(Place::of(text), Ok(Place::Path(_)));
        let url = |text: &str| matches!(Place::of(text), Ok(Place::Url(_)));
        for text in [".", "/srv/repo", "../a:b", "repo"] {
            assert!(path(text), "{text}");
        }
        for text in
            ["https://example.org/a.git", "git@example.org:a/b.git", "file:///srv/a", "ssh://anna@example.org/a"]
        {
            assert!(url(text), "{text}");
        }
        let refused = Place::of("https://anna:hunter2hunter2@example.org/a").expect_err("a password").to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}
