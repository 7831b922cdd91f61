//! A path that is longer and worse than loopback, inside a socket: every datagram leaves late, or not at all.
//!
//! It stands for the network where there is none of that kind: the benches measure with it what a link does on a long path.
//! The order of datagrams is kept.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use meshproof_proto::seed::Seed;
use tokio::sync::Notify;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use crate::limits::WIRE_BYTES;

/// How a path differs from loopback, one way. Both ends of a link may have one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wire {
    pub delay: Duration,
    /// Of a thousand datagrams, so many are lost.
    pub lost_per_mille: u64,
    pub seed: u64,
}

/// A socket behind a wire.
#[derive(Debug)]
pub(super) struct WiredSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    line: Arc<Line>,
    wire: Wire,
}

#[derive(Debug)]
struct Line {
    queue: Mutex<Queue>,
    work: Notify,
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Datagrams>,
    bytes: usize,
    luck: Seed,
    /// The socket is gone: nobody waits for the rest.
    closed: bool,
}

/// One datagram, or several of one size in a row.
#[derive(Debug)]
struct Datagrams {
    due: Instant,
    destination: SocketAddr,
    contents: Vec<u8>,
    segment_size: Option<usize>,
}

impl WiredSocket {
    /// Puts a wire in front of a socket. Its task ends with it.
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>, wire: Wire) -> Self {
        let luck = Seed::new(wire.seed ^ u64::from(inner.local_addr().map_or(0, |address| address.port())));
        let queue = Queue { waiting: VecDeque::new(), bytes: 0, luck, closed: false };
        let line = Arc::new(Line { queue: Mutex::new(queue), work: Notify::new() });
        tokio::spawn(deliver(Arc::clone(&line), Arc::clone(&inner)));
        Self { inner, line, wire }
    }
}

impl Drop for WiredSocket {
    fn drop(&mut self) {
        self.line.lock().closed = true;
        self.line.work.notify_one();
    }
}

impl Line {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, transmit: &Transmit<'_>, wire: Wire) {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let mut contents = Vec::with_capacity(transmit.contents.len());
        for datagram in transmit.contents.chunks(size) {
            if self.luck.below(1000) >= wire.lost_per_mille {
                contents.extend_from_slice(datagram);
            }
        }
        if contents.is_empty() || self.bytes + contents.len() > WIRE_BYTES {
            return;
        }
        self.bytes += contents.len();
        let (due, destination, segment_size) =
            (Instant::now() + wire.delay, transmit.destination, transmit.segment_size);
        self.waiting.push_back(Datagrams { due, destination, contents, segment_size });
    }
}

async fn deliver(line: Arc<Line>, socket: Arc<dyn AsyncUdpSocket>) {
    loop {
        let next = {
            let mut queue = line.lock();
            if queue.closed {
                return;
            }
            match queue.waiting.front().map(|datagrams| datagrams.due) {
                Some(due) if due <= Instant::now() => {
                    let next = queue.waiting.pop_front();
                    queue.bytes -= next.as_ref().map_or(0, |datagrams| datagrams.contents.len());
                    Ok(next)
                }
                due => Err(due),
            }
        };
        match next {
            Ok(Some(datagrams)) => {
                let Datagrams { destination, contents, segment_size, .. } = &datagrams;
                let (destination, contents, segment_size) = (*destination, contents.as_slice(), *segment_size);
                let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
                // what cannot be sent is lost, as on any path
                let _ = std::future::poll_fn(|context| socket.poll_send(context, &transmit)).await;
            }
            Ok(None) => {}
            Err(Some(due)) => tokio::time::sleep_until(due.into()).await,
            Err(None) => line.work.notified().await,
        }
    }
}

impl AsyncUdpSocket for WiredSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.line.lock().push(transmit, self.wire);
        self.line.work.notify_one();
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(context, buffers, meta)
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}
