//! The session's links: who calls us, whom we want to reach, which facts a run should hear.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meshproof_mesh::{LinkUp, Loss, Mesh};
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::{Identity, Role};
use meshproof_proto::order::StepOver;
use meshproof_proto::rpc::{AgentClient, AgentRequest, AgentResponse};
use tokio::sync::{mpsc, watch};
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
    /// The agents that are linked.
    clients: BTreeMap<PeerId, AgentClient>,
    /// What agents are to hear as soon as they are linked.
    waiting: Vec<(PeerId, StepOver)>,
    /// Who keeps copies of our events, and how it is called.
    copies: Option<(PeerId, watch::Sender<Option<AgentClient>>)>,
    /// Instances that stand by for us, and how each is called.
    mirrors: BTreeMap<PeerId, watch::Sender<Option<AgentClient>>>,
    /// Peers to be linked to, also when the roster does not know them yet.
    wanted: BTreeSet<PeerId>,
    /// Links that are there, in the order they came: a run that begins later hears of them.
    known: Vec<(Linked, PeerId)>,
}

impl Links {
    pub(super) fn new(mesh: Mesh, orders: mpsc::Sender<Order>, rights: Arc<Rights>) -> Self {
        let (serving, clients, waiting) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (wanted, known) = (BTreeSet::new(), Vec::new());
        Self { mesh, orders, rights, serving, clients, waiting, copies: None, mirrors: BTreeMap::new(), wanted, known }
    }

    pub(super) fn up(&mut self, LinkUp { peer, generation, path, rpc }: LinkUp) {
        let path = path.map_or("unknown", |path| path.kind.word());
        tracing::info!(peer = %peer.name, path, %generation, "linked");
        let (client, server) = rpc.split::<AgentRequest, AgentResponse, AgentRequest, AgentResponse>();
        let id = peer.peer;
        // nobody else is called
        if peer.role == Role::Agent {
            let client = AgentClient::new(tarpc::client::Config::default(), client).spawn();
            self.copies
                .iter()
                .filter(|(to, _)| *to == id)
                .for_each(|(_, way)| drop(way.send_replace(Some(client.clone()))));
            self.mirrors.get(&id).into_iter().for_each(|way| drop(way.send_replace(Some(client.clone()))));
            self.clients.insert(id, client);
            let theirs = self.waiting.extract_if(.., |(to, _)| *to == id).collect::<Vec<_>>();
            theirs.into_iter().for_each(|(to, over)| self.step_over(to, over));
        }
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
        self.clients.remove(&peer.peer);
        self.copies.iter().filter(|(to, _)| *to == peer.peer).for_each(|(_, way)| drop(way.send_replace(None)));
        self.mirrors.get(&peer.peer).into_iter().for_each(|way| drop(way.send_replace(None)));
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

    /// How to call whoever keeps copies of our events from now on; nobody while there is no link.
    pub(super) fn copies_go_to(&mut self, peer: PeerId) -> watch::Receiver<Option<AgentClient>> {
        let way = watch::Sender::new(self.clients.get(&peer).cloned());
        let calls = way.subscribe();
        self.copies = Some((peer, way));
        self.connect(peer);
        calls
    }

    /// How to call an instance that stands by for us.
    pub(super) fn mirrors_to(&mut self, peer: PeerId) -> watch::Receiver<Option<AgentClient>> {
        let way = watch::Sender::new(self.clients.get(&peer).cloned());
        let calls = way.subscribe();
        self.mirrors.insert(peer, way);
        self.connect(peer);
        calls
    }

    /// Another run begins.
    pub(super) fn mirrors_to_nobody(&mut self) {
        self.mirrors.clear();
    }

    pub(super) fn mirrors_no_more(&mut self, peer: &PeerId) {
        self.mirrors.remove(peer);
        self.wanted.remove(peer);
    }

    /// Whether that agent can be called.
    pub(super) fn reach(&self, peer: PeerId) -> bool {
        self.clients.contains_key(&peer)
    }

    /// Tells an agent that a step of here is over. That it does not hear of it does no harm: the orchestrator orders the next one
    /// again then.
    pub(super) fn step_over(&mut self, peer: PeerId, over: StepOver) {
        let Some(client) = self.clients.get(&peer).cloned() else {
            // the oldest are of no use any more
            self.waiting.drain(..(self.waiting.len() + 1).saturating_sub(limits::OVERS_WAITING));
            return self.waiting.push((peer, over));
        };
        tokio::spawn(async move {
            match client.step_over(tarpc::context::current(), over).await {
                Ok(Ok(())) => {}
                Ok(Err(refusal)) => tracing::debug!(%refusal, "the agent of the next step does not listen"),
                Err(error) => tracing::debug!(%error, "the agent of the next step was not told"),
            }
        });
    }

    /// Another instance has taken a peer's place.
    pub(super) fn replaced(&mut self, former: PeerId, peer: PeerId) {
        self.known.retain(|(_, known)| *known != former);
        self.waiting.retain(|(to, _)| *to != former);
        for (to, way) in self.copies.iter_mut().filter(|(to, _)| *to == former) {
            *to = peer;
            way.send_replace(self.clients.get(&peer).cloned());
        }
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
