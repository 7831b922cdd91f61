//! How a name goes from an instance that is gone to the one that comes after it.

use serde::{Deserialize, Serialize};

use super::{Authority, Initialize, Initialized};
use crate::id::{Name, PeerId, Term};

/// Grows each time that another instance takes a name of a run; lower ones are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NameTerm {
    pub run: Term,
    /// 1 for the first instance.
    pub number: u64,
}

impl std::fmt::Display for NameTerm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.run.0, self.number)
    }
}

/// Take the name, and go on where the instance before has stopped. The service has lived on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adopt {
    /// As the instance before was told, the roster as it is now.
    pub setting: Initialize,
    pub term: NameTerm,
    /// Where the instance before listened: services know these addresses.
    pub ports: Initialized,
    /// The service's processes.
    pub processes: Vec<i32>,
    /// The instance that began the numbering of this name's events, and up to where the journal has all of them.
    pub origin: PeerId,
    pub journaled: u64,
    /// The last term of which the journal knows that the name was held at it, where what is on the disk of whoever acts is on others too.
    pub held: Option<NameTerm>,
}

/// What was found of the instance before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The number of its last event. Those that are not acknowledged are sent again.
    pub last: u64,
    /// What is not whole, if something is: what it says must not be relied on.
    pub damage: Option<String>,
}

/// Another instance holds the name of a peer from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reseat {
    pub authority: Authority,
    pub name: Name,
    pub peer: PeerId,
    pub term: NameTerm,
}
