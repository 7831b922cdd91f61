//! Which signaling servers list whom, and so, which of them can carry something to a peer.

use std::collections::BTreeSet;

use dashmap::DashMap;
use meshproof_proto::id::PeerId;

/// Servers by their place in the configuration. One that is away lists nobody.
#[derive(Debug, Default)]
pub(crate) struct Reach(DashMap<PeerId, BTreeSet<usize>>);

impl Reach {
    pub(crate) fn listed(&self, peer: PeerId, server: usize) {
        self.0.entry(peer).or_default().insert(server);
    }

    pub(crate) fn unlisted(&self, peer: PeerId, server: usize) {
        if let Some(mut servers) = self.0.get_mut(&peer) {
            servers.remove(&server);
        }
        self.0.remove_if(&peer, |_, servers| servers.is_empty());
    }

    /// The server lists nobody any more; gives those that it did.
    pub(crate) fn away(&self, server: usize) -> BTreeSet<PeerId> {
        let listed: BTreeSet<PeerId> =
            self.0.iter().filter(|entry| entry.value().contains(&server)).map(|entry| *entry.key()).collect();
        listed.iter().for_each(|peer| self.unlisted(*peer, server));
        listed
    }

    /// A server that lists the peer.
    pub(crate) fn through(&self, peer: &PeerId) -> Option<usize> {
        self.0.get(peer)?.first().copied()
    }

    pub(crate) fn lists(&self, server: usize, peer: &PeerId) -> bool {
        self.0.get(peer).is_some_and(|servers| servers.contains(&server))
    }

    /// Whether any server lists the peer.
    pub(crate) fn is_listed(&self, peer: &PeerId) -> bool {
        self.0.contains_key(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_reached_through_any_server_that_lists_it_until_none_does() {
        let (reach, peer, other) = (Reach::default(), PeerId([1; 32]), PeerId([2; 32]));
        assert_eq!(reach.through(&peer), None);
        reach.listed(peer, 1);
        reach.listed(peer, 0);
        reach.listed(other, 1);
        assert_eq!(reach.through(&peer), Some(0));
        reach.unlisted(peer, 0);
        assert_eq!(reach.through(&peer), Some(1));
        assert!(reach.lists(1, &peer) && !reach.lists(0, &peer));
        assert_eq!(reach.away(1), BTreeSet::from([peer, other]));
        assert!(!reach.is_listed(&peer) && !reach.is_listed(&other));
    }
}
