//! Who gets no relay, what it is told, and that signaling goes on beside it.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use meshproof_mesh::relay::RelayError;
use meshproof_proto::limits::DATAGRAM_BYTES;
use meshproof_proto::rendezvous::{FromRelay, ToRelay};
use tokio_tungstenite::tungstenite::Message;

use crate::common::{PATIENCE, Peer, Server, connected, halves};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_mesh_is_refused_with_what_to_do() {
    let server = Server::start().await;
    let mut peer = Peer::new(10);
    peer.mesh = "prod".parse().expect("a good name");
    let error = peer.refusal(&server.url, Peer::new(11).id()).await;
    assert!(matches!(&*error, RelayError::Refused(reason) if reason.contains("mesh `prod` is not served")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_by_another_key_is_refused() {
    let server = Server::start().await;
    let (mut peer, other) = (Peer::new(10), Peer::new(11));
    peer.chain = other.chain.clone();
    let error = peer.refusal(&server.url, Peer::new(12).id()).await;
    assert!(matches!(&*error, RelayError::Refused(reason) if reason.contains("the proof is not")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_party_does_not_get_into_somebody_elses_connection() {
    let server = Server::start().await;
    let (left, right, third) = (Peer::new(10), Peer::new(11), Peer::new(12));
    let (_to_left, _to_right) = (third.half(&server.url, left.id(), 1), third.half(&server.url, right.id(), 1));
    let (a, b) = connected(halves(&server.url, &left, &right)).await;
    tokio::join!(a.close(), b.close());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_datagrams_without_asking_is_refused_and_an_oversize_message_ends_its_socket() {
    let server = Server::start().await;
    for (message, expected) in
        [(vec![0; 10], Some("JSON text was expected, bytes came")), (vec![0; DATAGRAM_BYTES + 1], None)]
    {
        let url = server.url.replace("/mesh", "/relay");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("the server listens");
        let _ = socket.send(Message::binary(message)).await;
        let mut refused = None;
        let ending = async {
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Text(text) = message
                    && let Ok(FromRelay::Refused { reason }) = serde_json::from_str(&text)
                {
                    refused = Some(reason);
                }
            }
        };
        tokio::time::timeout(PATIENCE, ending).await.expect("the socket ends");
        assert_eq!(refused.is_some_and(|reason| reason.contains(expected.unwrap_or("?"))), expected.is_some());
    }
}

/// What a peer's place in signaling costs while relays are asked for as fast as two cores can: not a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_relay_requests_does_not_delay_signaling() {
    let server = Server::start().await;
    let url = server.url.replace("/mesh", "/relay");
    let flood = tokio::spawn({
        let url = url.clone();
        async move {
            let mut sockets = Vec::new();
            for _ in 0..300 {
                let Ok((mut socket, _)) = tokio_tungstenite::connect_async(&url).await else { continue };
                let peer = Peer::new(10);
                let pair = ToRelay::Pair {
                    protocol: meshproof_proto::version::PROTOCOL,
                    mesh: peer.mesh.clone(),
                    chain: Box::new(peer.chain.clone()),
                    proof: vec![0; 64],
                    to: Peer::new(11).id(),
                    kind: meshproof_proto::signal::ConnectionKind::Control,
                    generation: meshproof_proto::id::Generation(1),
                };
                let _ = socket.send(Message::text(serde_json::to_string(&pair).expect("plain data"))).await;
                sockets.push(socket);
            }
            sockets.len()
        }
    });
    let mut worst = Duration::ZERO;
    let mut rounds = 0;
    while !flood.is_finished() || rounds == 0 {
        let begin = Instant::now();
        let (mut socket, _) = tokio_tungstenite::connect_async(&server.url).await.expect("the server listens");
        let challenge = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time");
        assert!(matches!(challenge, Some(Ok(Message::Text(_)))), "{challenge:?}");
        worst = worst.max(begin.elapsed());
        rounds += 1;
    }
    assert!(worst < Duration::from_secs(1), "a challenge took {worst:?}, the worst of {rounds}");
    assert!(flood.await.expect("the flood ends") > 0);
}
