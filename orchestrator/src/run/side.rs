//! Steps side by side: several branches, each a sequence of its own.

use std::ops::Range;

use super::stepping::{Running, Spot, Wait};
use crate::plan::compiled::Step;

/// The branches of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lanes {
    branches: Vec<Branch>,
    /// The first step behind them.
    end: usize,
}

/// Steps of one branch by their indices: what is left of them, and which one was begun last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Branch {
    left: Range<usize>,
    last: Option<usize>,
}

/// Whether further steps may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    On,
    /// A person lets none begin.
    Held,
    NoFurther,
}

/// What a group does next.
pub(super) enum Lane {
    Step(usize),
    /// Nothing runs, and a person lets this one not begin.
    Stand(usize),
    Wait,
    /// One failed: the others end too.
    Cancel,
    /// All of it has ended, and the test goes on here.
    Over(usize),
}

impl Lanes {
    /// The group whose first step this is.
    pub(super) fn of(steps: &[Step], first: usize) -> Self {
        let number = |step: &Step| step.group.map(|group| group.number);
        let mut branches: Vec<Branch> = Vec::new();
        let mut end = first;
        let mut branch = None;
        while let Some(step) = steps.get(end).filter(|step| number(step) == number(&steps[first])) {
            if step.group != branch {
                branches.push(Branch { left: end..end, last: None });
                branch = step.group;
            }
            end += 1;
            if let Some(branch) = branches.last_mut() {
                branch.left.end = end;
            }
        }
        Self { branches, end }
    }

    pub(super) fn next(&mut self, running: &[Running], go: Go) -> Lane {
        let runs = |at: usize| running.iter().any(|step| matches!(step.spot, Spot::Steps(_, index) if index == at));
        let free = self.branches.iter_mut().find(|branch| !branch.left.is_empty() && !branch.last.is_some_and(runs));
        match free {
            Some(branch) if go == Go::On => {
                let at = branch.left.start;
                (branch.left.start, branch.last) = (at + 1, Some(at));
                Lane::Step(at)
            }
            Some(branch) if go == Go::Held && running.is_empty() => Lane::Stand(branch.left.start),
            _ if running.is_empty() => Lane::Over(self.end),
            _ if go == Go::NoFurther && running.iter().any(|step| step.wait != Wait::Cancelled) => Lane::Cancel,
            _ => Lane::Wait,
        }
    }
}
