//! The dialling end of a tunnel.

use std::io;
use std::sync::Arc;

use meshproof_mesh::ByteStream;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Client, relay};
use crate::limits;
use crate::permits::Permits;
use crate::traffic::{Path, Traveller};

/// Where it is dialled, if that is permitted.
type Place = (String, Arc<Permits>);

/// One connection to the service beside this agent. When it cannot be made, the stream is reset with the reason.
pub(super) async fn dial(path: Arc<Path>, number: Traveller, place: Place, mut stream: ByteStream) {
    let (address, permits) = place;
    if let Err(error) = carry((&path, number), (&address, &permits), &mut stream).await {
        let reason = error.to_string();
        tracing::debug!(address, reason, "a tunnelled connection broke");
        stream.reset(&reason);
    }
}

async fn carry(
    (path, number): (&Path, Traveller),
    (address, permits): (&str, &Permits),
    stream: &mut ByteStream,
) -> io::Result<()> {
    if path.incoming.refuses() {
        path.incoming.refused(number);
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "a fault of the run refuses connections"));
    }
    path.incoming.passage(number).pass(0).await?;
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("dialling {address} failed: {error}"));
    let local = connect(address, permits).await.map_err(failed)?;
    let opened = path.outgoing.passage(number).pass(0).await;
    if let Err(error) = opened {
        let _ = local.set_zero_linger();
        return Err(error);
    }
    relay(local, stream, path, (number, Client::Remote)).await
}

async fn connect(address: &str, permits: &Permits) -> io::Result<TcpStream> {
    let dialling = async {
        let found = permits.resolve(address).await?;
        TcpStream::connect(found.as_slice()).await
    };
    let local = timeout(limits::DIAL, dialling).await??;
    let _ = local.set_nodelay(true);
    Ok(local)
}
