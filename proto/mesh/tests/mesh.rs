//! Links, calls and streams between two peers.

mod common;

use common::{World, linked};
use futures::StreamExt;
use meshproof_mesh::MeshEvent;
use tarpc::server::Channel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tarpc::service]
trait Echo {
    async fn echo(bytes: Vec<u8>) -> Vec<u8>;
}

#[derive(Clone)]
struct EchoServer;

impl Echo for EchoServer {
    async fn echo(self, _: tarpc::context::Context, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_both_ways_over_a_link_at_once() {
    let world = World::new().await;
    let (a, b, a_up, b_up) = linked(&world).await;
    assert_eq!(a_up.path.map(|path| path.kind), Some(meshproof_mesh::rtc::PathKind::Direct));
    let mut clients = Vec::new();
    for up in [a_up, b_up] {
        let (client, server) = up.rpc.split::<EchoRequest, EchoResponse, EchoRequest, EchoResponse>();
        let serving = tarpc::server::BaseChannel::with_defaults(server).execute(EchoServer.serve());
        tokio::spawn(serving.for_each(|response| async {
            tokio::spawn(response);
        }));
        clients.push(EchoClient::new(tarpc::client::Config::default(), client).spawn());
    }
    let large: Vec<u8> = (0..500_000_u32).map(|i| (i % 251) as u8).collect();
    let calls = clients.iter().flat_map(|client| [(client, large.clone()), (client, b"small".to_vec())]);
    let calls = calls.map(|(client, bytes)| async move {
        let answer = client.echo(tarpc::context::current(), bytes.clone()).await.expect("answered");
        assert!(answer == bytes);
    });
    futures::future::join_all(calls).await;
    a.mesh.leave().await;
    b.mesh.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_nobody_lists_yet_is_linked_once_it_is_listed() {
    let world = World::new().await;
    let mut a = world.join("a", 2);
    let mut b = world.join("b", 3);
    // before either has so much as reached the server
    a.mesh.connect(b.mesh.me()).await;
    tokio::join!(a.up(), b.up());
    a.mesh.leave().await;
    b.mesh.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_stream_crosses_a_link_and_signaling_is_no_longer_needed() {
    let world = World::new().await;
    let (mut a, mut b, a_up, _b_up) = linked(&world).await;
    world.server.cancel();
    a.wait(|event| matches!(event, MeshEvent::SignalingDown { .. }).then_some(())).await;
    let mut near = a.mesh.open_stream(a_up.peer.peer, b"copy".to_vec()).await.expect("linked");
    let (header, mut far) = b
        .wait(|event| match event {
            MeshEvent::Stream { header, stream, .. } => Some((header, stream)),
            _ => None,
        })
        .await;
    assert_eq!(header, b"copy");
    let sent: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 251) as u8).collect();
    let copy = sent.clone();
    let writing = tokio::spawn(async move {
        near.write_all(&copy).await.expect("flows");
        near.shutdown().await.expect("flows");
        near
    });
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.expect("flows");
    assert!(got == sent, "the bytes differ");
    let _near = writing.await.expect("no panic");
    assert!(a.mesh.links()[0].bytes_sent >= 20_000_000);
    a.mesh.leave().await;
    b.mesh.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_who_offers_and_the_one_who_acknowledges_say_so_once() {
    let world = World::new().await;
    let (mut a, mut b) = (world.join("a", 2), world.join("b", 3));
    let peer = a.joined("b").await;
    a.mesh.connect(peer).await;
    let introduction = |event| match event {
        MeshEvent::Offered { .. } => Some("offered"),
        MeshEvent::Acknowledged { .. } => Some("acknowledged"),
        _ => None,
    };
    let (from_a, from_b) = tokio::join!(a.wait(introduction), b.wait(introduction));
    let lower_offers = a.mesh.me() < b.mesh.me();
    assert_eq!((from_a == "offered", from_b == "offered"), (lower_offers, !lower_offers));
    a.mesh.leave().await;
    b.mesh.leave().await;
}
