//! A plan that tests commits, ready to be carried out.

use std::time::Duration;

use crate::commits::search::BadWhen;
use crate::plan::model::commits::Keep;
use crate::plan::source::Spanned;
use crate::run::Flaky;

/// Which commits of what are tested how. What is none was not said.
#[derive(Debug, Clone)]
pub struct Commits {
    /// A path relative to the plan's folder, or a URL.
    pub repo: String,
    pub is_url: bool,
    /// The secret that holds them.
    pub credentials: Option<String>,
    pub which: Which,
    pub template: Option<String>,
    pub overlay: Vec<String>,
    pub keep: Option<Keep>,
    pub build: Option<String>,
    pub run: Option<String>,
    pub within: Option<Duration>,
    /// The plan of each commit, relative to this one's folder.
    pub then: Option<Spanned<String>>,
    pub repeat: u32,
    pub bad_when: BadWhen,
    pub skip_exit: Option<u8>,
    pub flaky: Flaky,
    pub parallel: usize,
}

/// Which of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    Bisect {
        good: String,
        bad: String,
    },
    /// Commits, or `a..b`.
    Each(Vec<String>),
}
