//! Peers in one process, a real signaling server, real data channels on loopback.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use meshproof_mesh::rtc::RtcConfig;
use meshproof_mesh::{LinkUp, Mesh, MeshConfig, MeshEvent};
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Capability, Grant, Key, Role, Token, UnixSeconds};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A test that waits longer than this waits for something that will not come.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub root: Key,
    pub url: String,
    pub server: CancellationToken,
}

pub fn name(text: &str) -> Name {
    text.parse().expect("a good name")
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.cancel();
    }
}

impl World {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}/mesh", listener.local_addr().expect("bound"));
        let root = Key::from_seed([1; 32]);
        let server = CancellationToken::new();
        let config = meshproof_signaling::Config::new(vec![(name("dev"), root.public())]);
        tokio::spawn(meshproof_signaling::serve(listener, config, server.clone()));
        Self { root, url, server }
    }

    /// The token of an agent that may do everything.
    pub fn token(&self, who: &str, seed: u8) -> Token {
        Token::issue(&self.root, [seed; 32], |token| Grant {
            mesh: name("dev"),
            names: who.to_owned(),
            role: Role::Agent,
            capabilities: Capability::ALL.into(),
            not_after: UnixSeconds(u64::MAX / 2),
            token,
        })
    }

    pub fn join(&self, who: &str, seed: u8) -> Peer {
        self.join_with(who, self.token(who, seed))
    }

    pub fn join_with(&self, who: &str, token: Token) -> Peer {
        let config = MeshConfig {
            mesh: name("dev"),
            name: name(who),
            token,
            signaling: vec![self.url.clone()],
            rtc: RtcConfig { addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], ..RtcConfig::default() },
            proxies: Default::default(),
            authorities: Default::default(),
        };
        let (mesh, events) = Mesh::join(config).expect("a good token");
        Peer { mesh, events }
    }
}

pub struct Peer {
    pub mesh: Mesh,
    pub events: mpsc::Receiver<MeshEvent>,
}

impl Peer {
    /// The first event that `pick` wants; others are dropped.
    pub async fn wait<T>(&mut self, mut pick: impl FnMut(MeshEvent) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let event = self.events.recv().await.expect("the mesh lives");
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the event comes")
    }

    pub async fn joined(&mut self, who: &str) -> PeerId {
        self.wait(|event| match event {
            MeshEvent::PeerJoined(identity) if identity.name.as_str() == who => Some(identity.peer),
            _ => None,
        })
        .await
    }

    pub async fn up(&mut self) -> LinkUp {
        self.wait(|event| if let MeshEvent::LinkUp(up) = event { Some(up) } else { None }).await
    }
}

pub async fn linked(world: &World) -> (Peer, Peer, LinkUp, LinkUp) {
    let (mut a, mut b) = (world.join("a", 2), world.join("b", 3));
    let peer = a.joined("b").await;
    a.mesh.connect(peer).await;
    let (a_up, b_up) = tokio::join!(a.up(), b.up());
    (a, b, a_up, b_up)
}
