//! The only socket of a relayed connection: no kernel socket, but a pipe to a relay.
//!
//! ICE wants addresses, so a loopback port is bound, which gives this side a candidate and is otherwise never read. The two
//! ends know each other's candidate and send to it; whatever comes out of the pipe is from the one that we send to.
//!
//! A full pipe loses datagrams, as any path does. Waiting instead would keep the driver, which waits for its writes, from
//! reading: two ends that both wait would wait for ever. The pipe holds more than a receive window, so it is full only when
//! the relay does not keep up with what is sent again.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::{RtcConfig, RtcEvent};
use crate::relay::{Carrying, PipeEnd, RelayPipe};

/// The stack sizes its receive buffer by this, at 1500 bytes each: enough for the largest datagram of a relay.
const BUFFER_SEGMENTS: usize = meshproof_proto::limits::DATAGRAM_BYTES.div_ceil(1500);

/// SCTP packet size on a relay: a datagram is a message on a TCP connection, which carries any size, and each one costs both
/// ends and the server a turn.
const MTU: u32 = 8 * 1024;

/// SCTP receive window: what may be on its way through two TCP connections and a server. Larger ones wait there instead of at
/// the sender, and everything behind them waits as long.
const RECEIVE_WINDOW_BYTES: u32 = 1024 * 1024;

/// How a connection's datagrams travel.
#[derive(Debug)]
pub enum Carriage {
    /// As UDP, on the best path that ICE finds.
    Udp,
    /// Through a relay, and nowhere else.
    Relay(RelayPipe),
}

/// What is used of a configuration on a relay: there is one path, so no address and no server helps.
pub(super) fn adapted(config: &RtcConfig) -> RtcConfig {
    RtcConfig {
        wire: None,
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        ice_servers: Vec::new(),
        mtu: Some(MTU),
        socket_buffer: None,
        receive_window: config.receive_window.or(Some(RECEIVE_WINDOW_BYTES)),
        send_buffer: config.send_buffer,
    }
}

/// Waits for the end of the pipe under a connection; for ever where there is none.
pub(super) async fn ended(pipe: &mut Option<watch::Receiver<Carrying>>) -> RtcEvent {
    let Some(pipe) = pipe else { return std::future::pending().await };
    match pipe.wait_for(|carrying| matches!(carrying, Carrying::Ended(_))).await.as_deref() {
        Ok(Carrying::Ended(PipeEnd::Unopened(error))) => RtcEvent::Failed(format!("no relay: {error}")),
        Ok(Carrying::Ended(PipeEnd::Broken(reason))) => RtcEvent::Failed(format!("the relay ended: {reason}")),
        // the carrying task ends without a word only when this side closed
        Ok(Carrying::Ended(PipeEnd::Partner) | Carrying::Opening | Carrying::Joined) | Err(_) => RtcEvent::Closed,
    }
}

/// What a socket needs of a pipe: the way out, and what came in.
pub(super) type PipeEnds = (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>);

/// A pipe as the stack's socket.
pub(super) struct PipeSocket {
    local: SocketAddr,
    /// Keeps the port from being anybody else's candidate on this machine.
    _port: std::net::UdpSocket,
    outgoing: mpsc::Sender<Bytes>,
    incoming: Mutex<mpsc::Receiver<Bytes>>,
    /// Whom we send to; nothing can be from anybody before we do.
    remote: Mutex<Option<SocketAddr>>,
}

impl PipeSocket {
    pub(super) fn new(port: std::net::UdpSocket, (outgoing, incoming): PipeEnds) -> io::Result<Self> {
        Ok(Self {
            local: port.local_addr()?,
            _port: port,
            outgoing,
            incoming: Mutex::new(incoming),
            remote: Mutex::new(None),
        })
    }

    fn remote(&self) -> Option<SocketAddr> {
        *self.remote.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for PipeSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PipeSocket").field("local", &self.local).field("remote", &self.remote()).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for PipeSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        *self.remote.lock().unwrap_or_else(PoisonError::into_inner) = Some(transmit.destination);
        if self.outgoing.try_send(Bytes::copy_from_slice(transmit.contents)).is_err() {
            tracing::trace!(bytes = transmit.contents.len(), "datagram lost before the relay");
        }
        Poll::Ready(Ok(transmit.contents.len()))
    }

    /// The end of the pipe is told to the connection elsewhere; a socket has no end.
    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
        loop {
            let Some(datagram) = ready!(incoming.poll_recv(context)) else { return Poll::Pending };
            let Some(remote) = self.remote() else { continue };
            let Some(place) = buffer.get_mut(..datagram.len()).filter(|place| !place.is_empty()) else { continue };
            place.copy_from_slice(&datagram);
            (meta.addr, meta.len, meta.stride) = (remote, datagram.len(), datagram.len());
            return Poll::Ready(Ok(1));
        }
    }

    fn max_gro_segments(&self) -> usize {
        BUFFER_SEGMENTS
    }
}
