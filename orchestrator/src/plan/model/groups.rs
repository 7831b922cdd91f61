//! Groups: so many members that run the same program, once for each test.

use meshproof_proto::expr::Template;

use super::super::read::Given;
use super::super::source::{Span, Spanned};
use super::super::units::Percent;
use super::{Quorum, Service, Word};

/// Members that run the same program.
#[derive(Debug, Clone)]
pub struct Group {
    pub name: Word,
    pub count: Count,
    /// So many share an agent; none: each has one of its own.
    pub per_agent: Option<Spanned<Given<u64>>>,
    /// What each of them is, under the group's name.
    pub each: Service,
    /// What its program is told.
    pub params: Vec<(Word, Spanned<Template>)>,
}

/// How many.
#[derive(Debug, Clone)]
pub enum Count {
    Number(Spanned<Given<u64>>),
    /// Of all `members` of the plan.
    Share(Spanned<Given<Percent>>),
}

impl Count {
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Number(count) => count.span,
            Self::Share(share) => share.span,
        }
    }
}

/// What a service is in its group.
#[derive(Debug, Clone)]
pub struct Membership {
    pub group: Word,
    /// From 1.
    pub number: u64,
    pub of: u64,
    pub params: Vec<(Word, Spanned<Template>)>,
    /// Whose agent it shares; none: it has one of its own.
    pub shares: Option<Word>,
}

/// How many of a group have to go well.
#[derive(Debug, Clone)]
pub enum Passes {
    All,
    AtLeast(Quorum),
}
