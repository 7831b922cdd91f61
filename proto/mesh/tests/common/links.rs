//! Links between peers of a test.

use meshproof_mesh::MeshEvent;

use crate::common::Peer;

/// Links two peers; both have been told.
pub async fn link(from: &mut Peer, to: &mut Peer) {
    let (here, there) = (from.mesh.me(), to.mesh.me());
    from.mesh.connect(there).await;
    let up = |with| move |event| matches!(event, MeshEvent::LinkUp(up) if up.peer.peer == with).then_some(());
    tokio::join!(from.wait(up(there)), to.wait(up(here)));
}
