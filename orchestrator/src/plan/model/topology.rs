//! `topology`: which agents keep links.

use super::super::read::Given;
use super::super::source::{Span, Spanned};
use super::Word;

/// Links that agents make when the run begins, before anybody needs them.
#[derive(Debug, Clone)]
pub struct Topology {
    pub span: Span,
    pub kind: Spanned<TopologyKind>,
    /// Links of each agent, of `regular`.
    pub degree: Option<Spanned<Given<u64>>>,
    /// Of `star`.
    pub center: Option<Word>,
    /// Of `explicit`: services and groups.
    pub links: Vec<(Word, Word)>,
}

/// How they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopologyKind {
    /// Everybody with everybody.
    Full,
    /// Everybody with one.
    Star,
    /// Each with the next, the last with the first.
    Ring,
    /// Each with the same number of others.
    Regular,
    /// As it says.
    Explicit,
}
