//! What a connection over a relay is like: as any other.

use bytes::Bytes;
use meshproof_mesh::rtc::RtcEvent;
use meshproof_proto::links::LinkPath;

use crate::common::{Peer, Server, close, connected, event, halves, message, transfer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relayed_connection_opens_and_carries_messages_both_ways_on_both_channels() {
    let server = Server::start().await;
    let (mut left, mut right) = connected(halves(&server.url, &Peer::new(10), &Peer::new(11))).await;
    for channel in [0, 1] {
        left.sender().send(channel, Bytes::from_static(b"to the right")).await.expect("sent");
        right.sender().send(channel, Bytes::from_static(b"to the left")).await.expect("sent");
        assert_eq!(message(&mut right).await.bytes, "to the right");
        assert_eq!(message(&mut left).await.bytes, "to the left");
    }
    for end in [&left, &right] {
        assert_eq!(end.path().await.expect("a path").kind, LinkPath::Relayed);
    }
    close(left, right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_megabytes_arrive_exactly_in_both_directions() {
    let server = Server::start().await;
    let (mut left, mut right) = connected(halves(&server.url, &Peer::new(10), &Peer::new(11))).await;
    transfer(&left, &mut right, 20_000_000).await;
    transfer(&right, &mut left, 20_000_000).await;
    close(left, right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_on_either_side_closes_the_other() {
    let server = Server::start().await;
    let peers = (Peer::new(10), Peer::new(11));
    let (left, mut right) = connected(halves(&server.url, &peers.0, &peers.1)).await;
    left.close().await;
    assert_eq!(event(&mut right).await, RtcEvent::Closed);
    right.close().await;
    let (mut left, right) = connected(halves(&server.url, &peers.0, &peers.1)).await;
    right.close().await;
    assert_eq!(event(&mut left).await, RtcEvent::Closed);
    left.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_ends_the_connection_on_both_sides_with_a_reason() {
    let server = Server::start().await;
    let (mut left, mut right) = connected(halves(&server.url, &Peer::new(10), &Peer::new(11))).await;
    server.stop.cancel();
    for (which, end) in [("offerer", &mut left), ("answerer", &mut right)] {
        match event(end).await {
            RtcEvent::Failed(reason) => assert!(reason.starts_with("the relay ended: "), "{reason}"),
            other => panic!("a failure was expected at the {which}, not {other:?}"),
        }
    }
    close(left, right).await;
}
