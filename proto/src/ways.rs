//! The bulk connections that carry a link's streams, without the streams: which may take what, and what goes again after a change.
//!
//! Each bulk connection that is up is a *way*; one of them is the *main* way. It carries everything: openings, small pieces,
//! ends and resets, whose order matters. The others (stripes, on a long path) carry what may come in any order. What a lost
//! way had taken goes again on those that are left.
//!
//! The main way stays the main one until it is lost. If one that comes took its place, what is opened there could overtake
//! what was opened on the former.

use std::collections::BTreeMap;

use crate::id::Generation;

/// One generation of one bulk connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    pub stripe: u8,
    pub generation: Generation,
}

/// What a way may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// It is not up, or was replaced.
    Nothing,
    /// Large pieces of streams that the peer knows, and acknowledgements.
    Large,
    Everything,
}

/// What a change of the ways means for the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They go on.
    GoOn,
    /// Frames may be lost: everything unacknowledged goes again.
    Rewind,
}

/// The ways of one end of a link.
#[derive(Debug, Default)]
pub struct Ways {
    /// The generation that is up, by stripe.
    up: BTreeMap<u8, Generation>,
    /// One of those, when there are any.
    main: Option<u8>,
}

impl Ways {
    /// A connection is up and carries streams from now on. One that it replaces may have lost what it took.
    pub fn attach(&mut self, way: Way) -> Change {
        let before = self.up.insert(way.stripe, way.generation);
        // one that comes beside others took nothing from anybody
        let first = self.up.len() == 1;
        self.main.get_or_insert(way.stripe);
        let lost = before.map_or(first, |before| before != way.generation);
        if lost { Change::Rewind } else { Change::GoOn }
    }

    /// A connection is lost: what it took goes again, on what else there is or comes.
    pub fn detach(&mut self, way: Way) -> Change {
        if self.load(way) == Load::Nothing {
            return Change::GoOn;
        }
        self.remove(way.stripe);
        Change::Rewind
    }

    /// A stripe is silent. It is done without when there are others.
    pub fn suspect(&mut self, stripe: u8) -> Change {
        if self.up.len() > 1 && self.up.contains_key(&stripe) {
            self.remove(stripe);
            return Change::Rewind;
        }
        Change::GoOn
    }

    fn remove(&mut self, stripe: u8) {
        self.up.remove(&stripe);
        if self.main == Some(stripe) {
            self.main = self.up.keys().next().copied();
        }
    }

    /// What that way may take now.
    pub fn load(&self, way: Way) -> Load {
        if self.up.get(&way.stripe) != Some(&way.generation) {
            return Load::Nothing;
        }
        if self.main == Some(way.stripe) { Load::Everything } else { Load::Large }
    }

    /// Those that are up.
    pub fn iter(&self) -> impl Iterator<Item = Way> {
        self.up.iter().map(|(stripe, generation)| Way { stripe: *stripe, generation: *generation })
    }

    /// How many carry the streams now.
    pub fn count(&self) -> usize {
        self.up.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn way(stripe: u8, generation: u64) -> Way {
        Way { stripe, generation: Generation(generation) }
    }

    #[test]
    fn a_way_beside_others_takes_nothing_from_them_and_a_lost_one_gives_back_what_it_took() {
        let mut ways = Ways::default();
        assert_eq!(ways.load(way(0, 1)), Load::Nothing);
        assert_eq!(ways.attach(way(0, 1)), Change::Rewind, "what a former one had may be lost");
        assert_eq!(ways.attach(way(0, 1)), Change::GoOn, "it came back");
        assert_eq!(ways.attach(way(1, 1)), Change::GoOn);
        assert_eq!([ways.load(way(0, 1)), ways.load(way(1, 1))], [Load::Everything, Load::Large]);
        assert_eq!(ways.attach(way(1, 2)), Change::Rewind);
        assert_eq!(ways.load(way(1, 1)), Load::Nothing);
        assert_eq!(ways.detach(way(1, 1)), Change::GoOn, "it was replaced before");
        assert_eq!(ways.detach(way(0, 1)), Change::Rewind);
        assert_eq!(ways.load(way(1, 2)), Load::Everything);
        assert_eq!(ways.count(), 1);
    }

    #[test]
    fn the_last_way_stays_when_it_is_silent() {
        let mut ways = Ways::default();
        ways.attach(way(0, 1));
        assert_eq!(ways.suspect(0), Change::GoOn);
        assert_eq!(ways.load(way(0, 1)), Load::Everything);
        ways.attach(way(1, 1));
        assert_eq!(ways.suspect(0), Change::Rewind);
        assert_eq!(ways.load(way(1, 1)), Load::Everything);
        ways.attach(way(0, 2));
        assert_eq!(ways.load(way(1, 1)), Load::Everything, "what was opened there may still be on its way");
    }
}
