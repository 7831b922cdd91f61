//! Names that changed hands, as whoever goes on finds them.
//!
//! An instance has taken a name over, on its disk, before the machine of the run hears that it is back; and whoever commands may not
//! live until that is kept. So it is the instances that are asked, and what was kept is held against what they are.

use meshproof_proto::id::{Name, PeerId};

use super::Conducted;

/// Who answers for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// The instance that had the name first.
    pub origin: PeerId,
    /// The one that is there.
    pub instance: PeerId,
    /// Whether that one has the name, or only what those before it have left.
    pub holds: bool,
}

/// What the machine of the run knows of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hands {
    /// It is the instance that it knows.
    Known,
    /// It waits for another one, and here it is.
    Awaited,
    /// It took the name over, and the machine knows nothing of that: what the one before was doing is waited for in vain.
    Unheard,
    /// Nobody has given it the name.
    Vacant,
}

impl Conducted {
    /// What the machine knows of the one that answers for this name.
    #[must_use]
    pub fn hands(&self, name: &Name, Present { origin, instance, holds }: Present) -> Hands {
        let known = self.holder(name).unwrap_or(origin);
        if !holds {
            Hands::Vacant
        } else if self.is_down(name) {
            Hands::Awaited
        } else if known == instance {
            Hands::Known
        } else {
            Hands::Unheard
        }
    }
}
