//! Who descends from whom.

use thiserror::Error;

use super::bits::Bits;

/// A history: parents come before their children, the first commit is the good one, the last the bad one.
#[derive(Clone, Debug)]
pub struct Lineage {
    parents: Vec<Vec<usize>>,
    /// Of each commit it and all before it. An eighth of a byte for each pair.
    with_ancestors: Vec<Bits>,
}

/// What is no history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CycleOrOrder {
    #[error("a search needs a good and a bad commit")]
    TooFew,
    #[error("commit {0} comes before its parent")]
    Order(usize),
}

impl Lineage {
    /// Of each commit its parents.
    ///
    /// # Errors
    /// There are no two commits, or a parent comes after its child.
    pub fn new(parents: Vec<Vec<usize>>) -> Result<Self, CycleOrOrder> {
        if parents.len() < 2 {
            return Err(CycleOrOrder::TooFew);
        }
        let mut with_ancestors: Vec<Bits> = Vec::with_capacity(parents.len());
        for (commit, its) in parents.iter().enumerate() {
            let mut all = Bits::empty(parents.len());
            all.add(commit);
            for parent in its {
                all.add_all(with_ancestors.get(*parent).ok_or(CycleOrOrder::Order(commit))?);
            }
            with_ancestors.push(all);
        }
        Ok(Self { parents, with_ancestors })
    }

    /// So many commits, each the parent of the next.
    ///
    /// # Errors
    /// Fewer than two.
    pub fn line(commits: usize) -> Result<Self, CycleOrOrder> {
        Self::new((0..commits).map(|commit| commit.checked_sub(1).into_iter().collect()).collect())
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// Never: there are two commits at least.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    pub(super) fn parents(&self, commit: usize) -> impl Iterator<Item = usize> + '_ {
        self.parents[commit].iter().copied()
    }

    pub(super) fn with_ancestors(&self, commit: usize) -> &Bits {
        &self.with_ancestors[commit]
    }

    /// Whether the first is an ancestor of the second, or it.
    #[must_use]
    pub fn leads_to(&self, first: usize, second: usize) -> bool {
        self.with_ancestors[second].has(first)
    }
}
