//! The dialling end of a tunnel.

use std::io;
use std::sync::Arc;

use meshproof_mesh::ByteStream;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::relay;
use crate::limits;
use crate::traffic::{Path, Traveller};

/// One connection to the service beside this agent. When it cannot be made, the stream is reset with the reason.
pub(super) async fn dial(path: Arc<Path>, number: Traveller, address: String, mut stream: ByteStream) {
    path.incoming.passage(number).pass(0).await;
    let broken = match connect(&address).await {
        Ok(local) => {
            path.outgoing.passage(number).pass(0).await;
            relay(local, &mut stream, &path, number).await.err().map(|error| error.to_string())
        }
        Err(error) => Some(format!("dialling {address} failed: {error}")),
    };
    if let Some(reason) = broken {
        tracing::debug!(address, reason, "a tunnelled connection broke");
        stream.reset(&reason);
    }
}

async fn connect(address: &str) -> io::Result<TcpStream> {
    let local = timeout(limits::DIAL, TcpStream::connect(address)).await??;
    let _ = local.set_nodelay(true);
    Ok(local)
}
