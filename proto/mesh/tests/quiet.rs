//! A mesh in which nothing happens.

mod common;

use std::time::Duration;

use common::{World, linked};
use meshproof_mesh::MeshEvent;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_mesh_stays_up_on_pings_and_heartbeats() {
    let world = World::new().await;
    let (mut a, mut b, _a_up, _b_up) = linked(&world).await;
    // longer than the client takes silence for death, so only the server's pings can have kept it
    let quiet = tokio::time::sleep(Duration::from_secs(7));
    tokio::pin!(quiet);
    loop {
        let event = tokio::select! {
            event = a.events.recv() => event,
            event = b.events.recv() => event,
            () = &mut quiet => break,
        };
        match event.expect("the mesh lives") {
            MeshEvent::SignalingUp { .. } | MeshEvent::PeerJoined(_) => {}
            other => panic!("something happened in a quiet mesh: {other:?}"),
        }
    }
    assert!(a.mesh.links()[0].rtt.is_some());
    a.mesh.leave().await;
    b.mesh.leave().await;
}
