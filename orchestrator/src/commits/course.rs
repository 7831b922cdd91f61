//! What is tested next, whether each commit is or one of them is looked for.

use super::search::{Judged, Next, Rule, Search, Tally, Verdict, Vote};

/// One or the other.
#[derive(Clone, Debug)]
pub(super) enum Course {
    Each { rule: Rule, tallies: Vec<Tally> },
    Search(Box<Search>),
}

impl Course {
    /// What to begin now, when so many agents have nothing to do and these commits are being tested.
    pub(super) fn begin(&self, idle: usize, going: &[usize]) -> Vec<usize> {
        match self {
            Self::Each { rule, tallies } => {
                let wanted = |commit: &usize| !rule.is_settled(tallies[*commit]) && !going.contains(commit);
                (0..tallies.len()).filter(wanted).take(idle).collect()
            }
            // A round is over when all of it is: what comes next follows from everything that came.
            Self::Search(_) if !going.is_empty() => Vec::new(),
            Self::Search(search) => match search.next(idle) {
                Next::Test(wanted) => wanted,
                Next::Over(_) => Vec::new(),
            },
        }
    }

    pub(super) fn hear(&mut self, commit: usize, vote: Vote) {
        match self {
            Self::Each { tallies, .. } => tallies[commit].take(vote),
            Self::Search(search) => search.hear(commit, vote),
        }
    }

    /// Whether the result of a test that goes on could tell nothing any more.
    pub(super) fn is_ruled_out(&self, commit: usize) -> bool {
        match self {
            Self::Each { .. } => false,
            Self::Search(search) => search.is_ruled_out(commit),
        }
    }

    pub(super) fn tally(&self, commit: usize) -> Tally {
        match self {
            Self::Each { tallies, .. } => tallies[commit],
            Self::Search(search) => search.tally(commit),
        }
    }

    pub(super) fn judged(&self, commit: usize) -> Judged {
        match self {
            Self::Each { rule, tallies } => rule.judged(tallies[commit]),
            Self::Search(search) => search.judged(commit),
        }
    }

    /// Of a search that is over.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Each { .. } => None,
            Self::Search(search) => match search.next(1) {
                Next::Over(verdict) => Some(verdict),
                Next::Test(_) => None,
            },
        }
    }
}
