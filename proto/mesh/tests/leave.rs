//! Leaving. Alone in its process, because it counts the process's sockets.

mod common;

use common::{PATIENCE, World, linked};
use meshproof_mesh::{Loss, MeshEvent};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_leaves_is_missed_at_once_and_leaves_no_socket() {
    let sockets = open_sockets();
    let world = World::new().await;
    let (mut a, b, _a_up, _b_up) = linked(&world).await;
    let _stream = a.mesh.open_stream(b.mesh.me(), b"x".to_vec()).await.expect("linked");
    b.mesh.leave().await;
    let loss = a.wait(|event| if let MeshEvent::LinkLost { loss, .. } = event { Some(loss) } else { None }).await;
    assert_eq!(loss, Loss::Left);
    a.mesh.leave().await;
    world.server.cancel();
    let gone = async {
        while open_sockets() > sockets {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("every socket is closed");
}

fn open_sockets() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| {
        entries
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    })
}
