//! The task that knows everybody: roster, signaling servers, links by peer.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use dashmap::DashMap;
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::{Chain, Identity, Role, Signed};
use meshproof_proto::limits;
use meshproof_proto::rendezvous::ToPeer;
use meshproof_proto::signal::{ConnectionKind, Signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::MeshEvent;
use crate::context::{Context, now_unix};
use crate::link::{Command, Link, LinkTask, Surroundings, ToNode};
use crate::signaling::{FromServer, News};

/// What the handle asks of the node.
#[derive(Debug)]
pub(crate) enum Ask {
    Connect { peer: PeerId, kind: ConnectionKind },
    Leave,
}

/// Tables that the handle reads without asking.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub roster: DashMap<PeerId, Identity>,
    pub links: DashMap<PeerId, Link>,
}

/// A signaling server as the node sees it.
#[derive(Debug)]
pub(crate) struct Server {
    pub url: String,
    pub out: mpsc::Sender<(PeerId, Signed)>,
    pub up: bool,
    pub lists: BTreeSet<PeerId>,
}

pub(crate) struct Node {
    pub context: Arc<Context>,
    pub tables: Arc<Tables>,
    pub servers: Vec<Server>,
    pub events: mpsc::Sender<MeshEvent>,
    pub asks: mpsc::Receiver<Ask>,
    pub news: mpsc::Receiver<FromServer>,
    pub links_in: mpsc::Sender<ToNode>,
    pub links: mpsc::Receiver<ToNode>,
    pub stop: CancellationToken,
}

impl Node {
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(Ask::Connect { peer, kind }) => self.connect(peer, kind).await,
                    Some(Ask::Leave) | None => break,
                },
                Some(FromServer { server, news }) = self.news.recv() => self.news(server, news).await,
                Some(message) = self.links.recv() => self.link_says(message).await,
            }
        }
        let links: Vec<Link> = self.tables.links.iter().map(|entry| entry.value().clone()).collect();
        self.tables.links.clear();
        for link in links {
            let _ = link.commands.send(Command::Leave).await;
        }
        self.stop.cancel();
    }

    async fn connect(&self, peer: PeerId, kind: ConnectionKind) {
        self.command(peer, || Command::Want(kind)).await;
    }

    /// Tells the link to a peer of the roster something. A link that just ended is made anew.
    async fn command(&self, peer: PeerId, command: impl Fn() -> Command) {
        for _ in 0..2 {
            let Some(link) = self.link(peer) else { return };
            if link.commands.send(command()).await.is_ok() {
                return;
            }
            self.tables.links.remove(&peer);
        }
    }

    async fn link_says(&self, message: ToNode) {
        match message {
            ToNode::Carry { to, signal, server } => self.carry(to, signal, server).await,
            ToNode::Forward { from, to, signal } => self.pass_on((from, to), signal).await,
            ToNode::Forwarded { from, signal } => self.signal((from, None), &signal).await,
            ToNode::Down(peer) => self.consider(peer).await,
            ToNode::Ended(peer) => {
                self.tables.links.remove_if(&peer, |_, link| link.commands.is_closed());
            }
        }
    }

    /// The link to a peer of the roster, made when there is none.
    fn link(&self, peer: PeerId) -> Option<Link> {
        if let Some(link) = self.tables.links.get(&peer) {
            return Some(link.value().clone());
        }
        let identity = self.tables.roster.get(&peer)?.value().clone();
        let around = Surroundings {
            context: Arc::clone(&self.context),
            events: self.events.clone(),
            node: self.links_in.clone(),
        };
        let link = LinkTask::start(around, identity);
        self.tables.links.insert(peer, link.clone());
        Some(link)
    }

    /// Has a signal carried: by the server that is asked for, by any that both sides share, or by peers that we are linked to.
    async fn carry(&self, to: PeerId, signal: Signed, server: Option<usize>) {
        let reaches = |server: &&Server| server.up && server.lists.contains(&to);
        let shared = match server {
            Some(index) => self.servers.get(index).filter(reaches),
            None => self.servers.iter().find(reaches),
        };
        match (shared, server) {
            // a full queue loses the signal; the attempt's deadline brings the next one
            (Some(shared), _) => drop(shared.out.try_send((to, signal))),
            (None, Some(_)) => tracing::debug!(?to, "the signaling server of a relay is away"),
            (None, None) => self.have_forwarded(to, &signal).await,
        }
    }

    /// Asks peers whose links are up to pass the signal on, the orchestrator first: everybody is linked to it.
    async fn have_forwarded(&self, to: PeerId, signal: &Signed) {
        let mut near: Vec<(bool, Link)> = Vec::new();
        for entry in &self.tables.links {
            let info = entry.value().info.lock().unwrap_or_else(PoisonError::into_inner);
            if *entry.key() != to && info.state == "up" {
                near.push((info.role != Role::Orchestrator, entry.value().clone()));
            }
        }
        near.sort_by_key(|(other, _)| *other);
        for (_, link) in near.into_iter().take(limits::FORWARDERS) {
            let _ = link.commands.send(Command::Forward { to, signal: signal.clone() }).await;
        }
    }

    /// A peer cannot reach another: we can, or not. A link that is made for it would come too late.
    async fn pass_on(&self, (from, to): (PeerId, PeerId), signal: Signed) {
        let link = self.tables.links.get(&to).map(|link| link.value().clone());
        if let Some(link) = link {
            let _ = link.commands.send(Command::Forwarded { from, signal }).await;
        }
    }

    /// A link that is not up and whose peer will not come back is given up.
    async fn consider(&self, peer: PeerId) {
        let listed = self.servers.iter().any(|server| server.lists.contains(&peer));
        let Some(link) = self.tables.links.get(&peer).map(|link| link.value().clone()) else { return };
        let (state, name) = {
            let info = link.info.lock().unwrap_or_else(PoisonError::into_inner);
            (info.state, info.name.clone())
        };
        if listed || state == "up" {
            return;
        }
        let replaced = self.tables.roster.iter().any(|other| *other.key() != peer && other.name.as_str() == name);
        let told = self.servers.iter().any(|server| server.up);
        let why = match (replaced, told, state) {
            (true, _, _) => "a new instance took its place",
            (false, true, "lost" | "idle" | "connecting") => "the peer left",
            (false, _, _) => return,
        };
        let _ = link.commands.send(Command::Forget(why)).await;
    }

    /// Links to former instances of that name are not waited for.
    async fn consider_namesakes(&self, of: &Identity) {
        let namesakes: Vec<PeerId> = self
            .tables
            .links
            .iter()
            .filter(|link| *link.key() != of.peer)
            .filter(|link| link.info.lock().unwrap_or_else(PoisonError::into_inner).name == of.name.as_str())
            .map(|link| *link.key())
            .collect();
        for peer in namesakes {
            self.consider(peer).await;
        }
    }

    async fn news(&mut self, index: usize, news: News) {
        let url = self.servers[index].url.clone();
        match news {
            News::Up => {
                self.servers[index].up = true;
                self.tell(MeshEvent::SignalingUp { url }).await;
            }
            News::Down { reason } => {
                self.unlist_all(index).await;
                self.tell(MeshEvent::SignalingDown { url, reason }).await;
            }
            News::Refused { reason } => {
                self.unlist_all(index).await;
                self.tell(MeshEvent::SignalingRefused { url, reason }).await;
            }
            News::Message(message) => self.message(index, message).await,
        }
    }

    async fn message(&mut self, index: usize, message: ToPeer) {
        match message {
            ToPeer::Welcome { peers } => {
                let gone = self.welcome(index, peers).await;
                for peer in gone {
                    self.gone(peer).await;
                }
                let links: Vec<Link> = self.tables.links.iter().map(|entry| entry.value().clone()).collect();
                for link in links {
                    let _ = link.commands.send(Command::SignalingBack).await;
                }
            }
            ToPeer::Joined { chain } => self.listed(index, &chain).await,
            ToPeer::Left { peer } => {
                self.servers[index].lists.remove(&peer);
                self.gone(peer).await;
            }
            ToPeer::Signal { from, signal } => self.signal((from, Some(index)), &signal).await,
            ToPeer::Undeliverable { to } => tracing::debug!(?to, "a signal could not be delivered"),
            ToPeer::Challenge { .. } | ToPeer::Refused { .. } => {
                tracing::warn!("a signaling server sent something out of order");
            }
        }
    }

    /// Takes a server's roster; gives the peers that it no longer lists.
    async fn welcome(&mut self, index: usize, peers: Vec<Chain>) -> BTreeSet<PeerId> {
        let mut gone = std::mem::take(&mut self.servers[index].lists);
        for chain in peers {
            self.listed(index, &chain).await;
        }
        gone.retain(|peer| !self.servers[index].lists.contains(peer));
        gone
    }

    async fn listed(&mut self, index: usize, chain: &Chain) {
        match chain.verify(&self.context.root, &self.context.mesh, now_unix()) {
            Ok(identity) if identity.peer == self.context.me => {}
            Ok(identity) => {
                self.servers[index].lists.insert(identity.peer);
                if self.tables.roster.insert(identity.peer, identity.clone()).is_none() {
                    self.tell(MeshEvent::PeerJoined(identity.clone())).await;
                    self.consider_namesakes(&identity).await;
                }
            }
            Err(error) => tracing::warn!(%error, "signaling listed a peer whose chain does not hold"),
        }
    }

    /// A server that is away says nothing about who left: its peers stay known while a link to them works.
    async fn unlist_all(&mut self, index: usize) {
        self.servers[index].up = false;
        self.servers[index].lists.clear();
    }

    async fn gone(&mut self, peer: PeerId) {
        if self.servers.iter().any(|server| server.lists.contains(&peer)) {
            return;
        }
        if let Some((_, identity)) = self.tables.roster.remove(&peer) {
            self.tell(MeshEvent::PeerLeft(identity)).await;
        }
        self.consider(peer).await;
    }

    /// A signal came, from a signaling server or passed on by a peer.
    async fn signal(&self, (from, server): (PeerId, Option<usize>), signed: &Signed) {
        if !self.tables.roster.contains_key(&from) && !self.tables.links.contains_key(&from) {
            tracing::debug!(?from, "a signal came from a peer that is not in the roster");
            return;
        }
        let signal = match Signal::open(signed, &from, &self.context.me, now_unix()) {
            Ok(signal) if signal.mesh == self.context.mesh => signal,
            Ok(_) => return tracing::warn!(?from, "a signal is for another mesh"),
            Err(error) => return tracing::warn!(?from, %error, "a signal was refused"),
        };
        self.command(from, || Command::Signal(Box::new(signal.clone()), server)).await;
    }

    async fn tell(&self, event: MeshEvent) {
        let _ = self.events.send(event).await;
    }
}
