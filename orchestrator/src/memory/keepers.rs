//! Which names store what is to be remembered, and whose promises whoever commands needs.
//!
//! A run of a hundred names that stored everything at more than half of them would store each fact fifty times before a program has its
//! answer. So a few of them do, the *keepers*, who are known from the names alone. Whoever commands has the promises of more than half of
//! all names, so that there is one at a term, and of more than half of the keepers, so that it learns what was kept.

use std::collections::BTreeSet;

use meshproof_proto::id::Name;

/// So many names keep what is remembered, three of which may be gone for good; in smaller runs all do.
pub const KEEPERS: usize = 7;

/// More than half of so many.
#[must_use]
pub fn majority(names: usize) -> usize {
    names / 2 + 1
}

/// The keepers of a run with these names: from all parts of their order, for neighbours there are of one group or one zone.
#[must_use]
pub fn keepers<'n>(names: impl IntoIterator<Item = &'n Name>) -> BTreeSet<Name> {
    let names: BTreeSet<&Name> = names.into_iter().collect();
    let count = names.len();
    let is_one = |place: &usize| count <= KEEPERS || place * KEEPERS % count < KEEPERS;
    names.into_iter().enumerate().filter(|(place, _)| is_one(place)).map(|(_, name)| name.clone()).collect()
}

/// So many names, and so many keepers among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Votes {
    pub names: usize,
    pub keepers: usize,
}

impl Votes {
    /// Those of these names, in a run with such keepers.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n Name>, keepers: &BTreeSet<Name>) -> Self {
        let none = Self { names: 0, keepers: 0 };
        names.into_iter().fold(none, |votes, name| Self {
            names: votes.names + 1,
            keepers: votes.keepers + usize::from(keepers.contains(name)),
        })
    }

    /// Those that whoever commands needs of all these.
    #[must_use]
    pub fn needed(self) -> Self {
        Self { names: majority(self.names), keepers: majority(self.keepers) }
    }

    /// Whether they are enough of all these.
    #[must_use]
    pub fn suffice(self, all: Self) -> bool {
        let needed = all.needed();
        self.names >= needed.names && self.keepers >= needed.keepers
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::seed::Seed;
    use proptest::prelude::*;

    use super::*;

    fn names(count: usize) -> BTreeSet<Name> {
        (1..=count).map(|number| format!("nodes-{number}").parse().expect("a name")).collect()
    }

    /// Some of them, by luck.
    fn some(of: &BTreeSet<Name>, seed: &mut Seed) -> BTreeSet<Name> {
        let share = seed.below(5);
        of.iter().filter(|_| seed.below(4) < share).cloned().collect()
    }

    #[test]
    fn in_a_small_run_every_name_keeps_and_in_a_larger_one_seven_do() {
        for count in 1..300 {
            let names = names(count);
            let keepers = keepers(&names);
            assert_eq!(keepers.len(), count.min(KEEPERS), "of {count}");
            assert!(keepers.is_subset(&names));
        }
    }

    proptest! {
        #[test]
        fn whoever_may_command_knows_what_was_kept_and_two_never_may_at_once(count in 1_usize..40, seed: u64) {
            let (names, mut seed) = (names(count), Seed::new(seed));
            let keepers = keepers(&names);
            let all = Votes::of(&names, &keepers);
            prop_assert!(all.suffice(all));
            for _ in 0..200 {
                let (one, other, stored) = (some(&names, &mut seed), some(&names, &mut seed), some(&keepers, &mut seed));
                let may_command = |of: &BTreeSet<Name>| Votes::of(of, &keepers).suffice(all);
                let is_kept = stored.len() >= majority(keepers.len());
                if may_command(&one) && may_command(&other) {
                    prop_assert!(!one.is_disjoint(&other));
                }
                if may_command(&one) && is_kept {
                    prop_assert!(!one.is_disjoint(&stored));
                }
            }
        }
    }
}
