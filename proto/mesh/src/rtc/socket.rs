//! The sockets that the stack is given: with large buffers, deaf to strangers, and calm about send errors.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime,
    Transmit,
};

use super::relayed::{PipeEnds, PipeSocket};
use super::rounds::{Rounds, is_of_a_turn_server};
use super::wire::{Wire, WiredSocket};
use crate::udp::{self, Correspondents};

/// The tokio runtime, but for its UDP sockets. One for each connection.
#[derive(Debug)]
pub(super) struct TunedRuntime {
    /// The addresses of the sockets that it made.
    pub(super) bound: Arc<Mutex<Vec<SocketAddr>>>,
    /// What its driver is yet to do.
    pub(super) rounds: Arc<Rounds>,
    /// Bytes that each of them asks for, each way.
    pub(super) buffer: usize,
    /// The path that the sockets are to stand at, where it is not this machine's own.
    pub(super) wire: Option<Wire>,
    /// Goes to the first socket, in the kernel's place.
    pub(super) pipe: Mutex<Option<PipeEnds>>,
}

impl Default for TunedRuntime {
    fn default() -> Self {
        Self {
            bound: Arc::default(),
            rounds: Arc::default(),
            buffer: udp::WANTED_BUFFER_BYTES,
            wire: None,
            pipe: Mutex::default(),
        }
    }
}

impl Runtime for TunedRuntime {
    fn spawn(&self, future: BoxFuture<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        if let Some(pipe) = self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(Arc::new(PipeSocket::new(socket, pipe)?));
        }
        udp::resize(&socket, self.buffer)?;
        let address = socket.local_addr()?;
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        let inner = match self.wire {
            Some(wire) => Arc::new(WiredSocket::new(inner, wire)),
            None => inner,
        };
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).push(address);
        Ok(Arc::new(GuardedSocket { inner, known: Correspondents::default(), rounds: Arc::clone(&self.rounds) }))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, address: SocketAddr) -> BoxFuture<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(address)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: std::pin::Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> BoxFuture<'static, ()> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        "tokio"
    }
}

/// The stack does not look where a datagram comes from, so an injected one would reach DTLS: it is emptied here.
#[derive(Debug)]
struct GuardedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    known: Correspondents,
    rounds: Arc<Rounds>,
}

impl AsyncUdpSocket for GuardedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, context: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.known.sent_to(transmit.destination);
        match self.inner.poll_send(context, transmit) {
            // A firewall rule, a route that is gone for now, a full queue: a lost datagram, and ICE decides in time.
            Poll::Ready(Err(error)) => {
                tracing::trace!(%error, destination = %transmit.destination, "datagram not sent");
                Poll::Ready(Ok(transmit.contents.len()))
            }
            other => other,
        }
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.inner.poll_recv(context, buffers, meta);
        if received.is_pending() && self.rounds.begins(context) {
            return Poll::Ready(Ok(empty(meta)));
        }
        if let Poll::Ready(Ok(count)) = received {
            for (buffer, meta) in buffers.iter().zip(meta.iter_mut()).take(count) {
                if !self.known.admits(meta.addr, buffer.first()) {
                    tracing::trace!(source = %meta.addr, "datagram from a stranger");
                    (meta.len, meta.stride) = EMPTY;
                } else if is_of_a_turn_server(buffer.get(..meta.len).unwrap_or_default()) {
                    self.rounds.came();
                }
            }
        }
        received
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

/// The length and the stride of a datagram of which the stack takes no notice; it asks for a stride of at least one.
const EMPTY: (usize, usize) = (0, 1);

/// How many such datagrams it is.
fn empty(meta: &mut [RecvMeta]) -> usize {
    let first = meta.iter_mut().take(1).map(|meta| (meta.len, meta.stride) = EMPTY);
    first.count()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use futures::FutureExt;

    use super::*;

    const DTLS: &[u8] = &[22, 0xfe, 0xfd];
    const STUN: &[u8] = &[0, 1, 0, 0];
    const CHANNEL_DATA: &[u8] = &[0x40, 0x00, 0, 1, 22];

    fn bound() -> UdpSocket {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound")
    }

    #[tokio::test]
    async fn what_a_stranger_sends_arrives_empty_unless_it_is_stun() {
        let (plain, friend, stranger) = (bound(), bound(), bound());
        let address = plain.local_addr().expect("it is bound");
        let guarded = TunedRuntime::default().wrap_udp_socket(plain).expect("it is wrapped");
        guarded.send_to(DTLS, friend.local_addr().expect("it is bound")).await.expect("sent");
        let mut buffer = [0; 1500];
        for (from, datagram, arrived) in
            [(&stranger, DTLS, 0), (&friend, DTLS, DTLS.len()), (&stranger, STUN, STUN.len())]
        {
            from.send_to(datagram, address).expect("sent");
            let (length, source) = guarded.recv_from(&mut buffer).await.expect("received");
            assert_eq!((length, source), (arrived, from.local_addr().expect("it is bound")));
        }
    }

    #[tokio::test]
    async fn what_comes_through_a_turn_server_has_the_driver_go_round_until_its_answer_has_left() {
        let (plain, server) = (bound(), bound());
        let address = plain.local_addr().expect("it is bound");
        let guarded = TunedRuntime::default().wrap_udp_socket(plain).expect("it is wrapped");
        guarded.send_to(STUN, server.local_addr().expect("it is bound")).await.expect("sent");
        let mut buffer = [0; 1500];
        server.send_to(CHANNEL_DATA, address).expect("sent");
        let (length, _) = guarded.recv_from(&mut buffer).await.expect("received");
        assert_eq!(length, CHANNEL_DATA.len());
        for _ in 0..2 {
            // what takes all that is there gets nothing more, and goes on when it is back
            assert_eq!(guarded.recv_from(&mut buffer).await.expect("a round").0, 0);
            assert!(guarded.recv_from(&mut buffer).now_or_never().is_none());
        }
        server.send_to(DTLS, address).expect("sent");
        assert_eq!(guarded.recv_from(&mut buffer).await.expect("received").0, DTLS.len(), "no more rounds than that");
        assert!(guarded.recv_from(&mut buffer).now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_datagram_that_may_not_be_sent_is_only_lost() {
        let guarded = TunedRuntime::default().wrap_udp_socket(bound()).expect("it is wrapped");
        // Not without asking for broadcast first.
        let refused = guarded.send_to(DTLS, SocketAddr::from((Ipv4Addr::BROADCAST, 9))).await;
        assert_eq!(refused.expect("it counts as sent"), DTLS.len());
    }

    #[tokio::test]
    async fn the_runtime_remembers_the_sockets_it_made() {
        let (runtime, socket) = (TunedRuntime::default(), bound());
        let address = socket.local_addr().expect("it is bound");
        runtime.wrap_udp_socket(socket).expect("it is wrapped");
        assert_eq!(*runtime.bound.lock().expect("nobody panicked"), [address]);
    }
}
