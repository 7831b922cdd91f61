//! The registered peers of one mesh.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshproof_proto::epoch::Epochs;
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::{Chain, Issued, TrustError, UnixSeconds};
use meshproof_proto::limits::PEERS_PER_MESH;
use meshproof_proto::trust::Trust;
use meshproof_proto::version::Version;

use super::ConnId;
use crate::limits;

pub(super) struct Room {
    pub(super) trust: Arc<Trust>,
    /// Which zone counts in each of its pools.
    pub(super) epochs: Epochs,
    members: BTreeMap<PeerId, Member>,
    /// Of all members' chains as JSON, with a comma each.
    bytes: usize,
}

pub(super) struct Member {
    pub(super) conn: ConnId,
    pub(super) chain: Chain,
    pub(super) issued: Issued,
    pub(super) bytes: usize,
    pub(super) speaks: Version,
}

impl Room {
    pub(super) fn new(trust: Trust) -> Self {
        Self { trust: Arc::new(trust), epochs: Epochs::default(), members: BTreeMap::new(), bytes: 0 }
    }

    /// Whether `member` may come in as `peer`: as a newcomer, or in the place of its former self.
    pub(super) fn has_place(&self, peer: &PeerId, member: &Member) -> bool {
        let former = self.members.get(peer);
        let others = self.members.len() - usize::from(former.is_some());
        let bytes = self.bytes - former.map_or(0, |former| former.bytes);
        others < PEERS_PER_MESH && bytes + member.bytes <= limits::CHAINS_BYTES
    }

    /// Returns the peer's former self, if it was here.
    pub(super) fn enter(&mut self, peer: PeerId, member: Member) -> Option<Member> {
        self.bytes += member.bytes;
        let former = self.members.insert(peer, member);
        self.bytes -= former.as_ref().map_or(0, |former| former.bytes);
        former
    }

    pub(super) fn leave(&mut self, peer: &PeerId) {
        if let Some(member) = self.members.remove(peer) {
            self.bytes -= member.bytes;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Those whose tokens are no longer good, and why.
    pub(super) fn unwelcome(&self, now: UnixSeconds) -> Vec<(ConnId, TrustError)> {
        let judged = |member: &Member| self.trust.admits(&member.issued, now).err().map(|error| (member.conn, error));
        self.members.values().filter_map(judged).collect()
    }

    pub(super) fn conn_of(&self, peer: &PeerId) -> Option<ConnId> {
        self.members.get(peer).map(|member| member.conn)
    }

    pub(super) fn chains_without(&self, peer: &PeerId) -> Vec<Chain> {
        self.without(peer).map(|member| member.chain.clone()).collect()
    }

    pub(super) fn conns_without(&self, peer: &PeerId) -> Vec<ConnId> {
        self.without(peer).map(|member| member.conn).collect()
    }

    /// Of those who know news of the root.
    pub(super) fn conns_with_news(&self) -> Vec<ConnId> {
        self.members.values().filter(|member| member.speaks.has_news()).map(|member| member.conn).collect()
    }

    /// Of those who take epochs.
    pub(super) fn conns_with_epochs(&self) -> Vec<ConnId> {
        self.members.values().filter(|member| member.speaks.has_epochs()).map(|member| member.conn).collect()
    }

    /// Those who take STUN and TURN servers.
    pub(super) fn members_with_ice(&self) -> impl Iterator<Item = (ConnId, PeerId)> {
        self.members.iter().filter(|(_, member)| member.speaks.has_ice()).map(|(peer, member)| (member.conn, *peer))
    }

    fn without(&self, peer: &PeerId) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |(id, _)| *id != peer).map(|(_, member)| member)
    }
}
