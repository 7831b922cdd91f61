//! A real signaling server that is the enemy, between two real peers that want a link: real signatures, real descriptions, and
//! real DTLS when it lets go. The same attacks in ten thousand pure worlds are in `proto/tests/middle.rs`.

#[allow(dead_code, reason = "other tests use more of it")]
mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::{SinkExt, StreamExt};
use meshproof_mesh::rtc::RtcConfig;
use meshproof_mesh::{Mesh, MeshConfig, MeshEvent};
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::{Chain, Key, Signed};
use meshproof_proto::rendezvous::{ToPeer, ToServer};
use meshproof_proto::version::PROTOCOL;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use common::{Peer, World, name};

/// Of each signal that comes, so many are made.
const COPIES: usize = 40;

/// After so many delivered forgeries of every kind it lets go.
const FORGERIES: u64 = 1_000;

/// What must never be seen by it.
const SECRET: &[u8] = b"the canary that only the other peer may read";

#[derive(Default)]
struct Enemy {
    peers: Mutex<BTreeMap<PeerId, (Chain, mpsc::Sender<ToPeer>)>>,
    /// Everything that was ever said to it.
    heard: Mutex<Vec<(PeerId, Signed)>>,
    read: Mutex<Vec<u8>>,
    delivered: AtomicU64,
    honest: AtomicBool,
}

impl Enemy {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&self).visit(stream));
        }
    }

    async fn visit(self: Arc<Self>, stream: TcpStream) {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
        let text = |word: &ToPeer| Message::text(serde_json::to_string(word).expect("plain data"));
        let challenge = ToPeer::Challenge { protocol: PROTOCOL, nonce: vec![7; 32] };
        let (told, mut telling) = mpsc::channel(4 * 1024);
        let _ = socket.send(text(&challenge)).await;
        let mut me = None;
        loop {
            tokio::select! {
                Some(word) = telling.recv() => {
                    if socket.send(text(&word)).await.is_err() {
                        return;
                    }
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(said))) => {
                        self.read.lock().expect("ours").extend_from_slice(said.as_bytes());
                        // no relay either: whoever asks for one is left alone
                        let Ok(word) = serde_json::from_str(said.as_str()) else { return };
                        match word {
                            ToServer::Register { chain, .. } => me = Some(self.enter(*chain, &told)),
                            ToServer::Signal { to, signal } => self.carry((me.expect("registered"), to), signal).await,
                            ToServer::Leave | ToServer::News { .. } => {}
                        }
                    }
                    Some(Ok(Message::Binary(bytes))) => self.read.lock().expect("ours").extend_from_slice(&bytes),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
            }
        }
    }

    fn enter(&self, chain: Chain, told: &mpsc::Sender<ToPeer>) -> PeerId {
        let claim: serde_json::Value = serde_json::from_str(&chain.claim.text).expect("a claim");
        let me: PeerId = claim["instance"].as_str().expect("an id").parse().expect("an id");
        let mut peers = self.peers.lock().expect("ours");
        let others = peers.values().map(|(chain, _)| chain.clone()).collect();
        for (_, other) in peers.values() {
            let _ = other.try_send(ToPeer::Joined { chain: Box::new(chain.clone()) });
        }
        let _ = told.try_send(ToPeer::Welcome { peers: others });
        peers.insert(me, (chain, told.clone()));
        me
    }

    async fn carry(&self, (from, to): (PeerId, PeerId), signal: Signed) {
        if self.honest.load(Ordering::SeqCst) {
            return self.tell(to, ToPeer::Signal { from, signal }).await;
        }
        self.heard.lock().expect("ours").push((from, signal.clone()));
        for number in 0..COPIES {
            for forged in self.forgeries(&signal, number) {
                self.delivered.fetch_add(1, Ordering::SeqCst);
                // in the name of whoever said it, to whoever it is for, and to whoever it is not for
                self.tell(to, ToPeer::Signal { from, signal: forged.clone() }).await;
                self.tell(from, ToPeer::Signal { from: to, signal: forged }).await;
            }
        }
        // its own words come back to each, and those of before again
        let heard = self.heard.lock().expect("ours").clone();
        for (said_by, old) in heard {
            self.tell(said_by, ToPeer::Signal { from: to, signal: old.clone() }).await;
            self.tell(said_by, ToPeer::Signal { from: said_by, signal: old }).await;
        }
    }

    /// What it makes of a signal: another fingerprint, other candidates, other numbers, its own signature.
    fn forgeries(&self, signal: &Signed, number: usize) -> Vec<Signed> {
        let enemy = Key::from_seed([99; 32]);
        let with = |text: String| Signed { text, signature: signal.signature.clone() };
        let fingerprint = signal.text.find("sha-256 ").map(|at| {
            let mut text = signal.text.clone();
            let byte = format!("{number:02X}");
            text.replace_range(at + 8..at + 10, if text[at + 8..at + 10] == byte { "FF" } else { &byte });
            with(text)
        });
        let candidate = with(signal.text.replacen(
            "a=candidate:",
            "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\\r\\na=candidate:",
            1,
        ));
        let generation = with(signal.text.replacen("\"generation\":", &format!("\"generation\":{}", number + 1), 1));
        let signed = Signed { text: signal.text.clone(), signature: enemy.sign("signal", signal.text.as_bytes()) };
        let forged = [fingerprint, Some(candidate), Some(generation), Some(signed)].into_iter().flatten();
        forged.filter(|forged| forged != signal).collect()
    }

    async fn tell(&self, to: PeerId, word: ToPeer) {
        let told = self.peers.lock().expect("ours").get(&to).map(|(_, told)| told.clone());
        if let Some(told) = told {
            let _ = told.send(word).await;
        }
    }
}

fn join(world: &World, url: &str, who: &str, seed: u8) -> Peer {
    let rtc = RtcConfig { addresses: vec!["127.0.0.1".parse().expect("an address")], ..RtcConfig::default() };
    let config = MeshConfig {
        mesh: name("dev"),
        name: name(who),
        token: world.token(who, seed),
        signaling: vec![url.to_owned()],
        rtc,
        proxies: Default::default(),
        authorities: Default::default(),
    };
    let (mesh, events) = Mesh::join(config).expect("a good token");
    Peer { mesh, events }
}

/// Keeps taking what comes until the enemy has tried enough; nothing of it may be a link.
async fn endure(peer: &mut Peer, enemy: &Enemy) {
    while enemy.delivered.load(Ordering::SeqCst) < FORGERIES {
        let event = peer.events.recv().await.expect("the mesh lives");
        assert!(!matches!(event, MeshEvent::LinkUp(_) | MeshEvent::Acknowledged { .. }), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_signaling_server_makes_no_session_and_reads_nothing_and_the_link_forms_when_it_lets_go() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}/mesh", listener.local_addr().expect("bound"));
    let enemy = Arc::new(Enemy::default());
    let serving = tokio::spawn(Arc::clone(&enemy).serve(listener));
    let (mut a, mut b) = (join(&world, &url, "a", 2), join(&world, &url, "b", 3));
    let peer = a.joined("b").await;
    b.joined("a").await;
    a.mesh.connect(peer).await;
    // both want it, so that each of them speaks again and again
    b.mesh.connect(a.mesh.me()).await;
    let enough = async {
        while enemy.delivered.load(Ordering::SeqCst) < FORGERIES {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::PATIENCE, async {
        tokio::select! {
            () = endure(&mut a, &enemy) => {}
            () = endure(&mut b, &enemy) => {}
            () = enough => {}
        }
    })
    .await
    .expect("it tries");
    assert!(a.mesh.links().iter().chain(&b.mesh.links()).all(|link| link.state != "up"), "{:?}", a.mesh.links());
    enemy.honest.store(true, Ordering::SeqCst);
    tokio::join!(a.up(), b.up());
    let mut stream = a.mesh.open_stream(peer, SECRET.to_vec()).await.expect("linked");
    stream.write_all(SECRET).await.expect("it flows");
    stream.flush().await.expect("it flows");
    let mut heard =
        b.wait(|event| if let MeshEvent::Stream { stream, .. } = event { Some(stream) } else { None }).await;
    let mut bytes = vec![0; SECRET.len()];
    heard.read_exact(&mut bytes).await.expect("it flows");
    assert_eq!(bytes, SECRET);
    let read = enemy.read.lock().expect("ours").clone();
    assert!(!read.windows(SECRET.len()).any(|window| window == SECRET));
    println!(
        "{} forgeries, {} bytes read, none of them the secret",
        enemy.delivered.load(Ordering::SeqCst),
        read.len()
    );
    serving.abort();
}
