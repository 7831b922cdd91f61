//! The session's links: who calls us, whom we want to reach, which facts a run should hear.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meshproof_mesh::{LinkUp, Loss, Mesh};
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::Identity;
use meshproof_proto::rpc::{AgentRequest, AgentResponse};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::limits;
use crate::rights::Rights;
use crate::service::{AgentServer, Order};

/// How a link came to be, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Linked {
    Offered,
    Acknowledged,
}

#[derive(Debug)]
pub(super) struct Links {
    mesh: Mesh,
    orders: mpsc::Sender<Order>,
    rights: Arc<Rights>,
    /// Serves each peer over its current connection.
    serving: BTreeMap<PeerId, AbortOnDropHandle<()>>,
    /// Peers to be linked to, also when the roster does not know them yet.
    wanted: BTreeSet<PeerId>,
    /// Links that are there, in the order they came: a run that begins later hears of them.
    known: Vec<(Linked, PeerId)>,
}

impl Links {
    pub(super) fn new(mesh: Mesh, orders: mpsc::Sender<Order>, rights: Arc<Rights>) -> Self {
        Self { mesh, orders, rights, serving: BTreeMap::new(), wanted: BTreeSet::new(), known: Vec::new() }
    }

    pub(super) fn up(&mut self, LinkUp { peer, generation, rpc, .. }: LinkUp) {
        tracing::info!(peer = %peer.name, %generation, "linked");
        // We call nobody: the client's half is not needed.
        let (_, server) = rpc.split::<AgentRequest, AgentResponse, AgentRequest, AgentResponse>();
        let id = peer.peer;
        let serving = AgentServer { caller: peer, orders: self.orders.clone(), rights: Arc::clone(&self.rights) };
        self.serving.insert(id, AbortOnDropHandle::new(tokio::spawn(serving.serve(server))));
    }

    pub(super) fn lost(&mut self, peer: &Identity, loss: &Loss) {
        // Who leaves and says so is no trouble.
        if *loss == Loss::Left {
            tracing::info!(peer = %peer.name, %loss, "the link is over");
        } else {
            tracing::warn!(peer = %peer.name, %loss, "the link is lost");
        }
        self.serving.remove(&peer.peer);
        self.known.retain(|(_, known)| *known != peer.peer);
    }

    pub(super) fn linked(&mut self, how: Linked, peer: PeerId) {
        if self.known.len() < limits::LINKS_KNOWN {
            self.known.push((how, peer));
        }
    }

    pub(super) fn known(&self) -> Vec<(Linked, PeerId)> {
        self.known.clone()
    }

    pub(super) fn joined(&self, peer: &Identity) {
        if self.wanted.contains(&peer.peer) {
            self.ask(peer.peer);
        }
    }

    /// Wants a link from now on.
    pub(super) fn connect(&mut self, peer: PeerId) {
        if self.wanted.insert(peer) {
            self.ask(peer);
        }
    }

    /// Another instance has taken a peer's place.
    pub(super) fn replaced(&mut self, former: PeerId, peer: PeerId) {
        self.known.retain(|(_, known)| *known != former);
        let mesh = self.mesh.clone();
        tokio::spawn(async move { mesh.forget(former).await });
        if self.wanted.remove(&former) {
            self.connect(peer);
        }
    }

    /// In a task of its own: the mesh may wait for us to take its events just now. It ends when the mesh has room, or ends.
    fn ask(&self, peer: PeerId) {
        let mesh = self.mesh.clone();
        tokio::spawn(async move { mesh.connect(peer).await });
    }
}
