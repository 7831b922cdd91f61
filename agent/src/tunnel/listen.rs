//! The listening end of a tunnel.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::Arc;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::faltering::Faltering;
use super::{Client, Far, Numbers, relay};
use crate::limits;
use crate::traffic::Traveller;
use crate::wire::StreamHeader;

/// What is reached through a listener.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub far: Far,
    pub port: String,
}

/// Connections that the kernel keeps until they are accepted: as many as tokio's own listeners have.
const BACKLOG: i32 = 1024;

/// A listener on a port of its own. The kernel keeps a port that was asked for by its number through [`refuse`], and lets go of one
/// that it chose itself; so one that was free a moment ago is asked for.
pub(super) async fn bind(at: Option<SocketAddr>) -> io::Result<TcpListener> {
    if let Some(at) = at {
        return TcpListener::bind(at).await;
    }
    let mut attempts = limits::BIND_ATTEMPTS;
    loop {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?;
        match TcpListener::bind(free).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => attempts -= 1,
            bound => return bound,
        }
    }
}

/// Accepts connections until it is dropped, and they with it. While a fault refuses connections, the kernel does.
pub(super) async fn accept(mut listener: TcpListener, tunnel: Tunnel, numbers: Numbers) {
    let tunnel = Arc::new(tunnel);
    let (mut connections, mut faltering) = (JoinSet::new(), Faltering::default());
    loop {
        let outgoing = &tunnel.far.path.outgoing;
        tokio::select! {
            () = outgoing.begins_to_refuse() => match refuse(listener, &tunnel.far).await {
                Ok(open) => listener = open,
                Err(error) => {
                    return tracing::error!(port = tunnel.port, %error, "a tunnel that refused cannot listen again");
                }
            },
            accepted = listener.accept(), if connections.len() < limits::TUNNEL_CONNECTIONS => match accepted {
                Ok((local, _)) => {
                    faltering.is_well();
                    connections.spawn(carry(Arc::clone(&tunnel), numbers.next(), local));
                }
                Err(error) => {
                    let what = format!("a tunnel to the port `{}` cannot accept connections now", tunnel.port);
                    faltering.wait(&what, &error).await;
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

/// Closes the port to new connections, and keeps it ours, until no fault refuses any more.
async fn refuse(listener: TcpListener, far: &Far) -> io::Result<TcpListener> {
    let closed = listener.into_std()?;
    // A listening socket that is shut down refuses, and can listen again.
    SockRef::from(&closed).shutdown(Shutdown::Both)?;
    far.listeners.closed.send_modify(|closed| *closed += 1);
    far.path.outgoing.ends_to_refuse().await;
    SockRef::from(&closed).listen(BACKLOG)?;
    let open = TcpListener::from_std(closed);
    far.listeners.closed.send_modify(|closed| *closed -= 1);
    open
}

/// One connection. The handshake passes the gates as it would pass a network, there and back.
async fn carry(tunnel: Arc<Tunnel>, number: Traveller, local: TcpStream) {
    let Tunnel { far, port } = &*tunnel;
    // Small requests must not wait for an acknowledgement; where it cannot be set, they only get slower.
    let _ = local.set_nodelay(true);
    if far.path.outgoing.passage(number).pass(0).await.is_err() {
        let _ = local.set_zero_linger();
        return;
    }
    let header = StreamHeader::Tunnel { run: far.run.clone(), port: port.clone() };
    let mut stream = match far.open(header).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(port, %error, "a tunnelled connection is refused");
            let _ = local.set_zero_linger();
            return;
        }
    };
    let opened = far.path.incoming.passage(number).pass(0).await;
    let carried = match opened {
        Ok(()) => relay(local, &mut stream, &far.path, (number, Client::Local)).await,
        Err(error) => {
            let _ = local.set_zero_linger();
            Err(error)
        }
    };
    if let Err(error) = carried {
        tracing::debug!(port, %error, "a tunnelled connection broke");
        stream.reset(&error.to_string());
    }
}
