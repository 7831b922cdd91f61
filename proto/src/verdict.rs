//! What a run came to, and the exit code that says so.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a check, a step, a test or a run came to, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Pass,
    /// A check did not hold.
    Fail,
    /// It could not be decided.
    Unknown,
    /// The tool or the environment broke.
    Error,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::Error => "error",
        })
    }
}

/// Why the process ends with the code it ends with. When several hold, the one listed first wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 130: Ctrl-C.
    Interrupted,
    /// 143: SIGTERM.
    Terminated,
    /// 70: a bug of ours.
    Bug,
    /// 9: a fault could not be confirmed as healed.
    NotHealed,
    /// 1: a check failed.
    Failed,
    /// 8: deadline or abort.
    Aborted,
    /// 5: the mesh or the tool failed, or something stayed unknown.
    MeshFailed,
    /// 6: a load step's expectation was breached.
    LoadBreached,
    /// 7: flaky, and flaky is forbidden.
    Flaky,
    /// 4: nothing was selected.
    NothingSelected,
    /// 3: the plan is invalid.
    InvalidPlan,
    /// 2: usage.
    Usage,
    /// 0.
    Passed,
}

impl Exit {
    /// All of them, the one that wins first.
    pub const ALL: [Exit; 13] = [
        Self::Interrupted,
        Self::Terminated,
        Self::Bug,
        Self::NotHealed,
        Self::Failed,
        Self::Aborted,
        Self::MeshFailed,
        Self::LoadBreached,
        Self::Flaky,
        Self::NothingSelected,
        Self::InvalidPlan,
        Self::Usage,
        Self::Passed,
    ];

    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::InvalidPlan => 3,
            Self::NothingSelected => 4,
            Self::MeshFailed => 5,
            Self::LoadBreached => 6,
            Self::Flaky => 7,
            Self::Aborted => 8,
            Self::NotHealed => 9,
            Self::Bug => 70,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The reason that this code tells; none: no code of ours.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| exit.code() == code)
    }

    /// Of several reasons the one that the exit code tells.
    pub fn of(reasons: impl IntoIterator<Item = Exit>) -> Self {
        reasons.into_iter().min().unwrap_or(Self::Passed)
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Passed,
            Verdict::Fail => Self::Failed,
            Verdict::Unknown | Verdict::Error => Self::MeshFailed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_several_reasons_hold_the_documented_order_decides() {
        let order = [130, 143, 70, 9, 1, 8, 5, 6, 7, 4, 3, 2, 0];
        let mut all = Exit::ALL;
        all.reverse();
        all.sort();
        assert_eq!(all.map(Exit::code).to_vec(), order);
        assert_eq!(Exit::of([Exit::MeshFailed, Exit::Failed]), Exit::Failed);
        assert_eq!(Exit::of([]), Exit::Passed);
        assert_eq!(order.map(|code| Exit::from_code(code).map(Exit::code)), order.map(Some));
        assert_eq!(Exit::from_code(42), None);
    }
}
