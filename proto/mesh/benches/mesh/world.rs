//! Peers in this process, a real signaling server, real data channels on loopback.

use std::net::{IpAddr, Ipv4Addr};

use meshproof_mesh::rtc::RtcConfig;
use meshproof_mesh::{ByteStream, LinkUp, Mesh, MeshConfig, MeshEvent};
use meshproof_proto::frame::EventFrame;
use meshproof_proto::id::Name;
use meshproof_proto::identity::{Capability, Grant, Key, Role, Token, UnixSeconds};
use meshproof_proto::limits;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::measure::soon;

/// A signaling server and the key that lets peers in.
pub struct World {
    token: Token,
    url: String,
    /// Unless the server is of another process.
    _server: Option<DropGuard>,
}

/// A peer, its events sorted.
pub struct Peer {
    pub mesh: Mesh,
    pub ups: mpsc::Receiver<LinkUp>,
    pub streams: mpsc::Receiver<ByteStream>,
    pub frames: mpsc::Receiver<EventFrame>,
    known: watch::Receiver<usize>,
}

fn name(text: &str) -> Name {
    text.parse().expect("a good name")
}

/// Of the world's mesh.
fn root() -> Key {
    Key::from_seed([1; 32])
}

/// Everything as by default, on loopback.
pub fn loopback() -> RtcConfig {
    RtcConfig { addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], ..RtcConfig::default() }
}

impl World {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}/mesh", listener.local_addr().expect("bound"));
        let root = root();
        let config = meshproof_signaling::Config::new(vec![(name("bench"), root.public())]);
        let stop = CancellationToken::new();
        tokio::spawn(meshproof_signaling::serve(listener, config, stop.clone()));
        Self { _server: Some(stop.drop_guard()), ..Self::at(&url) }
    }

    /// The world of another process, by the address of its signaling server.
    pub fn at(url: &str) -> Self {
        let root = root();
        let token = Token::issue(&root, [2; 32], |token| Grant {
            mesh: name("bench"),
            names: "*".to_owned(),
            role: Role::Agent,
            capabilities: Capability::ALL.into(),
            not_after: UnixSeconds(u64::MAX / 2),
            token,
        });
        Self { token, url: url.to_owned(), _server: None }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn join(&self, who: &str, rtc: RtcConfig) -> Peer {
        let config = MeshConfig {
            mesh: name("bench"),
            name: name(who),
            token: self.token.clone(),
            signaling: vec![self.url.clone()],
            rtc,
            proxies: Default::default(),
            authorities: Default::default(),
        };
        let (mesh, events) = Mesh::join(config).expect("a good token");
        Peer::sorting(mesh, events)
    }

    /// So many peers, all of whom know all others.
    pub async fn crowd(&self, count: usize) -> Vec<Peer> {
        let mut peers: Vec<Peer> = (0..count).map(|n| self.join(&format!("p{n}"), loopback())).collect();
        for peer in &mut peers {
            peer.knows(count - 1).await;
        }
        peers
    }

    /// Two peers and their link, from both ends.
    pub async fn linked(&self, rtc: RtcConfig) -> [(Peer, LinkUp); 2] {
        let [mut a, mut b] = ["a", "b"].map(|who| self.join(who, rtc.clone()));
        a.knows(1).await;
        b.knows(1).await;
        a.mesh.connect(b.mesh.me()).await;
        let (a_up, b_up) = (a.up().await, b.up().await);
        [(a, a_up), (b, b_up)]
    }
}

impl Peer {
    /// Takes the events as they come, as whoever joins a mesh must.
    fn sorting(mesh: Mesh, mut events: mpsc::Receiver<MeshEvent>) -> Self {
        let (up, ups) = mpsc::channel(limits::PEERS_PER_MESH);
        let (opened, streams) = mpsc::channel(limits::FRAME_QUEUE);
        let (arrived, frames) = mpsc::channel(limits::FRAME_QUEUE);
        let (joined, known) = watch::channel(0);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                match event {
                    MeshEvent::PeerJoined(_) => joined.send_modify(|count| *count += 1),
                    MeshEvent::LinkUp(link) => drop(up.send(link).await),
                    MeshEvent::Stream { stream, .. } => drop(opened.send(stream).await),
                    MeshEvent::Events { frame, .. } => drop(arrived.send(frame).await),
                    MeshEvent::LinkSuspect { peer, reason } => eprintln!("suspect: {} {reason}", peer.name),
                    _ => {}
                }
            }
        });
        Self { mesh, ups, streams, frames, known }
    }

    /// Waits until so many others have joined.
    pub async fn knows(&mut self, others: usize) {
        soon("peers join", self.known.wait_for(|known| *known >= others)).await.expect("the mesh lives");
    }

    pub async fn up(&mut self) -> LinkUp {
        soon("a link comes up", self.ups.recv()).await.expect("the mesh lives")
    }
}

/// A stream from one peer to the other, both ends.
pub async fn stream(from: &Peer, to: &mut Peer) -> (ByteStream, ByteStream) {
    let near = from.mesh.open_stream(to.mesh.me(), b"bench".to_vec()).await.expect("linked");
    let far = soon("a stream arrives", to.streams.recv()).await.expect("the mesh lives");
    (near, far)
}

/// Everybody leaves.
pub async fn leave(peers: Vec<Peer>) {
    futures::future::join_all(peers.into_iter().map(|peer| peer.mesh.leave())).await;
}
