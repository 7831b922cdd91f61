//! Which events are in the journal already.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_proto::id::PeerId;

/// For each instance its numbers, from 1: everything up to some number, and those that came before their turn.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<PeerId, Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    through: u64,
    beyond: BTreeSet<u64>,
}

impl Seen {
    pub(super) fn is_new(&self, instance: PeerId, seq: u64) -> bool {
        self.0.get(&instance).is_none_or(|numbers| seq > numbers.through && !numbers.beyond.contains(&seq))
    }

    pub(super) fn add(&mut self, instance: PeerId, seq: u64) {
        let numbers = self.0.entry(instance).or_default();
        numbers.beyond.insert(seq);
        while numbers.beyond.remove(&(numbers.through + 1)) {
            numbers.through += 1;
        }
    }

    pub(super) fn complete_through(&self, instance: PeerId) -> u64 {
        self.0.get(&instance).map_or(0, |numbers| numbers.through)
    }
}
