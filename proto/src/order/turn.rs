//! Steps of several agents in a row: each agent tells the next one that its turn has come.

use serde::{Deserialize, Serialize};

use super::{Authority, StepKey};
use crate::id::Name;

/// Where the steps beside an ordered one run. Default: at the same agent, or the orchestrator knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The agent that says when the one before is over.
    pub before: Option<Name>,
    /// The agent that is told when this one is over.
    pub next: Option<Name>,
}

impl Turn {
    /// No other agent has to do with it.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        *self == Self::default()
    }
}

/// A step is over, says its agent to the one that has the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOver {
    pub authority: Authority,
    pub key: StepKey,
    /// Otherwise the next one is forgotten, and what is behind that.
    pub well: bool,
}
