//! The task that knows everybody: roster, signaling servers, links by peer.

mod carrying;
mod ending;
mod expiry;
mod news;
mod roster;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use dashmap::DashMap;
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::Identity;
use meshproof_proto::limits;
use meshproof_proto::rendezvous::{ToPeer, ToServer};
use meshproof_proto::signal::ConnectionKind;
use meshproof_proto::trust::Trust;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::api::MeshEvent;
use crate::context::{Context, until};
use crate::link::{Command, Link, LinkTask, Surroundings, ToNode};
use crate::past::Past;
use crate::reach::Reach;
use crate::signaling::{FromServer, News};

/// What the handle asks of the node.
#[derive(Debug)]
pub(crate) enum Ask {
    Connect {
        peer: PeerId,
        kind: ConnectionKind,
    },
    Refuse {
        peer: PeerId,
        why: String,
    },
    /// Its link ends; no other is wanted.
    Forget {
        peer: PeerId,
    },
    Leave,
}

/// Tables that the handle reads without asking.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub roster: DashMap<PeerId, Identity>,
    pub links: DashMap<PeerId, Link>,
    pub reach: Reach,
    pub past: Past,
    pub changes: Changes,
}

/// Wakes who waits for a link to change.
#[derive(Debug, Default)]
pub(crate) struct Changes(watch::Sender<u64>);

impl Changes {
    pub(crate) fn tell(&self) {
        self.0.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// A signaling server as the node sees it.
#[derive(Debug)]
pub(crate) struct Server {
    pub url: String,
    pub out: mpsc::Sender<ToServer>,
    /// Peers that it listed before it was away and has not listed again.
    pub missed: BTreeSet<PeerId>,
    /// When those who are missed by then have left; set when it is back.
    pub settles: Option<Instant>,
}

pub(crate) struct Node {
    pub context: Arc<Context>,
    pub tables: Arc<Tables>,
    /// Peers that shall be linked whenever a server lists them.
    pub wanted: BTreeSet<PeerId>,
    /// Instances that get no link any more.
    pub refused: BTreeSet<PeerId>,
    pub servers: Vec<Server>,
    pub events: mpsc::Sender<MeshEvent>,
    pub asks: mpsc::Receiver<Ask>,
    pub news: mpsc::Receiver<FromServer>,
    pub links_in: mpsc::Sender<ToNode>,
    pub links: mpsc::Receiver<ToNode>,
    pub addresses: watch::Receiver<BTreeSet<IpAddr>>,
    /// Changes when the root keys said more.
    pub trust: watch::Receiver<Trust>,
    pub stop: CancellationToken,
}

impl Node {
    pub(crate) async fn run(mut self) {
        let mut looks = expiry::looks();
        loop {
            let settles = self.servers.iter().filter_map(|server| server.settles).min();
            tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(Ask::Connect { peer, kind }) => self.connect(peer, kind),
                    Some(Ask::Refuse { peer, why }) => self.refuse(peer, why),
                    Some(Ask::Forget { peer }) => self.forget(peer),
                    Some(Ask::Leave) | None => break,
                },
                Some(FromServer { server, news }) = self.news.recv() => self.news(server, news).await,
                Some(message) = self.links.recv() => self.link_says(message),
                () = until(settles) => self.settle().await,
                _ = looks.tick() => self.look_at_tokens().await,
                Ok(()) = self.trust.changed() => self.learned().await,
                Ok(()) = self.addresses.changed() => self.tell_links(|| Command::AddressesChanged),
            }
        }
        self.tell_links(|| Command::Leave);
        self.tables.links.clear();
        self.stop.cancel();
    }

    fn tell_links(&self, command: impl Fn() -> Command) {
        for link in &self.tables.links {
            link.tell(command(), &self.context.tasks);
        }
    }

    fn connect(&mut self, peer: PeerId, kind: ConnectionKind) {
        if kind == ConnectionKind::Control {
            self.want(peer);
        }
        self.command(peer, |link| link.tell(Command::Want(kind), &self.context.tasks));
    }

    /// Remembers the wish for one that is not listed yet, or leaves and comes back.
    fn want(&mut self, peer: PeerId) {
        if self.wanted.len() >= limits::PEERS_PER_MESH {
            self.wanted.retain(|wanted| self.tables.roster.contains_key(wanted));
        }
        self.wanted.insert(peer);
    }

    /// Tells the link to a peer of the roster something. One that has ended, which `tell` says, is made anew.
    fn command(&self, peer: PeerId, tell: impl Fn(&Link) -> bool) {
        for _ in 0..2 {
            let Some(link) = self.link(peer) else { return };
            if tell(&link) {
                return;
            }
            self.tables.links.remove(&peer);
        }
    }

    fn link_says(&self, message: ToNode) {
        match message {
            ToNode::Carry { to, signal, server } => self.carry(to, signal, server),
            ToNode::Forward { from, to, signal } => self.pass_on((from, to), signal),
            ToNode::Forwarded { from, signal } => self.signal((from, None), &signal),
            ToNode::Down(peer) => self.consider(peer),
            ToNode::Ended(peer) => {
                self.tables.links.remove_if(&peer, |_, link| link.commands.is_closed());
                self.tables.changes.tell();
            }
        }
    }

    /// The link to a peer of the roster, made when there is none and the peer is not refused.
    fn link(&self, peer: PeerId) -> Option<Link> {
        if let Some(link) = self.tables.links.get(&peer) {
            return Some(link.value().clone());
        }
        if self.refused.contains(&peer) {
            return None;
        }
        let identity = self.tables.roster.get(&peer)?.value().clone();
        let around = Surroundings {
            context: Arc::clone(&self.context),
            events: self.events.clone(),
            node: self.links_in.clone(),
            tables: Arc::clone(&self.tables),
        };
        let link = LinkTask::start(around, identity);
        self.tables.links.insert(peer, link.clone());
        Some(link)
    }

    async fn news(&mut self, index: usize, news: News) {
        let url = self.servers[index].url.clone();
        match news {
            News::Up => self.tell(MeshEvent::SignalingUp { url }).await,
            News::Down { reason, wrong_way } => {
                self.away(index);
                self.tell(MeshEvent::SignalingDown { url, reason, wrong_way }).await;
            }
            News::Refused { reason } => {
                self.away(index);
                self.tell(MeshEvent::SignalingRefused { url, reason }).await;
            }
            News::Message(message) => self.message(index, message).await,
        }
    }

    async fn message(&mut self, index: usize, message: ToPeer) {
        match message {
            ToPeer::Welcome { peers } => {
                self.welcome(index, &peers).await;
                self.tell_links(|| Command::SignalingBack);
            }
            ToPeer::Joined { chain } => self.joined(index, &chain).await,
            ToPeer::Left { peer } => self.left(index, peer).await,
            ToPeer::Signal { from, signal } => self.signal((from, Some(index)), &signal),
            ToPeer::News(news) => self.context.learn(&news),
            ToPeer::Epochs(notices) => {
                if self.context.learn_epochs(&notices) {
                    self.tell(MeshEvent::Epochs).await;
                }
            }
            ToPeer::Ice(servers) => self.context.use_servers(index, servers),
            ToPeer::Undeliverable { to } => tracing::debug!(?to, "a signal could not be delivered"),
            ToPeer::Challenge { .. } | ToPeer::Refused { .. } => {
                tracing::warn!("a signaling server sent something out of order");
            }
        }
    }

    async fn tell(&self, event: MeshEvent) {
        let _ = self.events.send(event).await;
    }
}
