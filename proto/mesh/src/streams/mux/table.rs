//! What the streams of a link have to say, and whose turn it is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::flow::FlowError;
use meshproof_proto::frame::BulkFrame;
use meshproof_proto::id::StreamId;
use meshproof_proto::limits;
use meshproof_proto::ways::{Change, Load, Way, Ways};
use tokio::sync::Notify;

use crate::limits::STREAMS_LOOKED_AT;
use crate::streams::state::StreamState;

#[derive(Debug)]
pub(super) struct Table {
    streams: BTreeMap<StreamId, StreamState>,
    ways: Ways,
    wakers: BTreeMap<Way, Arc<Notify>>,
    /// Of each stream, both ways.
    window: u64,
    /// How long the path is; measured where it is long.
    round_trip: Option<Duration>,
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

impl Table {
    /// A table whose own streams have every second number from `next` on.
    pub(super) fn new(next: StreamId) -> Self {
        Self {
            streams: BTreeMap::new(),
            ways: Ways::default(),
            wakers: BTreeMap::new(),
            window: limits::STREAM_WINDOW_BYTES,
            round_trip: None,
            turn: VecDeque::new(),
            resets: VecDeque::new(),
            resets_sent: VecDeque::new(),
            next,
            peer_highest: None,
        }
    }

    /// A stream of our own; `None` when there are as many as may be.
    pub(super) fn open(&mut self, header: Vec<u8>) -> Option<StreamId> {
        if self.streams.len() >= limits::STREAMS_PER_LINK || header.len() > limits::STREAM_HEADER_BYTES {
            return None;
        }
        let id = self.next;
        self.next = StreamId(id.0 + 2);
        let stream = StreamState::new(Some(header), self.window);
        self.streams.insert(id, stream);
        self.queue(id);
        self.wake();
        Some(id)
    }

    pub(super) fn queued(&self) -> (usize, u64) {
        (self.streams.len(), self.streams.values().map(|stream| stream.sending.unacked()).sum())
    }

    /// Bytes that wait for their readers.
    #[cfg(test)]
    pub(super) fn unread(&self) -> usize {
        self.streams.values().map(|stream| stream.unread.len()).sum()
    }

    pub(super) fn ways(&self) -> usize {
        self.ways.count()
    }

    pub(super) fn round_trip_of_stripes(&self) -> Option<Duration> {
        self.round_trip.filter(|_| self.ways.count() > 1)
    }

    pub(super) fn note_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = Some(round_trip);
    }

    /// The next frame for that way, with so many bytes of data at most. The time is asked for only where there are stripes.
    pub(super) fn next(&mut self, way: Way, most: usize, now: impl FnOnce() -> Instant) -> Option<BulkFrame> {
        let frame = match self.ways.load(way) {
            Load::Nothing => None,
            Load::Large => self.next_large(most),
            Load::Everything => self.next_of_all(most),
        };
        match self.ways.count() {
            0 | 1 => frame,
            _ => self.striped(frame, most, now()),
        }
    }

    pub(super) fn attach(&mut self, way: Way) {
        self.wakers.retain(|waiting, _| waiting.stripe != way.stripe || waiting.generation >= way.generation);
        let change = self.ways.attach(way);
        if self.ways.count() > 1 {
            self.widen();
        }
        self.heed(change);
    }

    pub(super) fn change_ways(&mut self, change: impl FnOnce(&mut Ways) -> Change) {
        let change = change(&mut self.ways);
        self.heed(change);
    }

    pub(super) fn flush_acks(&mut self) {
        let news: Vec<StreamId> =
            self.streams.iter().filter(|(_, stream)| stream.receiving.has_news()).map(|(id, _)| *id).collect();
        for id in news {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.ack_due = true;
            }
            self.queue(id);
        }
        self.wake();
    }

    pub(super) fn reset_all(&mut self, reason: &str) {
        // one that stood still all the while has not lost the link, and would read from these for ever
        let broken = self.streams.iter_mut().filter(|(_, stream)| stream.reset.is_none());
        let broken: Vec<StreamId> = broken.map(|(id, _)| *id).collect();
        for id in broken {
            self.break_off(id, reason);
        }
        self.streams.retain(|_, stream| !stream.abandoned);
    }

    /// A frame of a stream that may be there. What breaks the stream's rules resets it.
    pub(super) fn frame(&mut self, id: StreamId, frame: BulkFrame) {
        if let Err(error) = self.take(id, frame) {
            self.break_off(id, &error.to_string());
        }
        self.tidy(id);
        self.wake();
    }

    /// Runs `act` on a stream, then sends what came of it.
    pub(super) fn with<T>(&mut self, id: StreamId, act: impl FnOnce(&mut StreamState) -> T) -> Option<T> {
        let result = act(self.streams.get_mut(&id)?);
        self.queue(id);
        self.tidy(id);
        self.wake();
        Some(result)
    }

    /// Breaks a stream off; the peer hears the reason.
    pub(super) fn reset(&mut self, id: StreamId, reason: &str) {
        self.break_off(id, reason);
        self.wake();
    }

    /// What wakes that way, whether it is up already or not yet.
    pub(super) fn waker(&mut self, way: Way) -> Arc<Notify> {
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

    fn next_of_all(&mut self, most: usize) -> Option<BulkFrame> {
        if let Some((stream, reason)) = self.resets.pop_front() {
            self.remember_reset(stream, &reason);
            return Some(BulkFrame::Reset { stream, reason });
        }
        while let Some(id) = self.turn.pop_front() {
            if let Some(frame) = self.frame_of(id, most) {
                return Some(frame);
            }
        }
        None
    }

    /// What a way beside the main one may carry. Streams keep their place in line.
    fn next_large(&mut self, most: usize) -> Option<BulkFrame> {
        let ids = self.turn.iter().take(STREAMS_LOOKED_AT);
        ids.copied().find_map(|id| self.streams.get_mut(&id).and_then(|stream| stream.next_large(id, most)))
    }

    /// Remembers when data went out; a way that has nothing to send takes over what is late on another.
    fn striped(&mut self, frame: Option<BulkFrame>, most: usize, now: Instant) -> Option<BulkFrame> {
        match &frame {
            Some(BulkFrame::Data { stream, .. }) => {
                if let Some(stream) = self.streams.get_mut(stream) {
                    stream.sending.mark(now);
                }
                frame
            }
            Some(_) => frame,
            None => {
                let late_after = self.round_trip.map_or(limits::LINK_LOST, |path| path * limits::LATE_ROUND_TRIPS);
                let before = now.checked_sub(late_after)?;
                let mut streams = self.streams.iter_mut().take(STREAMS_LOOKED_AT);
                streams.find_map(|(id, stream)| stream.next_late(*id, before, most))
            }
        }
    }

    /// Whether a way with nothing to send may have something late to take over soon.
    pub(super) fn may_be_late(&self) -> bool {
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
    fn frame_of(&mut self, id: StreamId, most: usize) -> Option<BulkFrame> {
        let stream = self.streams.get_mut(&id)?;
        stream.queued = false;
        let frame = stream.next(id, most);
        if frame.is_some() {
            self.queue(id);
        } else {
            self.tidy(id);
        }
        frame
    }

    /// True when the stream is new.
    pub(super) fn opened(&mut self, id: StreamId, header: &[u8]) -> bool {
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

    fn break_off(&mut self, id: StreamId, reason: &str) {
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
