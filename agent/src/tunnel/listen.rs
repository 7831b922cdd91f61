//! The listening end of a tunnel.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Far, Numbers, relay};
use crate::limits;
use crate::traffic::Traveller;
use crate::wire::StreamHeader;

/// What is reached through a listener.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub far: Far,
    pub port: String,
}

/// The table of open files is full: looking again at once would spin.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Accepts connections until it is dropped, and they with it.
pub(super) async fn accept(listener: TcpListener, tunnel: Tunnel, numbers: Numbers) {
    let tunnel = Arc::new(tunnel);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < limits::TUNNEL_CONNECTIONS => match accepted {
                Ok((local, _)) => {
                    connections.spawn(carry(Arc::clone(&tunnel), numbers.next(), local));
                }
                Err(error) => {
                    tracing::warn!(port = tunnel.port, %error, "a tunnel cannot accept connections now");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(port = tunnel.port, %error, "a tunnelled connection ended badly");
                }
            }
        }
    }
}

/// One connection. The handshake passes the gates as it would pass a network, there and back.
async fn carry(tunnel: Arc<Tunnel>, number: Traveller, local: TcpStream) {
    let Tunnel { far, port } = &*tunnel;
    // Small requests must not wait for an acknowledgement; where it cannot be set, they only get slower.
    let _ = local.set_nodelay(true);
    far.path.outgoing.passage(number).pass(0).await;
    let header = StreamHeader::Tunnel { run: far.run.clone(), port: port.clone() };
    let mut stream = match far.open(header).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(port, %error, "a tunnelled connection is refused");
            let _ = local.set_zero_linger();
            return;
        }
    };
    far.path.incoming.passage(number).pass(0).await;
    if let Err(error) = relay(local, &mut stream, &far.path, number).await {
        tracing::debug!(port, %error, "a tunnelled connection broke");
        stream.reset(&error.to_string());
    }
}
