//! The dialling end of a tunnel.

use std::io;
use std::sync::Arc;

use meshproof_mesh::ByteStream;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::relay;
use crate::limits;
use crate::permits::Permits;
use crate::traffic::{Path, Traveller};

/// Where it is dialled, if that is permitted.
type Place = (String, Arc<Permits>);

/// One connection to the service beside this agent. When it cannot be made, the stream is reset with the reason.
pub(super) async fn dial(path: Arc<Path>, number: Traveller, place: Place, mut stream: ByteStream) {
    let (address, permits) = place;
    path.incoming.passage(number).pass(0).await;
    let broken = match connect(&address, &permits).await {
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

async fn connect(address: &str, permits: &Permits) -> io::Result<TcpStream> {
    let dialling = async {
        let found = permits.addresses(lookup_host(address).await?.collect()).await;
        let found = found.map_err(|reason| io::Error::new(io::ErrorKind::PermissionDenied, reason))?;
        TcpStream::connect(found.as_slice()).await
    };
    let local = timeout(limits::DIAL, dialling).await??;
    let _ = local.set_nodelay(true);
    Ok(local)
}
