//! The handle of a peer that joined a mesh.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use meshproof_proto::epoch::Epochs;
use meshproof_proto::frame::EventFrame;
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Identity, Key, TrustError};
use meshproof_proto::limits;
use meshproof_proto::signal::ConnectionKind;
use meshproof_proto::trust::{RootNews, Trust};
use meshproof_proto::version::{PROTOCOL, Version};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::addresses::{AddressWatcher, Scope};
use crate::api::{LinkInfo, MeshEvent, NoLink};
use crate::config::MeshConfig;
use crate::context::{Context, now_unix, random};
use crate::datagrams::{Datagram, Inboxes};
use crate::limits::{LEAVE_WITHIN, SIGNALS};
use crate::node::{Ask, Node, Server, Tables};
use crate::signaling::Client;
use crate::streams::ByteStream;

/// Why a peer cannot join.
#[derive(Debug, Error)]
pub enum JoinError {
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("cannot watch the addresses of this machine: {0}; name the ones to use instead")]
    Addresses(#[from] io::Error),
}

/// A peer's place in a mesh; cheap to clone.
#[derive(Debug, Clone)]
pub struct Mesh {
    context: Arc<Context>,
    tables: Arc<Tables>,
    asks: mpsc::Sender<Ask>,
}

impl Mesh {
    /// Joins: makes an instance key, registers with every signaling server, and from then on answers whoever wants a link.
    ///
    /// # Errors
    ///
    /// The token is not for this mesh or name, or has ended; the machine's addresses cannot be watched.
    pub fn join(config: MeshConfig) -> Result<(Self, mpsc::Receiver<MeshEvent>), JoinError> {
        Self::join_speaking(PROTOCOL, config)
    }

    /// Joins as a peer of that protocol version would: what it does not know is not sent to it. For rehearsing an upgrade.
    ///
    /// # Errors
    ///
    /// As for [`join`](Self::join).
    pub fn join_speaking(
        protocol: Version,
        config: MeshConfig,
    ) -> Result<(Self, mpsc::Receiver<MeshEvent>), JoinError> {
        let key = Key::from_seed(random());
        let chain = config.token.claim(&config.name, key.public());
        let mut trust = Trust::new(config.mesh.clone(), config.token.root);
        trust.learn(&config.token.news)?;
        trust.check(&chain, now_unix())?;
        let (addresses, watcher) = local_addresses(&config.rtc.addresses)?;
        let context = Arc::new(Context {
            mesh: config.mesh,
            trust: watch::Sender::new(trust),
            me: key.public(),
            key,
            chain,
            rtc: config.rtc,
            told: Mutex::default(),
            epochs: Mutex::default(),
            protocol,
            proxies: config.proxies,
            authorities: config.authorities,
            servers: config.signaling.clone(),
            addresses: addresses.clone(),
            inboxes: Inboxes::default(),
            links_made: Default::default(),
            tasks: TaskTracker::new(),
        });
        let (events, events_out) = mpsc::channel(limits::FRAME_QUEUE);
        let (asks, asks_out) = mpsc::channel(limits::FRAME_QUEUE);
        let (news, news_out) = mpsc::channel(limits::FRAME_QUEUE);
        let (links_in, links) = mpsc::channel(SIGNALS);
        let stop = CancellationToken::new();
        let mut servers = Vec::new();
        for (server, url) in config.signaling.into_iter().enumerate() {
            let (out, outgoing) = mpsc::channel(SIGNALS);
            let client = Client {
                context: Arc::clone(&context),
                server,
                url: url.clone(),
                outgoing,
                news: news.clone(),
                stop: stop.clone(),
            };
            context.tasks.spawn(client.run());
            servers.push(Server { url, out, missed: BTreeSet::new(), settles: None });
        }
        let tables = Arc::new(Tables::default());
        let node = Node {
            context: Arc::clone(&context),
            tables: Arc::clone(&tables),
            wanted: BTreeSet::new(),
            refused: BTreeSet::new(),
            servers,
            events,
            asks: asks_out,
            news: news_out,
            links_in,
            links,
            addresses,
            trust: context.trust.subscribe(),
            stop: stop.clone(),
        };
        if let Some(watcher) = watcher {
            context.tasks.spawn(watch_addresses(watcher, stop));
        }
        context.tasks.spawn(node.run());
        Ok((Self { context, tables, asks }, events_out))
    }

    /// By which others reach us.
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.context.addresses.borrow().clone()
    }

    /// What the mesh is called.
    pub fn name(&self) -> &Name {
        &self.context.mesh
    }

    /// Our instance.
    pub fn me(&self) -> PeerId {
        self.context.me
    }

    /// The epochs of its pools of agents, as far as they were told.
    pub fn epochs(&self) -> Epochs {
        self.context.epochs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everybody that a signaling server lists, ourselves excepted, by id.
    pub fn roster(&self) -> Vec<Identity> {
        let mut roster: Vec<_> = self.tables.roster.iter().map(|entry| entry.value().clone()).collect();
        roster.sort_by_key(|identity| identity.peer);
        roster
    }

    /// Wants a link to a peer from now on: at once if it is in the roster, and each time that it comes into it.
    pub async fn connect(&self, peer: PeerId) {
        let _ = self.asks.send(Ask::Connect { peer, kind: ConnectionKind::Control }).await;
    }

    /// Will have nothing to do with that instance from now on; it hears why.
    pub async fn refuse(&self, peer: PeerId, why: String) {
        let _ = self.asks.send(Ask::Refuse { peer, why }).await;
    }

    /// Another instance has taken that one's place: its link ends at once, and its streams with it.
    pub async fn forget(&self, peer: PeerId) {
        let _ = self.asks.send(Ask::Forget { peer }).await;
    }

    /// The links, by name.
    pub fn links(&self) -> Vec<LinkInfo> {
        let info = |link: &crate::link::Link| {
            let mut info = link.info.lock().unwrap_or_else(PoisonError::into_inner).clone();
            (info.bytes_sent, info.bytes_received) = link.counters.with(&link.mux);
            (info.streams, info.queued) = link.mux.queued();
            info.stripes = link.mux.ways();
            info.datagrams_dropped = link.datagrams.dropped();
            info
        };
        let mut links: Vec<_> = self.tables.links.iter().map(|entry| info(entry.value())).collect();
        links.extend(self.tables.past.beside(&links, Instant::now()));
        links.sort_by(|left, right| left.name.cmp(&right.name));
        links
    }

    /// Changes whenever [`links`](Self::links) does in more than its counts of bytes.
    pub fn link_changes(&self) -> watch::Receiver<u64> {
        self.tables.changes.subscribe()
    }

    /// Opens a byte stream to a peer that there is a link to. `header` says what it is for; at most
    /// [`limits::STREAM_HEADER_BYTES`].
    ///
    /// # Errors
    ///
    /// There is no link to the peer, or it has as many streams as it may.
    pub async fn open_stream(&self, peer: PeerId, header: Vec<u8>) -> Result<ByteStream, NoLink> {
        let link = self.tables.links.get(&peer).map(|link| link.value().clone()).ok_or(NoLink)?;
        let stream = link.mux.open(header).ok_or(NoLink)?;
        let _ = self.asks.send(Ask::Connect { peer, kind: ConnectionKind::Bulk(0) }).await;
        Ok(stream)
    }

    /// Sends a datagram, which arrives once or never. One that is larger than a message may be, or that finds the queue full, is
    /// dropped and counted in [`LinkInfo::datagrams_dropped`].
    ///
    /// # Errors
    ///
    /// There is no link to the peer.
    pub fn send_datagram(&self, peer: PeerId, bytes: Bytes) -> Result<(), NoLink> {
        let link = self.tables.links.get(&peer).map(|link| link.value().clone()).ok_or(NoLink)?;
        link.datagrams.send(bytes);
        if link.mux.ways() == 0 && link.datagrams.may_ask() {
            // When there is no room for it, a later datagram asks.
            let _ = self.asks.try_send(Ask::Connect { peer, kind: ConnectionKind::Bulk(0) });
        }
        Ok(())
    }

    /// The datagrams of that peer from now on. There is one taker: the last who asked.
    pub fn datagrams(&self, peer: PeerId) -> mpsc::Receiver<Datagram> {
        self.context.inboxes.open(peer)
    }

    /// Sends a batch of events, or an acknowledgement of some. Waits while the peer takes them slowly.
    ///
    /// # Errors
    ///
    /// The link is not up: send again when it is.
    pub async fn send_events(&self, peer: PeerId, frame: EventFrame) -> Result<(), NoLink> {
        let link = self.tables.links.get(&peer).map(|link| link.value().clone()).ok_or(NoLink)?;
        link.send_events(&frame).await
    }

    /// What the root keys of this mesh have said, as far as it is known here.
    pub fn news(&self) -> RootNews {
        self.context.trust.borrow().news()
    }

    /// Takes news of the root keys, and passes on to everybody what is new.
    pub fn learn(&self, news: &RootNews) {
        self.context.learn(news);
    }

    /// Says goodbye to everybody, closes everything, and waits for it, two seconds at most.
    pub async fn leave(self) {
        let _ = self.asks.send(Ask::Leave).await;
        self.context.tasks.close();
        let _ = tokio::time::timeout(LEAVE_WITHIN, self.context.tasks.wait()).await;
    }
}

type Addresses = watch::Receiver<BTreeSet<IpAddr>>;

/// The addresses that were named, which never change, or those that the machine has, which do.
fn local_addresses(named: &[IpAddr]) -> io::Result<(Addresses, Option<AddressWatcher>)> {
    if named.is_empty() {
        let (watcher, addresses) = AddressWatcher::open(Scope::Network)?;
        return Ok((addresses, Some(watcher)));
    }
    let (fixed, addresses) = watch::channel(named.iter().copied().collect());
    // its end is no change
    drop(fixed);
    Ok((addresses, None))
}

async fn watch_addresses(watcher: AddressWatcher, stop: CancellationToken) {
    tokio::select! {
        ended = watcher.run() => {
            if let Err(error) = ended {
                tracing::warn!(%error, "the addresses of this machine are no longer watched");
            }
        }
        () = stop.cancelled() => {}
    }
}
