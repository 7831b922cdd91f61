//! Links that are given up because their peer will not come back.

use std::sync::PoisonError;

use meshproof_proto::id::PeerId;
use meshproof_proto::identity::Identity;
use meshproof_proto::limits;

use super::Node;
use crate::api::Loss;
use crate::link::Command;

impl Node {
    /// A link that is not up and whose peer will not come back is given up.
    pub(super) fn consider(&self, peer: PeerId) {
        let Some(link) = self.tables.links.get(&peer).map(|link| link.value().clone()) else { return };
        let (state, name) = {
            let info = link.info.lock().unwrap_or_else(PoisonError::into_inner);
            (info.state, info.name.clone())
        };
        if self.tables.reach.is_listed(&peer) || state == "up" {
            return;
        }
        let replaced = self.tables.roster.iter().any(|other| *other.key() != peer && other.name.as_str() == name);
        let left = !self.tables.roster.contains_key(&peer);
        let loss = match (replaced, left, state) {
            (true, _, _) => Loss::Replaced,
            (false, true, "lost" | "idle" | "connecting") => Loss::Left,
            (false, _, _) => return,
        };
        link.tell(Command::Forget(loss), &self.context.tasks);
    }

    /// No link to the peer from now on, neither this one nor another.
    pub(super) fn refuse(&mut self, peer: PeerId, why: String) {
        tracing::warn!(?peer, why, "a peer is refused from now on");
        if self.refused.len() >= limits::PEERS_PER_MESH {
            self.refused.retain(|refused| self.tables.roster.contains_key(refused));
        }
        self.refused.insert(peer);
        let link = self.tables.links.get(&peer).map(|link| link.value().clone());
        if let Some(link) = link {
            link.tell(Command::Refuse(Loss::Refused(why)), &self.context.tasks);
        }
    }

    /// The peer is gone for good: whoever has taken its place says so, before silence could.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.wanted.remove(&peer);
        let link = self.tables.links.get(&peer).map(|link| link.value().clone());
        if let Some(link) = link {
            link.tell(Command::Forget(Loss::Replaced), &self.context.tasks);
        }
    }

    /// Links to former instances of that name are not waited for.
    pub(super) fn consider_namesakes(&self, of: &Identity) {
        let namesakes: Vec<PeerId> = self
            .tables
            .links
            .iter()
            .filter(|link| *link.key() != of.peer)
            .filter(|link| link.info.lock().unwrap_or_else(PoisonError::into_inner).name == of.name.as_str())
            .map(|link| *link.key())
            .collect();
        for peer in namesakes {
            self.consider(peer);
        }
    }
}
