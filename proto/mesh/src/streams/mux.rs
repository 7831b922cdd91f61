//! All streams of a link, taking turns on its bulk connections.
//!
//! Which way carries what is decided in [`meshproof_proto::ways`].

mod table;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use meshproof_proto::frame::BulkFrame;
use meshproof_proto::id::{PeerId, StreamId};
use meshproof_proto::limits;
pub(crate) use meshproof_proto::ways::Way;
use tokio::time::timeout;

use super::byte_stream::ByteStream;
use super::state::StreamState;
use crate::limits::STREAMS_OF_A_LINK;
use table::Table;

/// The streams of one link.
#[derive(Debug)]
pub(crate) struct Mux {
    table: Mutex<Table>,
    sent: AtomicU64,
    received: AtomicU64,
}

/// A stream that the peer opened.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub header: Vec<u8>,
    pub stream: ByteStream,
}

impl Mux {
    /// The streams of the link of that number, to that peer. A peer that still has the link that we gave up takes the numbers of
    /// its streams for those of streams that are over, so no link has the numbers of one before it.
    pub(crate) fn new(me: &PeerId, peer: &PeerId, link: u64) -> Arc<Self> {
        let table = Table::new(StreamId(link * STREAMS_OF_A_LINK + u64::from(me > peer)));
        Arc::new(Self { table: Mutex::new(table), sent: AtomicU64::new(0), received: AtomicU64::new(0) })
    }

    /// Opens a stream; `None` when the link has as many as it may.
    pub(crate) fn open(self: &Arc<Self>, header: Vec<u8>) -> Option<ByteStream> {
        let id = self.lock().open(header)?;
        Some(ByteStream::new(Arc::clone(self), id))
    }

    /// Payload bytes that went out and came in.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }

    /// How many streams are open, and the bytes they took that the peer has not acknowledged.
    pub(crate) fn queued(&self) -> (usize, u64) {
        self.lock().queued()
    }

    /// The next frame for that way, with so many bytes of data at most. Pending while the way is not up, and for ever once it was replaced.
    pub(crate) async fn next_frame(&self, way: Way, most: usize) -> BulkFrame {
        let woken = self.lock().waker(way);
        loop {
            if let Some(frame) = self.try_frame(way, most) {
                return frame;
            }
            let late = self.lock().may_be_late();
            match late {
                // whatever woke it, or nothing did: it looks again
                true => drop(timeout(limits::LATE_LOOK, woken.notified()).await),
                false => woken.notified().await,
            }
        }
    }

    fn try_frame(&self, way: Way, most: usize) -> Option<BulkFrame> {
        let frame = self.lock().next(way, most, Instant::now);
        if let Some(BulkFrame::Data { bytes, .. }) = &frame {
            self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        frame
    }

    /// A connection is up and carries the streams from now on. One that it replaces may have lost what it took.
    pub(crate) fn attach(&self, way: Way) {
        self.lock().attach(way);
    }

    /// A connection is lost: what it took goes again, on what else there is or comes.
    pub(crate) fn detach(&self, way: Way) {
        self.lock().change_ways(|ways| ways.detach(way));
    }

    /// A stripe is silent. It is done without when there are others.
    pub(crate) fn suspect(&self, stripe: u8) {
        self.lock().change_ways(|ways| ways.suspect(stripe));
    }

    /// How long the path is, as the link measures it.
    pub(crate) fn note_round_trip(&self, round_trip: Duration) {
        self.lock().note_round_trip(round_trip);
    }

    /// How long the path is, when several connections carry the streams.
    pub(crate) fn round_trip_of_stripes(&self) -> Option<Duration> {
        self.lock().round_trip_of_stripes()
    }

    /// How many connections carry the streams now.
    pub(crate) fn ways(&self) -> usize {
        self.lock().ways()
    }

    /// Acknowledges what the peer may not know yet, so that it need not keep it. Called with each heartbeat.
    pub(crate) fn flush_acks(&self) {
        self.lock().flush_acks();
    }

    /// The link is lost: every stream ends, and the peer hears of it should the link come back.
    pub(crate) fn reset_all(&self, reason: &str) {
        self.lock().reset_all(reason);
    }

    /// A frame came. Gives the stream when the peer opened one.
    pub(crate) fn frame(self: &Arc<Self>, frame: BulkFrame) -> Option<Incoming> {
        let mut table = self.lock();
        let id = match &frame {
            BulkFrame::Open { stream, .. }
            | BulkFrame::Data { stream, .. }
            | BulkFrame::Fin { stream, .. }
            | BulkFrame::Ack { stream, .. }
            | BulkFrame::Reset { stream, .. } => *stream,
            BulkFrame::Hello(_)
            | BulkFrame::Proof(_)
            | BulkFrame::Refuse(_)
            | BulkFrame::Beat(_)
            | BulkFrame::BeatAnswer(_) => return None,
        };
        if let BulkFrame::Open { header, .. } = frame {
            let new = table.opened(id, &header);
            drop(table);
            return new.then(|| Incoming { header, stream: ByteStream::new(Arc::clone(self), id) });
        }
        if let BulkFrame::Data { bytes, .. } = &frame {
            self.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        table.frame(id, frame);
        None
    }

    /// Runs `act` on a stream, then sends what came of it. Only `ByteStream` calls it, and its stream is there until it is dropped.
    pub(super) fn with<T>(&self, id: StreamId, act: impl FnOnce(&mut StreamState) -> T) -> Option<T> {
        self.lock().with(id, act)
    }

    /// The holder breaks the stream off; the peer hears the reason.
    pub(super) fn reset(&self, id: StreamId, reason: &str) {
        self.lock().reset(id, reason);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
