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

use crate::udp::{self, Correspondents};

/// The tokio runtime, but for its UDP sockets. One for each connection.
#[derive(Debug, Default)]
pub(super) struct TunedRuntime {
    /// The addresses of the sockets that it made.
    pub(super) bound: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Runtime for TunedRuntime {
    fn spawn(&self, future: BoxFuture<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        udp::enlarge(&socket)?;
        let address = socket.local_addr()?;
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).push(address);
        Ok(Arc::new(GuardedSocket { inner, known: Correspondents::default() }))
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
        if let Poll::Ready(Ok(count)) = received {
            for (buffer, meta) in buffers.iter().zip(meta.iter_mut()).take(count) {
                if !self.known.admits(meta.addr, buffer.first()) {
                    tracing::trace!(source = %meta.addr, "datagram from a stranger");
                    // The stack takes no notice of an empty datagram; it asks for a stride of at least one.
                    (meta.len, meta.stride) = (0, 1);
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
