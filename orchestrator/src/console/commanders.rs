//! Those who command runs in a mesh, as far as a console has to do with them.

use std::collections::BTreeSet;

use meshproof_proto::id::PeerId;

/// Who is linked, and what speaks against it.
#[derive(Debug, Default)]
pub(super) struct Commanders {
    linked: BTreeSet<PeerId>,
    /// Signaling has seen them leave: they have ended, or signaling has.
    left: BTreeSet<PeerId>,
    /// Their links are silent: they are gone, or starved.
    silent: BTreeSet<PeerId>,
}

impl Commanders {
    pub(super) fn joined(&mut self, peer: PeerId) {
        self.left.remove(&peer);
    }

    pub(super) fn linked(&mut self, peer: PeerId) {
        self.linked.insert(peer);
        self.silent.remove(&peer);
    }

    pub(super) fn left(&mut self, peer: PeerId) {
        self.left.insert(peer);
    }

    pub(super) fn silent(&mut self, peer: PeerId) {
        self.silent.insert(peer);
    }

    pub(super) fn lost(&mut self, peer: PeerId) {
        self.linked.remove(&peer);
    }

    /// Those of whom a link says that they are there, or signaling does.
    pub(super) fn present(&self) -> impl Iterator<Item = PeerId> {
        self.linked.iter().copied().filter(|peer| !(self.left.contains(peer) && self.silent.contains(peer)))
    }

    pub(super) fn are_present(&self, peer: PeerId) -> bool {
        self.present().any(|present| present == peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_linked_is_gone_when_signaling_and_the_link_say_so() {
        let (peer, mut commanders) = (PeerId([1; 32]), Commanders::default());
        commanders.linked(peer);
        commanders.left(peer);
        assert!(commanders.are_present(peer), "signaling may have ended");
        commanders.silent(peer);
        assert!(!commanders.are_present(peer));
        commanders.joined(peer);
        assert!(commanders.are_present(peer), "signaling is back, and sees it");
        commanders.lost(peer);
        assert!(!commanders.are_present(peer));
        commanders.linked(peer);
        assert!(commanders.are_present(peer));
    }
}
