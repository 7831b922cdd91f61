//! Who is in the mesh, as several servers tell it, each for those that registered with it.
//!
//! A server that is away says nothing about who left, and one that is back lists at first only who found it before us. So what
//! it listed before is believed until everybody had the time to come back; whoever is missing then has left.

use std::time::Instant;

use meshproof_proto::id::PeerId;
use meshproof_proto::identity::{Chain, Identity};
use meshproof_proto::signal::ConnectionKind;

use super::Node;
use crate::api::MeshEvent;
use crate::limits::BACK_WITHIN;
use crate::link::Command;

/// Whether a peer was in the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    New,
    Before,
}

impl Node {
    /// A server is away, with its list.
    pub(super) fn away(&mut self, index: usize) {
        let listed = self.tables.reach.away(index);
        let server = &mut self.servers[index];
        server.missed.extend(listed);
        server.settles = None;
    }

    /// A server is there, for the first time or again.
    pub(super) async fn welcome(&mut self, index: usize, peers: &[Chain]) {
        // Who looks at the roster meanwhile sees none of them or all: that one is missing is a fact that people act on.
        let good: Vec<Identity> = peers.iter().filter_map(|chain| self.good(chain)).collect();
        let listed: Vec<(Identity, Known)> = good.into_iter().map(|identity| self.list(index, identity)).collect();
        for (identity, known) in listed {
            self.tell_of(&identity, known).await;
        }
        let server = &mut self.servers[index];
        server.settles = (!server.missed.is_empty()).then(|| Instant::now() + BACK_WITHIN);
    }

    /// Another peer that a server tells of, if it is a good one.
    fn good(&self, chain: &Chain) -> Option<Identity> {
        match self.context.check(chain) {
            Ok(identity) => (identity.peer != self.context.me).then_some(identity),
            Err(error) => {
                tracing::warn!(%error, "signaling listed a peer whose chain does not hold");
                None
            }
        }
    }

    fn list(&mut self, index: usize, identity: Identity) -> (Identity, Known) {
        let peer = identity.peer;
        self.servers[index].missed.remove(&peer);
        self.tables.reach.listed(peer, index);
        let known = match self.tables.roster.insert(peer, identity.clone()) {
            None => Known::New,
            Some(_) => Known::Before,
        };
        (identity, known)
    }

    async fn tell_of(&mut self, identity: &Identity, known: Known) {
        if known == Known::Before {
            return;
        }
        self.tell(MeshEvent::PeerJoined(identity.clone())).await;
        self.consider_namesakes(identity);
        if self.wanted.contains(&identity.peer) {
            self.connect(identity.peer, ConnectionKind::Control);
        }
    }

    /// A peer registered, for the first time or again. What was said to it while it could not be reached is said once more.
    pub(super) async fn joined(&mut self, index: usize, chain: &Chain) {
        let Some(identity) = self.good(chain) else { return };
        let (identity, known) = self.list(index, identity);
        self.tell_of(&identity, known).await;
        let link = self.tables.links.get(&identity.peer).map(|link| link.value().clone());
        if let Some(link) = link {
            // one that is busy says it with its next attempt
            let _ = link.commands.try_send(Command::SignalingBack);
        }
    }

    pub(super) async fn left(&mut self, index: usize, peer: PeerId) {
        self.tables.reach.unlisted(peer, index);
        self.gone(peer).await;
    }

    /// The time to come back is over for peers of servers that are back.
    pub(super) async fn settle(&mut self) {
        let now = Instant::now();
        let mut gone = Vec::new();
        for server in &mut self.servers {
            if server.settles.take_if(|settles| *settles <= now).is_some() {
                gone.extend(std::mem::take(&mut server.missed));
            }
        }
        for peer in gone {
            self.gone(peer).await;
        }
    }

    /// The peer is not in the mesh any more, unless another server lists it.
    async fn gone(&mut self, peer: PeerId) {
        if self.tables.reach.is_listed(&peer) {
            return;
        }
        if let Some((_, identity)) = self.tables.roster.remove(&peer) {
            self.tell(MeshEvent::PeerLeft(identity)).await;
        }
        self.consider(peer);
    }
}
