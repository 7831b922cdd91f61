//! Peers that come and go around one that stays.

use std::sync::Arc;

use meshproof_mesh::{ByteStream, Mesh, MeshEvent};
use meshproof_proto::id::PeerId;
use meshproof_proto::limits;
use meshproof_proto::signal::{ConnectionKind, SignalBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::common::{PATIENCE, Peer, World};
use crate::peer::{Hostile, Part};

/// A stream's payload: more than a frame, less than a window.
const BYTES: usize = 256 * 1024;

/// Generations of one link in a round.
const REPLACED: usize = 3;

/// A mesh with its signaling server and the peer that stays.
pub struct Churn {
    world: Arc<World>,
    hub: Mesh,
    hub_task: JoinHandle<()>,
}

impl Churn {
    pub async fn new() -> Self {
        let world = Arc::new(World::new().await);
        let Peer { mesh, events } = world.join("hub", 1);
        Self { world, hub: mesh, hub_task: tokio::spawn(hub(events)) }
    }

    /// Everything that can happen to a link, once; every peer in it is a new instance.
    pub async fn round(&self) {
        let hub = self.hub.me();
        let guests =
            ["leaves", "drops", "leaves-too"].map(|who| tokio::spawn(guest(Arc::clone(&self.world), who, hub)));
        let replaced = tokio::spawn(replaced(Arc::clone(&self.world), hub));
        for guest in guests {
            timeout(PATIENCE, guest).await.expect("in time").expect("a guest comes and goes");
        }
        timeout(PATIENCE, replaced).await.expect("in time").expect("a link is replaced");
    }

    /// Everybody leaves; signaling ends.
    pub async fn end(self) {
        self.hub.leave().await;
        self.hub_task.await.expect("the events end with the mesh");
        self.world.server.cancel();
    }
}

/// Reads each stream to its end, or gives up half way when it is told so.
async fn hub(mut events: mpsc::Receiver<MeshEvent>) {
    while let Some(event) = events.recv().await {
        if let MeshEvent::Stream { header, stream, .. } = event {
            tokio::spawn(taken(header, stream));
        }
    }
}

async fn taken(header: Vec<u8>, mut stream: ByteStream) {
    if header == b"drop" {
        let _ = stream.read_exact(&mut vec![0; BYTES / 2]).await;
        return;
    }
    let mut got = Vec::new();
    if stream.read_to_end(&mut got).await.is_ok() {
        let _ = stream.write_all(&got[..1]).await;
        let _ = stream.shutdown().await;
    }
}

/// Joins, links, uses streams, goes: with a goodbye or by being dropped.
async fn guest(world: Arc<World>, who: &'static str, hub: PeerId) {
    let mut guest = world.join(who, 9);
    assert_eq!(guest.joined("hub").await, hub);
    guest.mesh.connect(hub).await;
    guest.up().await;
    let mut whole = guest.mesh.open_stream(hub, b"whole".to_vec()).await.expect("linked");
    let half = guest.mesh.open_stream(hub, b"whole".to_vec()).await.expect("linked");
    let mut dropped = guest.mesh.open_stream(hub, b"drop".to_vec()).await.expect("linked");
    whole.write_all(&vec![1; BYTES]).await.expect("it flows");
    whole.shutdown().await.expect("it flows");
    let mut answer = Vec::new();
    whole.read_to_end(&mut answer).await.expect("it is answered");
    assert_eq!(answer, [1]);
    drop(half);
    // the hub reads half of it and drops the rest
    let _ = dropped.write_all(&vec![1; BYTES]).await;
    let gone = dropped.read_u8().await;
    assert!(gone.is_err(), "the hub dropped it");
    if who == "drops" { drop(guest) } else { guest.mesh.leave().await }
}

/// A link whose connections break one after the other, each replaced by the next generation.
async fn replaced(world: Arc<World>, hub: PeerId) {
    let mut peer = Hostile::register(&world, "replaced", hub, Part::Offers).await;
    for _ in 0..REPLACED {
        let line = loop {
            // an answer may be lost with the connection that carried it; the next generation is offered then
            let admitted = timeout(limits::HANDSHAKE_DEADLINE, peer.admitted(ConnectionKind::Control)).await;
            if let Ok(line) = admitted {
                break line;
            }
        };
        line.connection.close().await;
        // an offer that comes before the hub noticed would be answered over the connection that is gone
        while peer.heard(ConnectionKind::Control).await.body != SignalBody::PleaseOffer {}
    }
}
