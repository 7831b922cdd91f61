//! All streams of a link, taking turns on its bulk connections.
//!
//! Which way carries what is decided in [`meshproof_proto::ways`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use meshproof_proto::flow::{FlowError, Piece};
use meshproof_proto::frame::BulkFrame;
use meshproof_proto::id::{PeerId, StreamId};
use meshproof_proto::limits;
pub(crate) use meshproof_proto::ways::Way;
use meshproof_proto::ways::{Change, Load, Ways};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::byte_stream::ByteStream;
use super::state::StreamState;
use crate::limits::STREAMS_LOOKED_AT;

/// The streams of one link.
#[derive(Debug)]
pub(crate) struct Mux {
    table: Mutex<Table>,
    sent: AtomicU64,
    received: AtomicU64,
}

#[derive(Debug)]
struct Table {
    streams: BTreeMap<StreamId, StreamState>,
    ways: Ways,
    wakers: BTreeMap<Way, Arc<Notify>>,
    /// Of each stream, both ways.
    window: u64,
    /// A piece that is unacknowledged for so long is late; only on a striped link.
    late_after: Duration,
    /// Streams with something to send, in turn.
    turn: VecDeque<StreamId>,
    /// Resets that the peer must hear of.
    resets: VecDeque<(StreamId, String)>,
    /// The last resets that were sent: the connection may have been lost with them, so the next one carries them again.
    resets_sent: VecDeque<(StreamId, String)>,
    next: StreamId,
    /// The highest id that the peer opened: below it, unknown means over.
    peer_highest: Option<StreamId>,
}

/// A stream that the peer opened.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub header: Vec<u8>,
    pub stream: ByteStream,
}

impl Mux {
    pub(crate) fn new(me: &PeerId, peer: &PeerId) -> Arc<Self> {
        let next = StreamId(if me < peer { 0 } else { 1 });
        let table = Table {
            streams: BTreeMap::new(),
            ways: Ways::default(),
            wakers: BTreeMap::new(),
            window: limits::STREAM_WINDOW_BYTES,
            late_after: limits::LINK_LOST,
            turn: VecDeque::new(),
            resets: VecDeque::new(),
            resets_sent: VecDeque::new(),
            next,
            peer_highest: None,
        };
        Arc::new(Self { table: Mutex::new(table), sent: AtomicU64::new(0), received: AtomicU64::new(0) })
    }

    /// Opens a stream; `None` when the link has as many as it may.
    pub(crate) fn open(self: &Arc<Self>, header: Vec<u8>) -> Option<ByteStream> {
        let mut table = self.lock();
        if table.streams.len() >= limits::STREAMS_PER_LINK || header.len() > limits::STREAM_HEADER_BYTES {
            return None;
        }
        let id = table.next;
        table.next = StreamId(id.0 + 2);
        let stream = StreamState::new(Some(header), table.window);
        table.streams.insert(id, stream);
        table.queue(id);
        table.wake();
        drop(table);
        Some(ByteStream::new(Arc::clone(self), id))
    }

    /// Payload bytes that went out and came in.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }

    /// How many streams are open, and the bytes they took that the peer has not acknowledged.
    pub(crate) fn queued(&self) -> (usize, u64) {
        let table = self.lock();
        (table.streams.len(), table.streams.values().map(|stream| stream.sending.unacked()).sum())
    }

    /// The next frame for that way. Pending while the way is not up, and for ever once it was replaced.
    pub(crate) async fn next_frame(&self, way: Way) -> BulkFrame {
        let woken = self.lock().waker(way);
        loop {
            if let Some(frame) = self.try_frame(way) {
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

    fn try_frame(&self, way: Way) -> Option<BulkFrame> {
        let mut table = self.lock();
        let frame = match table.ways.load(way) {
            Load::Nothing => None,
            Load::Large => table.next_large(),
            Load::Everything => table.next_of_all(),
        };
        let frame = match table.ways.count() {
            0 | 1 => frame,
            _ => table.striped(frame, Instant::now()),
        };
        drop(table);
        if let Some(BulkFrame::Data { bytes, .. }) = &frame {
            self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        frame
    }

    /// A connection is up and carries the streams from now on. One that it replaces may have lost what it took.
    pub(crate) fn attach(&self, way: Way) {
        let mut table = self.lock();
        table.wakers.retain(|waiting, _| waiting.stripe != way.stripe || waiting.generation >= way.generation);
        let change = table.ways.attach(way);
        if table.ways.count() > 1 {
            table.widen();
        }
        table.heed(change);
    }

    /// A connection is lost: what it took goes again, on what else there is or comes.
    pub(crate) fn detach(&self, way: Way) {
        let mut table = self.lock();
        let change = table.ways.detach(way);
        table.heed(change);
    }

    /// A stripe is silent. It is done without when there are others.
    pub(crate) fn suspect(&self, stripe: u8) {
        let mut table = self.lock();
        let change = table.ways.suspect(stripe);
        table.heed(change);
    }

    /// How long the path is, as the link measures it.
    pub(crate) fn note_round_trip(&self, round_trip: Duration) {
        self.lock().late_after = round_trip * limits::LATE_ROUND_TRIPS;
    }

    /// How many connections carry the streams now.
    pub(crate) fn ways(&self) -> usize {
        self.lock().ways.count()
    }

    /// Acknowledges what the peer may not know yet, so that it need not keep it. Called with each heartbeat.
    pub(crate) fn flush_acks(&self) {
        let mut table = self.lock();
        let news: Vec<StreamId> =
            table.streams.iter().filter(|(_, stream)| stream.receiving.has_news()).map(|(id, _)| *id).collect();
        for id in news {
            if let Some(stream) = table.streams.get_mut(&id) {
                stream.ack_due = true;
            }
            table.queue(id);
        }
        table.wake();
    }

    /// The link is lost: every stream ends.
    pub(crate) fn reset_all(&self, reason: &str) {
        let mut table = self.lock();
        for stream in table.streams.values_mut() {
            stream.break_off(reason);
        }
        table.streams.retain(|_, stream| !stream.abandoned);
        table.resets.clear();
        table.resets_sent.clear();
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
            return table.opened(id, &header).then(|| {
                drop(table);
                Incoming { header, stream: ByteStream::new(Arc::clone(self), id) }
            });
        }
        if let BulkFrame::Data { bytes, .. } = &frame {
            self.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        if let Err(error) = table.take(id, frame) {
            table.reset(id, &error.to_string());
        }
        table.tidy(id);
        table.wake();
        None
    }

    /// Runs `act` on a stream, then sends what came of it. Only `ByteStream` calls it, and its stream is there until it is dropped.
    pub(super) fn with<T>(&self, id: StreamId, act: impl FnOnce(&mut StreamState) -> T) -> Option<T> {
        let mut table = self.lock();
        let result = act(table.streams.get_mut(&id)?);
        table.queue(id);
        table.tidy(id);
        table.wake();
        Some(result)
    }

    /// The holder breaks the stream off; the peer hears the reason.
    pub(super) fn reset(&self, id: StreamId, reason: &str) {
        let mut table = self.lock();
        table.reset(id, reason);
        table.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// What wakes that way, whether it is up already or not yet.
    fn waker(&mut self, way: Way) -> Arc<Notify> {
        Arc::clone(self.wakers.entry(way).or_default())
    }

    fn wake(&self) {
        for way in self.ways.iter() {
            if let Some(waker) = self.wakers.get(&way) {
                waker.notify_one();
            }
        }
    }

    /// The ways changed.
    fn heed(&mut self, change: Change) {
        match change {
            Change::GoOn => {}
            Change::Rewind => self.rewind(),
        }
        self.wake();
    }

    fn next_of_all(&mut self) -> Option<BulkFrame> {
        if let Some((stream, reason)) = self.resets.pop_front() {
            self.remember_reset(stream, &reason);
            return Some(BulkFrame::Reset { stream, reason });
        }
        while let Some(id) = self.turn.pop_front() {
            if let Some(frame) = self.frame_of(id) {
                return Some(frame);
            }
        }
        None
    }

    /// What a way beside the main one may carry. Streams keep their place in line.
    fn next_large(&mut self) -> Option<BulkFrame> {
        let ids = self.turn.iter().take(STREAMS_LOOKED_AT);
        ids.copied().find_map(|id| self.streams.get_mut(&id).and_then(|stream| large_of(stream, id)))
    }

    /// Remembers when data went out; a way that has nothing to send takes over what is late on another.
    fn striped(&mut self, frame: Option<BulkFrame>, now: Instant) -> Option<BulkFrame> {
        match &frame {
            Some(BulkFrame::Data { stream, .. }) => {
                if let Some(stream) = self.streams.get_mut(stream) {
                    stream.sending.mark(now);
                }
                frame
            }
            Some(_) => frame,
            None => {
                let before = now.checked_sub(self.late_after)?;
                let streams = self.streams.iter_mut().take(STREAMS_LOOKED_AT);
                streams.filter(|(_, stream)| stream.reset.is_none()).find_map(|(id, stream)| {
                    match stream.sending.poll_again(before)? {
                        Piece::Data { offset, bytes } => Some(BulkFrame::Data { stream: *id, offset, bytes }),
                        Piece::Fin { .. } => None,
                    }
                })
            }
        }
    }

    /// Whether a way with nothing to send may have something late to take over soon.
    fn may_be_late(&self) -> bool {
        let unacked = |stream: &StreamState| stream.sending.unacked() > 0;
        self.ways.count() > 1 && self.streams.values().take(STREAMS_LOOKED_AT).any(unacked)
    }

    /// The link has stripes, so its path is long: streams may have more on their way.
    fn widen(&mut self) {
        self.window = limits::LONG_STREAM_WINDOW_BYTES;
        for (id, stream) in &mut self.streams {
            stream.sending.widen(self.window);
            stream.receiving.widen(self.window);
            stream.wake_writer();
            stream.ack_due = true;
            if !std::mem::replace(&mut stream.queued, true) {
                self.turn.push_back(*id);
            }
        }
    }

    /// Everything unacknowledged goes again, the oldest stream first: openings must come in the order of their numbers.
    fn rewind(&mut self) {
        let again = std::mem::take(&mut self.resets_sent);
        self.resets.extend(again);
        self.turn.clear();
        for (id, stream) in &mut self.streams {
            stream.sending.rewind();
            stream.header_due = stream.header.is_some();
            stream.ack_due = true;
            stream.queued = true;
            self.turn.push_back(*id);
        }
    }

    fn queue(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.queued
        {
            stream.queued = true;
            self.turn.push_back(id);
        }
    }

    fn remember_reset(&mut self, stream: StreamId, reason: &str) {
        self.resets_sent.push_back((stream, reason.to_owned()));
        if self.resets_sent.len() > limits::RESETS_REMEMBERED {
            self.resets_sent.pop_front();
        }
    }

    /// One frame of that stream; the stream gets in line again when it may have more.
    fn frame_of(&mut self, id: StreamId) -> Option<BulkFrame> {
        let stream = self.streams.get_mut(&id)?;
        stream.queued = false;
        let frame = next_of(stream, id);
        if frame.is_some() {
            self.queue(id);
        } else {
            self.tidy(id);
        }
        frame
    }

    /// True when the stream is new.
    fn opened(&mut self, id: StreamId, header: &[u8]) -> bool {
        let ours = id.0 % 2 == self.next.0 % 2;
        if ours || self.streams.contains_key(&id) || self.peer_highest.is_some_and(|highest| id <= highest) {
            return false;
        }
        if self.streams.len() >= limits::STREAMS_PER_LINK || header.len() > limits::STREAM_HEADER_BYTES {
            self.say_reset(id, "too many streams, or too large a header");
            return false;
        }
        self.peer_highest = Some(id);
        let mut stream = StreamState::new(None, self.window);
        stream.ack_due = true;
        self.streams.insert(id, stream);
        self.queue(id);
        true
    }

    fn take(&mut self, id: StreamId, frame: BulkFrame) -> Result<(), FlowError> {
        let Some(stream) = self.streams.get_mut(&id) else {
            // late frames of a stream that is over here; its opener may still wait for a word
            if matches!(frame, BulkFrame::Data { .. } | BulkFrame::Fin { .. }) {
                self.say_reset(id, "the stream is over");
            }
            return Ok(());
        };
        match frame {
            BulkFrame::Data { offset, bytes, .. } => {
                let new = stream.receiving.data(offset, bytes)?;
                if stream.abandoned {
                    stream.receiving.consumed(new.len() as u64);
                } else {
                    stream.unread.extend(new);
                }
                stream.wake_reader();
            }
            BulkFrame::Fin { offset, .. } => {
                stream.receiving.fin(offset)?;
                stream.wake_reader();
            }
            BulkFrame::Ack { received, limit, .. } => {
                stream.header = None;
                stream.sending.acked(received, limit)?;
                stream.wake_writer();
            }
            BulkFrame::Reset { reason, .. } => stream.break_off(&reason),
            BulkFrame::Hello(_)
            | BulkFrame::Proof(_)
            | BulkFrame::Refuse(_)
            | BulkFrame::Beat(_)
            | BulkFrame::BeatAnswer(_)
            | BulkFrame::Open { .. } => {}
        }
        self.queue(id);
        Ok(())
    }

    fn reset(&mut self, id: StreamId, reason: &str) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.reset.is_none()
        {
            stream.break_off(reason);
            self.say_reset(id, reason);
        }
    }

    /// An honest peer has no more streams than that; the others need not hear of each.
    fn say_reset(&mut self, id: StreamId, reason: &str) {
        if self.resets.len() < limits::STREAMS_PER_LINK {
            self.resets.push_back((id, reason.to_owned()));
        }
    }

    fn tidy(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(StreamState::is_over) {
            self.streams.remove(&id);
        }
    }
}

fn next_of(stream: &mut StreamState, id: StreamId) -> Option<BulkFrame> {
    if stream.reset.is_some() {
        return None;
    }
    if stream.header_due {
        stream.header_due = false;
        return stream.header.clone().map(|header| BulkFrame::Open { stream: id, header });
    }
    if let Some(ack) = ack_of(stream, id) {
        return Some(ack);
    }
    Some(match stream.sending.poll()? {
        Piece::Data { offset, bytes } => BulkFrame::Data { stream: id, offset, bytes },
        Piece::Fin { offset } => BulkFrame::Fin { stream: id, offset },
    })
}

/// The same for a way beside the main one: the peer must know the stream, and what is small waits for the main way.
fn large_of(stream: &mut StreamState, id: StreamId) -> Option<BulkFrame> {
    if stream.reset.is_some() || stream.header.is_some() {
        return None;
    }
    if let Some(ack) = ack_of(stream, id) {
        return Some(ack);
    }
    match stream.sending.poll_large(limits::STRIPE_CHUNK_BYTES)? {
        Piece::Data { offset, bytes } => Some(BulkFrame::Data { stream: id, offset, bytes }),
        Piece::Fin { .. } => None,
    }
}

fn ack_of(stream: &mut StreamState, id: StreamId) -> Option<BulkFrame> {
    let due = if stream.ack_due { Some(stream.receiving.ack()) } else { stream.receiving.poll_ack() };
    let (received, limit) = due?;
    stream.ack_due = false;
    Some(BulkFrame::Ack { stream: id, received, limit })
}

#[cfg(test)]
mod tests;
