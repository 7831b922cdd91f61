//! The form of a plan that tests commits.

use std::time::Duration;

use meshproof_proto::expr::Template;

use super::Word;
use crate::commits::search::BadWhen;
use crate::plan::source::{Span, Spanned};
use crate::run::Flaky;

/// A text with expressions, and its place.
type Text = Spanned<Template>;

/// Everything that such a plan says.
#[derive(Debug, Clone)]
pub struct Commits {
    pub span: Span,
    pub repo: Option<Repo>,
    pub which: Option<Which>,
    pub workspace: Workspace,
    pub check: Check,
    pub then: Option<Word>,
    pub verdict: Verdict,
    pub parallel: Option<u64>,
}

/// Where the commits come from.
#[derive(Debug, Clone)]
pub struct Repo {
    /// A path relative to the plan's folder, or a URL.
    pub at: Text,
    pub is_url: bool,
    /// A secret and its place.
    pub credentials: Option<Word>,
}

/// Which of them.
#[derive(Debug, Clone)]
pub enum Which {
    Bisect {
        good: Text,
        bad: Option<Text>,
    },
    /// Everything after the good one up to the bad one.
    Each {
        good: Text,
        bad: Option<Text>,
    },
    List(Vec<Text>),
}

/// The folder of each.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    pub template: Option<Word>,
    pub overlay: Vec<Word>,
    pub keep: Option<Keep>,
}

/// How long it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    OnFailure(Duration),
    Always(Duration),
}

/// What is done in it.
#[derive(Debug, Clone, Default)]
pub struct Check {
    pub build: Option<Text>,
    pub run: Option<Text>,
    pub within: Option<Duration>,
}

/// What results come to.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    pub repeat: Option<u64>,
    pub bad_when: Option<BadWhen>,
    pub skip_exit: Option<u64>,
    pub flaky: Option<Flaky>,
}
