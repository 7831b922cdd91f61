//! Signaling servers: several at once, and what their restarts say about peers.

#[allow(dead_code, reason = "other tests use more of it")]
mod common;
#[path = "common/links.rs"]
mod links;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use common::{Peer, World, name};
use links::link;
use meshproof_mesh::rtc::RtcConfig;
use meshproof_mesh::{Loss, Mesh, MeshConfig, MeshEvent};
use meshproof_proto::identity::Key;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_knows_whom_any_of_its_servers_lists_and_those_that_share_one_are_linked() {
    let (one, other) = (Server::start().await, Server::start().await);
    let mut both = join("both", 2, &[&one.url(), &other.url()]);
    let (mut at_one, mut at_other) = (join("one", 3, &[&one.url()]), join("other", 4, &[&other.url()]));
    know(&mut both, &["one", "other"]).await;
    know(&mut at_one, &["both"]).await;
    know(&mut at_other, &["both"]).await;
    link(&mut both, &mut at_one).await;
    link(&mut both, &mut at_other).await;
    assert_eq!((names(&at_one), names(&at_other)), (vec!["both".to_owned()], vec!["both".to_owned()]));
    leave([both, at_one, at_other]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_server_of_two_is_killed_new_links_and_new_peers_come_by_the_other() {
    // signals go by the first that both know, so that it is the one to miss
    let (first, second) = (Server::start().await, Server::start().await);
    let urls = [first.url(), second.url()];
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let (mut a, mut b) = (join("a", 2, &urls), join("b", 3, &urls));
    know(&mut a, &["b"]).await;
    know(&mut b, &["a"]).await;
    first.stop().await;
    for peer in [&mut a, &mut b] {
        peer.wait(|event| matches!(event, MeshEvent::SignalingDown { .. }).then_some(())).await;
    }
    link(&mut a, &mut b).await;
    let mut c = join("c", 4, &urls);
    know(&mut a, &["c"]).await;
    know(&mut c, &["a"]).await;
    link(&mut c, &mut a).await;
    leave([a, b, c]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_left_while_signaling_was_away_is_told_as_left_when_it_is_back() {
    let server = Server::start().await;
    let (mut a, mut b, mut c) =
        (join("a", 2, &[&server.url()]), join("b", 3, &[&server.url()]), join("c", 4, &[&server.url()]));
    know(&mut a, &["b", "c"]).await;
    know(&mut b, &["a", "c"]).await;
    know(&mut c, &["a", "b"]).await;
    let address = server.stop().await;
    for peer in [&mut a, &mut b, &mut c] {
        peer.wait(|event| matches!(event, MeshEvent::SignalingDown { .. }).then_some(())).await;
    }
    // wanted, but it leaves before signaling could say so
    a.mesh.connect(b.mesh.me()).await;
    b.mesh.leave().await;
    let _back = Server::at(address).await;
    let (mut left, mut lost) = (None, None);
    a.wait(|event| {
        match event {
            MeshEvent::PeerLeft(peer) => left = Some(peer.name.to_string()),
            MeshEvent::LinkLost { peer, loss } => lost = Some((peer.name.to_string(), loss)),
            _ => {}
        }
        (left.is_some() && lost.is_some()).then_some(())
    })
    .await;
    assert_eq!((left.as_deref(), lost), (Some("b"), Some(("b".to_owned(), Loss::Left))));
    assert_eq!(names(&a), ["c"]);
    leave([a, c]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_registers_first_after_a_restart_does_not_give_up_those_who_come_later() {
    let server = Server::start().await;
    let gate = Gate::before(server.address).await;
    let (mut first, mut late) = (join("first", 2, &[&server.url()]), join("late", 3, &[&gate.url()]));
    know(&mut first, &["late"]).await;
    know(&mut late, &["first"]).await;
    let address = server.stop().await;
    gate.open.send_replace(false);
    for peer in [&mut first, &mut late] {
        peer.wait(|event| matches!(event, MeshEvent::SignalingDown { .. }).then_some(())).await;
    }
    first.mesh.connect(late.mesh.me()).await;
    let _back = Server::at(address).await;
    first.wait(|event| matches!(event, MeshEvent::SignalingUp { .. }).then_some(())).await;
    gate.open.send_replace(true);
    let given_up = first.wait(|event| match event {
        MeshEvent::LinkUp(_) => Some(None),
        MeshEvent::PeerLeft(_) | MeshEvent::LinkLost { .. } | MeshEvent::PeerJoined(_) => Some(Some(event)),
        _ => None,
    });
    let given_up = given_up.await;
    assert!(given_up.is_none(), "{given_up:?}");
    leave([first, late]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_a_server_refused_comes_in_once_the_server_was_told_otherwise() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::of_root(nowhere, &Key::from_seed([9; 32])).await;
    let mut peer = join("early", 2, &[&server.url()]);
    let refused = |event| if let MeshEvent::SignalingRefused { reason, .. } = event { Some(reason) } else { None };
    let reason = peer.wait(refused).await;
    assert!(reason.contains("correct the server's --mesh"), "{reason}");
    let address = server.stop().await;
    let _corrected = Server::at(address).await;
    peer.wait(|event| matches!(event, MeshEvent::SignalingUp { .. }).then_some(())).await;
    leave([peer]).await;
}

fn join(who: &str, seed: u8, urls: &[&str]) -> Peer {
    let world = trust();
    let config = MeshConfig {
        mesh: name("dev"),
        name: name(who),
        token: world.token(who, seed),
        signaling: urls.iter().map(|url| (*url).to_owned()).collect(),
        rtc: RtcConfig { addresses: vec!["127.0.0.1".parse().expect("an address")], ..RtcConfig::default() },
        proxies: Default::default(),
        authorities: Default::default(),
    };
    let (mesh, events) = Mesh::join(config).expect("a good token");
    Peer { mesh, events }
}

/// Who issues tokens; its server is not used.
fn trust() -> World {
    World { root: Key::from_seed([1; 32]), url: String::new(), server: CancellationToken::new() }
}

/// Waits until the peer has been told of all of these.
async fn know(peer: &mut Peer, others: &[&str]) {
    let mut missing: BTreeSet<&str> = others.iter().copied().collect();
    missing.retain(|other| !names(peer).iter().any(|known| known == other));
    while !missing.is_empty() {
        let joined = |event| if let MeshEvent::PeerJoined(peer) = event { Some(peer.name.to_string()) } else { None };
        let joined = peer.wait(joined).await;
        missing.remove(joined.as_str());
    }
}

fn names(peer: &Peer) -> Vec<String> {
    let mut names: Vec<_> = peer.mesh.roster().into_iter().map(|identity| identity.name.to_string()).collect();
    names.sort();
    names
}

async fn leave<const N: usize>(peers: [Peer; N]) {
    futures::future::join_all(peers.map(|peer| peer.mesh.leave())).await;
}

/// A signaling server that can be stopped and started again where it was.
struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    async fn at(address: SocketAddr) -> Self {
        Self::of_root(address, &trust().root).await
    }

    async fn of_root(address: SocketAddr, root: &Key) -> Self {
        let listener = TcpListener::bind(address).await.expect("it can listen");
        let address = listener.local_addr().expect("bound");
        let config = meshproof_signaling::Config::new(vec![(name("dev"), root.public())]);
        let stop = CancellationToken::new();
        let serving = meshproof_signaling::serve(listener, config, stop.clone());
        let task = tokio::spawn(async move { serving.await.expect("it serves until it is stopped") });
        Self { address, stop, task }
    }

    fn url(&self) -> String {
        format!("ws://{}/mesh", self.address)
    }

    /// Every socket is closed when this returns.
    async fn stop(self) -> SocketAddr {
        self.stop.cancel();
        self.task.await.expect("it does not panic");
        self.address
    }
}

/// What is before a server for one of its peers, and lets nobody through while it is shut.
struct Gate {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Gate {
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (open, is_open) = watch::channel(true);
        tokio::spawn(async move {
            loop {
                let Ok((mut near, _)) = listener.accept().await else { return };
                if *is_open.borrow()
                    && let Ok(mut far) = TcpStream::connect(server).await
                {
                    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
                }
            }
        });
        Self { address, open }
    }

    fn url(&self) -> String {
        format!("ws://{}/mesh", self.address)
    }
}
