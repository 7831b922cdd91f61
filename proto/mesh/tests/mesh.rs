//! Links, calls and streams between two peers.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use common::{PATIENCE, World, linked};
use futures::StreamExt;
use meshproof_mesh::{Datagram, Mesh, MeshEvent};
use meshproof_proto::id::PeerId;
use tarpc::server::Channel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

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
    assert_eq!(a_up.path.map(|path| path.kind), Some(meshproof_proto::links::LinkPath::Direct));
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

/// Waits until the link to the peer is in that state, woken by nothing but its changes.
async fn until_it_is(state: Option<&str>, mesh: &Mesh, peer: PeerId) {
    let mut changes = mesh.link_changes();
    let state_now = || mesh.links().into_iter().find(|link| link.peer == peer).map(|link| link.state);
    let reached = async {
        while state_now() != state {
            changes.changed().await.expect("the mesh is there");
        }
    };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{state:?} never came; it is {:?}", state_now()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_link_to_change_hears_when_it_comes_and_when_it_goes() {
    let world = World::new().await;
    let (a, b) = (world.join("a", 2), world.join("b", 3));
    let peer = b.mesh.me();
    a.mesh.connect(peer).await;
    until_it_is(Some("up"), &a.mesh, peer).await;
    b.mesh.leave().await;
    until_it_is(None, &a.mesh, peer).await;
    a.mesh.leave().await;
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

/// A datagram that is sent while nobody takes any.
const NOBODYS: &[u8] = b"nobody";

/// Sends datagrams, each another one, until so many came; any may be lost, and none may come twice.
async fn cross(from: &Mesh, to: PeerId, inbox: &mut mpsc::Receiver<Datagram>, wanted: usize) {
    let mut all = BTreeSet::new();
    let mut number = 0_u32;
    while all.len() < wanted {
        assert!(number < 100_000, "only {} of {number} came", all.len());
        for _ in 0..10 {
            let mut bytes = number.to_le_bytes().to_vec();
            bytes.resize(4 + usize::try_from(number % 3).expect("small") * 2_000, 7);
            from.send_datagram(to, Bytes::from(bytes)).expect("linked");
            number += 1;
        }
        while let Ok(datagram) = timeout(Duration::from_millis(100), inbox.recv()).await {
            let Datagram { peer, bytes } = datagram.expect("the mesh lives");
            assert_eq!(peer.peer, from.me());
            // what nobody took may still have been on its way
            if bytes == NOBODYS {
                continue;
            }
            let (head, rest) = bytes.split_at(4);
            let came = u32::from_le_bytes(head.try_into().expect("four bytes"));
            assert!(came < number && all.insert(came), "{came} came twice");
            assert!(
                rest.len() == usize::try_from(came % 3).expect("small") * 2_000 && rest.iter().all(|byte| *byte == 7)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_cross_both_ways_once_or_never_and_are_counted_when_nobody_takes_them() {
    let world = World::new().await;
    let (a, b, a_up, b_up) = linked(&world).await;
    let (at_a, at_b) = (b_up.peer.peer, a_up.peer.peer);
    let mut from_a = b.mesh.datagrams(at_a);
    cross(&a.mesh, at_b, &mut from_a, 50).await;

    // larger than any message
    b.mesh.send_datagram(at_a, Bytes::from(vec![0; 61 * 1024])).expect("linked");
    assert_eq!(b.mesh.links()[0].datagrams_dropped, 1);
    let nobody = async {
        while a.mesh.links()[0].datagrams_dropped == 0 {
            b.mesh.send_datagram(at_a, Bytes::from_static(NOBODYS)).expect("linked");
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, nobody).await.expect("they come and are counted");
    let mut from_b = a.mesh.datagrams(at_b);
    cross(&b.mesh, at_a, &mut from_b, 50).await;
    a.mesh.leave().await;
    b.mesh.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_datagrams_is_cut_to_the_queue_and_delays_no_stream() {
    let world = World::new().await;
    let (a, mut b, a_up, b_up) = linked(&world).await;
    let at_b = a_up.peer.peer;
    let _unread = b.mesh.datagrams(b_up.peer.peer);
    for _ in 0..5_000 {
        a.mesh.send_datagram(at_b, Bytes::from(vec![7; 1_000])).expect("linked");
    }
    let mut near = a.mesh.open_stream(at_b, b"copy".to_vec()).await.expect("linked");
    near.write_all(b"through").await.expect("flows");
    near.shutdown().await.expect("flows");
    let mut far = b
        .wait(|event| match event {
            MeshEvent::Stream { stream, .. } => Some(stream),
            _ => None,
        })
        .await;
    let mut got = String::new();
    timeout(PATIENCE, far.read_to_string(&mut got)).await.expect("it comes in time").expect("flows");
    assert_eq!(got, "through");
    assert!(a.mesh.links()[0].datagrams_dropped > 0);
    a.mesh.leave().await;
    b.mesh.leave().await;
}
