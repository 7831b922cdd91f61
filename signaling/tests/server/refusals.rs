//! Who is not served, what it is told, and that nobody else is hurt.

use std::time::{Duration, Instant};

use crate::common::{HANG, Peer, Server, mesh, root};
use futures::SinkExt;
use meshproof_proto::identity::Signed;
use meshproof_proto::limits::SIGNAL_BYTES;
use meshproof_proto::rendezvous::{ToPeer, ToServer};
use meshproof_proto::version::Version;
use meshproof_signaling::{Config, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

fn config() -> Config {
    Config::new(vec![(mesh(), root())])
}

#[tokio::test]
async fn a_proof_that_does_not_fit_the_challenge_is_refused() {
    let server = Server::start().await;
    let reason = server.refusal(|_| Peer::new(10).register(&[0; 32])).await;
    assert!(reason.contains("the proof is not the instance key's signature"), "{reason}");
}

#[tokio::test]
async fn a_token_of_another_root_is_refused() {
    let server = Server::start().await;
    let reason = server.refusal(|nonce| Peer::under(2, 10).register(nonce)).await;
    assert!(reason.contains("use a token of the root key that the signaling server has"), "{reason}");
}

#[tokio::test]
async fn another_version_is_refused_with_both_versions() {
    let server = Server::start().await;
    let reason = server.refusal(|nonce| Peer::new(10).register_as(Version { major: 3, minor: 2 }, nonce)).await;
    assert_eq!(reason, "the peer speaks protocol 3.2, the signaling server 1.1; upgrade the server");
}

#[tokio::test]
async fn what_is_no_message_is_refused_with_what_is_wrong_about_it() {
    let server = Server::start().await;
    for (message, expected) in [
        (Message::text("{\"dance\":{}}"), "unknown variant `dance`"),
        (Message::binary(vec![0]), "JSON text was expected, bytes came"),
    ] {
        let (mut socket, _) = server.challenge().await;
        socket.0.send(message).await.expect("the server reads");
        let ToPeer::Refused { reason } = socket.hear().await else { panic!("it should be refused") };
        assert!(reason.contains(expected), "{reason}");
        socket.end().await;
    }
}

#[tokio::test]
async fn a_message_over_the_limit_ends_its_own_socket_only() {
    let server = Server::start().await;
    let (a, b, c) = (Peer::new(10), Peer::new(11), Peer::new(12));
    let (mut at_a, _) = server.join(&a).await;
    let (mut at_b, _) = server.join(&b).await;
    let (mut at_c, _) = server.join(&c).await;
    // the server may be gone before all of it is written
    let _ = at_c.0.send(Message::text("x".repeat(limits::MESSAGE_BYTES + 1))).await;
    at_c.end().await;
    for (socket, others) in [(&mut at_a, vec![&b, &c]), (&mut at_b, vec![&c])] {
        for other in others {
            assert_eq!(socket.hear().await, ToPeer::Joined { chain: Box::new(other.chain.clone()) });
        }
        assert_eq!(socket.hear().await, ToPeer::Left { peer: c.id() });
    }
    let signal = Signed { text: "still here".to_owned(), signature: vec![] };
    at_a.say(&ToServer::Signal { to: b.id(), signal: signal.clone() }).await;
    assert_eq!(at_b.hear().await, ToPeer::Signal { from: a.id(), signal });
}

#[tokio::test]
async fn who_does_not_register_is_closed_at_the_deadline_and_who_did_is_not() {
    let server = Server::with(Config { register_deadline: Duration::from_millis(200), ..config() }).await;
    let (mut registered, _) = server.join(&Peer::new(10)).await;
    let start = Instant::now();
    let (mut socket, _) = server.challenge().await;
    let mut half_sent = TcpStream::connect(server.address).await.expect("the server listens");
    half_sent.write_all(b"GET /mesh HTTP/1.1\r\nHost:").await.expect("the server reads");

    let ToPeer::Refused { reason } = socket.hear().await else { panic!("it should be refused") };
    assert_eq!(reason, "nobody registered within 200ms; answer the challenge at once");
    assert!(start.elapsed() >= Duration::from_millis(200));
    socket.end().await;
    let end = tokio::time::timeout(HANG, half_sent.read(&mut [0; 64])).await.expect("closed at the deadline");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    registered.say(&ToServer::Leave).await;
    registered.end().await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_gone_and_one_that_does_stays() {
    let pulse = Config { ping_every: Duration::from_millis(50), silence: Duration::from_secs(1), ..config() };
    let server = Server::with(pulse).await;
    let (a, b) = (Peer::new(10), Peer::new(11));
    let (mut at_a, _) = server.join(&a).await;
    let start = Instant::now();
    let (_frozen, _) = server.join(&b).await;
    assert!(matches!(at_a.hear().await, ToPeer::Joined { .. }));
    assert_eq!(at_a.hear().await, ToPeer::Left { peer: b.id() });
    assert!(start.elapsed() >= Duration::from_secs(1));
    at_a.say(&ToServer::Leave).await;
    at_a.end().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_cut_off_and_its_sender_is_not_slowed() {
    let server = Server::start().await;
    let (a, b) = (Peer::new(10), Peer::new(11));
    let (mut at_a, _) = server.join(&a).await;
    let (_deaf, _) = server.join(&b).await;
    assert!(matches!(at_a.hear().await, ToPeer::Joined { .. }));
    let signal = Signed { text: "x".repeat(SIGNAL_BYTES), signature: vec![] };
    // what the queue and the kernel's socket buffers hold together, with room
    for _ in 0..4 * limits::QUEUED_BYTES / SIGNAL_BYTES {
        at_a.say(&ToServer::Signal { to: b.id(), signal: signal.clone() }).await;
    }
    assert_eq!(at_a.hear().await, ToPeer::Left { peer: b.id() });
    assert_eq!(at_a.hear().await, ToPeer::Undeliverable { to: b.id() });
}
