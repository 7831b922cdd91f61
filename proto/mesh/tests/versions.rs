//! Peers one protocol minor apart.

#[allow(dead_code, reason = "other tests use more of it")]
mod common;

use common::{Peer, World, name};
use futures::StreamExt;
use meshproof_mesh::rtc::RtcConfig;
use meshproof_mesh::{Mesh, MeshConfig, MeshEvent, RpcPort};
use meshproof_proto::frame::EventFrame;
use meshproof_proto::version::{PROTOCOL, Version};
use tarpc::server::Channel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tarpc::service]
trait Add {
    async fn add(left: u64, right: u64) -> u64;
}

#[derive(Clone)]
struct Adder;

impl Add for Adder {
    async fn add(self, _: tarpc::context::Context, left: u64, right: u64) -> u64 {
        left.wrapping_add(right)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_events_and_streams_go_both_ways_between_peers_one_minor_apart() {
    let world = World::new().await;
    let (mut old, mut new) = (join(&world, "old", Version { major: 1, minor: 0 }), join(&world, "new", PROTOCOL));
    let peer = old.joined("new").await;
    old.mesh.connect(peer).await;
    let (old_up, new_up) = tokio::join!(old.up(), new.up());
    let (at_old, at_new) = (both_ways(old_up.rpc), both_ways(new_up.rpc));
    let (by_old, by_new) = (&at_old, &at_new);
    let calls = (0..200).map(|n| async move {
        let context = tarpc::context::current;
        let (one, other) = tokio::join!(by_old.add(context(), n, 1), by_new.add(context(), n, 2));
        assert_eq!((one.expect("answered"), other.expect("answered")), (n + 1, n + 2));
    });
    // more at once than either side lets be in flight would be refused, which is another test
    futures::stream::iter(calls).buffer_unordered(32).collect::<()>().await;
    events(&old, &mut new).await;
    events(&new, &mut old).await;
    stream(&old, &mut new).await;
    stream(&new, &mut old).await;
    old.mesh.leave().await;
    new.mesh.leave().await;
}

async fn events(from: &Peer, to: &mut Peer) {
    let frame = EventFrame::Ack { instance: from.mesh.me(), through: 7 };
    from.mesh.send_events(to.mesh.me(), frame.clone()).await.expect("linked");
    let told = to.wait(|event| if let MeshEvent::Events { frame, .. } = event { Some(frame) } else { None });
    assert_eq!(told.await, frame);
}

/// Two megabytes there and, in the same stream, back.
async fn stream(from: &Peer, to: &mut Peer) {
    let near = from.mesh.open_stream(to.mesh.me(), b"echo".to_vec()).await.expect("linked");
    let far = to.wait(|event| if let MeshEvent::Stream { stream, .. } = event { Some(stream) } else { None }).await;
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(far);
        tokio::io::copy(&mut read, &mut write).await.expect("it flows");
        write.shutdown().await.expect("it flows");
    });
    let (mut read, mut write) = tokio::io::split(near);
    let sent: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
    let copy = sent.clone();
    let writing = tokio::spawn(async move {
        write.write_all(&copy).await.expect("it flows");
        write.shutdown().await.expect("it flows");
        write
    });
    let mut back = Vec::new();
    read.read_to_end(&mut back).await.expect("it flows");
    assert!(back == sent, "{} bytes came back, and not the same", back.len());
    writing.await.expect("it does not panic");
}

fn both_ways(port: RpcPort) -> AddClient {
    let (client, server) = port.split::<AddRequest, AddResponse, AddRequest, AddResponse>();
    let serving = tarpc::server::BaseChannel::with_defaults(server).execute(Adder.serve());
    tokio::spawn(serving.for_each(|response| async {
        tokio::spawn(response);
    }));
    AddClient::new(tarpc::client::Config::default(), client).spawn()
}

fn join(world: &World, who: &str, protocol: Version) -> Peer {
    let config = MeshConfig {
        mesh: name("dev"),
        name: name(who),
        token: world.token(who, 5),
        signaling: vec![world.url.clone()],
        rtc: RtcConfig { addresses: vec!["127.0.0.1".parse().expect("an address")], ..RtcConfig::default() },
        proxies: Default::default(),
        authorities: Default::default(),
    };
    let (mesh, events) = Mesh::join_speaking(protocol, config).expect("a good token");
    Peer { mesh, events }
}
