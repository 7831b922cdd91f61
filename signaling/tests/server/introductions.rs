//! What honest peers see, over real sockets.

use crate::common::{HANG, Peer, Server};
use futures::{SinkExt, StreamExt};
use meshproof_proto::identity::Signed;
use meshproof_proto::rendezvous::{ToPeer, ToServer};
use tokio_tungstenite::tungstenite::Message;

fn signal() -> Signed {
    // every character doubles as JSON inside JSON: the largest honest signal there is
    Signed { text: "\"\n".repeat(meshproof_proto::limits::SIGNAL_BYTES / 2 - 300), signature: vec![7; 64] }
}

#[tokio::test]
async fn peers_learn_who_is_there_who_comes_and_who_goes() {
    let server = Server::start().await;
    let (a, b) = (Peer::new(10), Peer::new(11));
    let (mut at_a, roster) = server.join(&a).await;
    assert_eq!(roster, []);
    let (mut at_b, roster) = server.join(&b).await;
    assert_eq!(roster, std::slice::from_ref(&a.chain));
    assert_eq!(at_a.hear().await, ToPeer::Joined { chain: Box::new(b.chain.clone()) });

    at_b.say(&ToServer::Leave).await;
    assert_eq!(at_a.hear().await, ToPeer::Left { peer: b.id() });
    assert_eq!(u16::from(at_b.end().await.expect("a close frame").code), 1000);

    let (at_b, _) = server.join(&b).await;
    assert_eq!(at_a.hear().await, ToPeer::Joined { chain: Box::new(b.chain.clone()) });
    drop(at_b);
    assert_eq!(at_a.hear().await, ToPeer::Left { peer: b.id() });
}

#[tokio::test]
async fn a_signal_of_full_size_is_carried_unchanged_and_an_undeliverable_one_comes_back_by_name() {
    let server = Server::start().await;
    let (a, b) = (Peer::new(10), Peer::new(11));
    let (mut at_a, _) = server.join(&a).await;
    let to_b = ToServer::Signal { to: b.id(), signal: signal() };
    at_a.say(&to_b).await;
    assert_eq!(at_a.hear().await, ToPeer::Undeliverable { to: b.id() });
    let (mut at_b, _) = server.join(&b).await;
    at_a.say(&to_b).await;
    assert_eq!(at_b.hear().await, ToPeer::Signal { from: a.id(), signal: signal() });
}

#[tokio::test]
async fn registering_again_replaces_the_former_socket() {
    let server = Server::start().await;
    let (a, b) = (Peer::new(10), Peer::new(11));
    let (mut at_a, _) = server.join(&a).await;
    let (mut former, _) = server.join(&b).await;
    assert!(matches!(at_a.hear().await, ToPeer::Joined { .. }));
    let (mut latter, roster) = server.join(&b).await;
    assert_eq!(roster, std::slice::from_ref(&a.chain));
    let frame = former.end().await.expect("a close frame");
    assert_eq!(frame.reason.as_str(), "the same peer registered on a newer socket");

    at_a.say(&ToServer::Signal { to: b.id(), signal: signal() }).await;
    assert_eq!(latter.hear().await, ToPeer::Signal { from: a.id(), signal: signal() });
    latter.say(&ToServer::Leave).await;
    assert_eq!(at_a.hear().await, ToPeer::Left { peer: b.id() }, "and nothing in between");
}

#[tokio::test]
async fn a_peer_that_closes_its_socket_is_answered_and_gone_for_the_others() {
    let server = Server::start().await;
    let b = Peer::new(11);
    let (mut at_a, _) = server.join(&Peer::new(10)).await;
    let (mut at_b, _) = server.join(&b).await;
    assert!(matches!(at_a.hear().await, ToPeer::Joined { .. }));
    at_b.0.close(None).await.expect("the server reads");
    assert_eq!(at_a.hear().await, ToPeer::Left { peer: b.id() });
    let answer = tokio::time::timeout(HANG, at_b.0.next()).await.expect("in time");
    assert!(matches!(answer, Some(Ok(Message::Close(_)))), "{answer:?}");
}

#[tokio::test]
async fn pings_are_answered_while_nothing_else_happens() {
    let server = Server::start().await;
    let (mut socket, _) = server.join(&Peer::new(10)).await;
    socket.0.send(Message::Ping(vec![42].into())).await.expect("the server reads");
    let answer = tokio::time::timeout(HANG, socket.0.next()).await;
    assert_eq!(answer.expect("in time").expect("open").expect("sound"), Message::Pong(vec![42].into()));
}
