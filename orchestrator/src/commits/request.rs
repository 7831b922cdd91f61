//! What is asked for, from wherever it came: the command line, a plan, or the file of an older tool.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::elsewhere::OnMesh;
use super::git::Credentials;
use super::limits::WITHIN;
use super::repository::Place;
use super::search::Rule;
use crate::plan::{Plan, Source};
use crate::run::Flaky;

/// Commits to be tested, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// Of the plan that asks; none: the command line does.
    pub name: Option<String>,
    pub place: Place,
    pub credentials: Option<Credentials>,
    pub what: What,
    pub check: Check,
    pub rule: Rule,
    /// What it comes to that a commit passes at times and fails at times.
    pub flaky: Flaky,
    /// So many commits are tested at once, each by an agent of its own.
    pub parallel: usize,
    /// Where; none: on this machine.
    pub mesh: Option<OnMesh>,
    pub keep: Keep,
}

/// Which commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Each of these words: a commit, or `a..b`.
    Each(Vec<String>),
    /// The first that is bad.
    Bisect { good: String, bad: String },
}

/// What is done with each.
#[derive(Clone, Debug)]
pub struct Check {
    /// A line for a shell; when it fails, the commit is not tested.
    pub build: Option<String>,
    /// A line for a shell, whose exit code is the result.
    pub run: String,
    /// The code that says that a commit cannot be tested.
    pub skip_exit: i64,
    /// How long the build, and the test, may take.
    pub within: Duration,
    /// Files and folders of the present that are laid over the commit's, relative to the repository.
    pub overlay: Vec<String>,
    /// A plan that is run in the commit's folder once the test has passed.
    pub then: Option<Then>,
}

/// A plan of today's, whose folder will be the commit's.
#[derive(Clone, Debug)]
pub struct Then {
    pub plan: Arc<Plan>,
    pub source: Arc<Source>,
}

/// Whose files stay when an attempt is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    #[default]
    Never,
    OnFailure(Duration),
    Always(Duration),
}

/// The code by which `git bisect run` is told that a commit cannot be tested.
pub const SKIP_EXIT: i64 = 125;

impl Check {
    /// Only this line.
    #[must_use]
    pub fn of(run: String) -> Self {
        Self { build: None, run, skip_exit: SKIP_EXIT, within: WITHIN, overlay: Vec::new(), then: None }
    }
}

/// The folder of the session: results, runs, and workspaces while they are there.
#[derive(Clone, Debug)]
pub struct Folder {
    pub path: PathBuf,
    /// Copies of repositories that are elsewhere.
    pub copies: PathBuf,
}

impl Folder {
    pub(super) fn workspaces(&self) -> PathBuf {
        self.path.join("workspaces")
    }
}
