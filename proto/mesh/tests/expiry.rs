//! A token that ends while its peer is in the mesh: both ends of a link and signaling see to it.

#[path = "common/brief.rs"]
mod brief;
#[allow(dead_code, reason = "other tests use more of it")]
mod common;

use meshproof_mesh::MeshEvent;

use common::{Peer, World};

/// Why its link to anybody was lost, and what else `pick` wants, in either order.
async fn lost_and<T>(peer: &mut Peer, mut pick: impl FnMut(&MeshEvent) -> Option<T>) -> (String, T) {
    let (mut lost, mut picked) = (None, None);
    peer.wait(|event| {
        picked = picked.take().or_else(|| pick(&event));
        if let MeshEvent::LinkLost { loss, .. } = event {
            lost = Some(loss.to_string());
        }
        (lost.is_some() && picked.is_some()).then_some(())
    })
    .await;
    (lost.expect("waited for"), picked.expect("waited for"))
}

async fn linked(world: &World) -> (Peer, Peer) {
    let mut a = world.join("a", 2);
    let mut b = world.join_with("b", brief::token(world, "b"));
    let peer = a.joined("b").await;
    a.mesh.connect(peer).await;
    tokio::join!(a.up(), b.up());
    (a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_token_at_both_ends_and_at_signaling() {
    let world = World::new().await;
    let (mut a, mut b) = linked(&world).await;
    let left =
        |event: &MeshEvent| matches!(event, MeshEvent::PeerLeft(peer) if peer.name.as_str() == "b").then_some(());
    let refused = |event: &MeshEvent| match event {
        MeshEvent::SignalingRefused { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    let ((seen_by_a, ()), (seen_by_b, refusal)) = tokio::join!(lost_and(&mut a, left), lost_and(&mut b, refused));
    for reason in [seen_by_a, seen_by_b, refusal] {
        brief::says_what_to_do(&reason);
    }
    assert!(a.mesh.links().iter().all(|link| link.state != "up"), "and no link takes its place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_token_also_without_signaling() {
    let world = World::new().await;
    let (mut a, mut b) = linked(&world).await;
    world.server.cancel();
    let any = |_: &MeshEvent| Some(());
    let ((seen_by_a, ()), (seen_by_b, ())) = tokio::join!(lost_and(&mut a, any), lost_and(&mut b, any));
    brief::says_what_to_do(&seen_by_a);
    brief::says_what_to_do(&seen_by_b);
}
