//! Which instances that stand by have on their disks what is on this one's. Pure.
//!
//! One that begins *catches up*, and nobody waits for it. Once it is close it *follows*: from then on nothing counts that it lacks. So one
//! that followed, and was not left behind since, has everything that anything followed from.

use std::collections::BTreeMap;

use meshproof_proto::id::PeerId;

use crate::limits::MIRROR_BYTES;

#[derive(Debug, Default)]
pub(super) struct Mirrors(BTreeMap<PeerId, Mirror>);

#[derive(Debug)]
struct Mirror {
    /// So many bytes of the file are there.
    bytes: u64,
    course: Course,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    CatchesUp,
    Follows,
}

impl Mirrors {
    /// It has so much of a file of this length. `true`: it follows from now on.
    pub(super) fn is_at(&mut self, peer: PeerId, bytes: u64, length: u64) -> bool {
        let mirror = self.0.entry(peer).or_insert(Mirror { bytes, course: Course::CatchesUp });
        mirror.bytes = bytes;
        let is_close = length.saturating_sub(bytes) <= MIRROR_BYTES as u64;
        let begins = mirror.course == Course::CatchesUp && is_close;
        if begins {
            mirror.course = Course::Follows;
        }
        begins
    }

    /// It lacks what comes from now on. `true`: it followed until now.
    pub(super) fn is_without(&mut self, peer: PeerId) -> bool {
        self.0.remove(&peer).is_some_and(|mirror| mirror.course == Course::Follows)
    }

    pub(super) fn following(&self) -> Vec<PeerId> {
        self.follow().map(|(peer, _)| *peer).collect()
    }

    /// Up to where a file of this length is on all disks that are to have it.
    pub(super) fn everywhere(&self, length: u64) -> u64 {
        self.follow().map(|(_, mirror)| mirror.bytes).min().unwrap_or(length)
    }

    fn follow(&self) -> impl Iterator<Item = (&PeerId, &Mirror)> {
        self.0.iter().filter(|(_, mirror)| mirror.course == Course::Follows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: PeerId = PeerId([1; 32]);
    const OTHER: PeerId = PeerId([2; 32]);
    const FAR: u64 = MIRROR_BYTES as u64 * 9;

    #[test]
    fn nobody_waits_for_one_that_catches_up_and_everybody_for_those_that_follow_until_they_are_left_behind() {
        let mut mirrors = Mirrors::default();
        assert_eq!(mirrors.everywhere(FAR), FAR);
        assert!(!mirrors.is_at(ONE, 100, FAR));
        assert_eq!((mirrors.everywhere(FAR), mirrors.following()), (FAR, vec![]));
        assert!(mirrors.is_at(ONE, FAR - 10, FAR) && !mirrors.is_at(ONE, FAR, FAR + 20));
        assert!(mirrors.is_at(OTHER, FAR + 5, FAR + 20));
        assert_eq!((mirrors.everywhere(FAR + 20), mirrors.following()), (FAR, vec![ONE, OTHER]));
        assert!(mirrors.is_without(ONE) && !mirrors.is_without(ONE));
        assert_eq!((mirrors.everywhere(FAR + 20), mirrors.following()), (FAR + 5, vec![OTHER]));
        assert!(!mirrors.is_at(ONE, 0, FAR), "it begins anew");
        assert!(!mirrors.is_without(ONE), "it did not follow");
    }
}
