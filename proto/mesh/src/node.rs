//! The task that knows everybody: roster, signaling servers, links by peer.

use std::collections::BTreeSet;
use std::sync::Arc;

use dashmap::DashMap;
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::{Chain, Identity, Signed};
use meshproof_proto::rendezvous::ToPeer;
use meshproof_proto::signal::{ConnectionKind, Signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::MeshEvent;
use crate::context::{Context, now_unix};
use crate::link::{Command, Link, LinkTask, Surroundings};
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
    pub signals_in: mpsc::Sender<(PeerId, Signed)>,
    pub signals: mpsc::Receiver<(PeerId, Signed)>,
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
                Some((to, signal)) = self.signals.recv() => self.send(to, signal),
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
        if let Some(link) = self.link(peer) {
            let _ = link.commands.send(Command::Want(kind)).await;
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
            signals: self.signals_in.clone(),
        };
        let link = LinkTask::start(around, identity);
        self.tables.links.insert(peer, link.clone());
        Some(link)
    }

    /// Sends a signal through any server that both sides share.
    fn send(&self, to: PeerId, signal: Signed) {
        let shared = self.servers.iter().find(|server| server.up && server.lists.contains(&to));
        match shared {
            Some(server) => {
                // a full queue loses the signal; the attempt's deadline brings the next one
                let _ = server.out.try_send((to, signal));
            }
            None => tracing::debug!(?to, "no signaling server reaches the peer now"),
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
            ToPeer::Signal { from, signal } => self.signal(from, &signal).await,
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
                    self.tell(MeshEvent::PeerJoined(identity)).await;
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
    }

    async fn signal(&self, from: PeerId, signed: &Signed) {
        if !self.tables.roster.contains_key(&from) {
            tracing::debug!(?from, "a signal came from a peer that is not in the roster");
            return;
        }
        let signal = match Signal::open(signed, &from, &self.context.me, now_unix()) {
            Ok(signal) if signal.mesh == self.context.mesh => signal,
            Ok(_) => return tracing::warn!(?from, "a signal is for another mesh"),
            Err(error) => return tracing::warn!(?from, %error, "a signal was refused"),
        };
        if let Some(link) = self.link(from) {
            let _ = link.commands.send(Command::Signal(Box::new(signal))).await;
        }
    }

    async fn tell(&self, event: MeshEvent) {
        let _ = self.events.send(event).await;
    }
}
