//! Parts of an environment for tests that need no processes.

use meshproof_proto::id::{Name, PeerId};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A signaling server of this mesh on a free port: its address, and what ends it.
pub(crate) async fn signaling(mesh: Name, root: PeerId) -> (String, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}/mesh", listener.local_addr().expect("bound"));
    let server = CancellationToken::new();
    let config = meshproof_signaling::Config::new(vec![(mesh, root)]);
    tokio::spawn(meshproof_signaling::serve(listener, config, server.clone()));
    (url, server)
}
