//! One stream's half of the link: flow in both directions, who waits for it, what it has to say next.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use meshproof_proto::flow::{Piece, Receiving, Sending};
use meshproof_proto::frame::BulkFrame;
use meshproof_proto::id::StreamId;
use meshproof_proto::limits;

#[derive(Debug)]
pub(super) struct StreamState {
    pub sending: Sending,
    pub receiving: Receiving,
    /// Received and not yet read.
    pub unread: VecDeque<u8>,
    pub reset: Option<String>,
    /// Present on the side that opened the stream until the peer acknowledged anything; sent again on each new connection.
    pub header: Option<Vec<u8>>,
    pub header_due: bool,
    pub ack_due: bool,
    /// In the queue of streams that have something to send.
    pub queued: bool,
    /// The `ByteStream` was dropped; what is unacknowledged still goes out.
    pub abandoned: bool,
    pub reader: Option<Waker>,
    pub writer: Option<Waker>,
}

impl StreamState {
    pub(super) fn new(header: Option<Vec<u8>>, window: u64) -> Self {
        // the peer gives the usual credit at first, however much may be kept here
        let mut sending = Sending::new(limits::STREAM_WINDOW_BYTES);
        sending.widen(window);
        Self {
            sending,
            receiving: Receiving::new(window),
            unread: VecDeque::new(),
            reset: None,
            header_due: header.is_some(),
            header,
            ack_due: false,
            queued: false,
            abandoned: false,
            reader: None,
            writer: None,
        }
    }

    pub(super) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    pub(super) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    /// Ends both directions for whoever holds the stream.
    pub(super) fn break_off(&mut self, reason: &str) {
        self.reset.get_or_insert_with(|| reason.to_owned());
        self.wake_reader();
        self.wake_writer();
    }

    /// Nothing more will be sent, received or read.
    pub(super) fn is_over(&self) -> bool {
        let sent = self.sending.is_done();
        let acked = !self.receiving.has_news() && !self.ack_due;
        self.abandoned && (self.reset.is_some() || (sent && self.receiving.is_complete() && acked))
    }

    /// What the main way carries next of this stream; of data at most so many bytes.
    pub(super) fn next(&mut self, id: StreamId, most: usize) -> Option<BulkFrame> {
        if self.reset.is_some() {
            return None;
        }
        // the peer may have told that it knows the stream after the opening was to go again
        if std::mem::take(&mut self.header_due)
            && let Some(header) = self.header.clone()
        {
            return Some(BulkFrame::Open { stream: id, header });
        }
        if let Some(ack) = self.ack(id) {
            return Some(ack);
        }
        Some(match self.sending.poll(most)? {
            Piece::Data { offset, bytes } => BulkFrame::Data { stream: id, offset, bytes },
            Piece::Fin { offset } => BulkFrame::Fin { stream: id, offset },
        })
    }

    /// The same for a way beside the main one: the peer must know the stream, and what is small waits for the main way.
    pub(super) fn next_large(&mut self, id: StreamId, most: usize) -> Option<BulkFrame> {
        if self.reset.is_some() || self.header.is_some() {
            return None;
        }
        if let Some(ack) = self.ack(id) {
            return Some(ack);
        }
        let piece = self.sending.poll_large(limits::STRIPE_CHUNK_BYTES, most)?;
        data(id, piece)
    }

    /// What was sent before that time and is late. Only the main way, with its opening before it, may bring data of a stream
    /// that the peer does not know: on another way they would be taken for those of a stream that is over.
    pub(super) fn next_late(&mut self, id: StreamId, before: Instant, most: usize) -> Option<BulkFrame> {
        if self.reset.is_some() || self.header.is_some() {
            return None;
        }
        data(id, self.sending.poll_again(before, most)?)
    }

    fn ack(&mut self, id: StreamId) -> Option<BulkFrame> {
        let due = if self.ack_due { Some(self.receiving.ack()) } else { self.receiving.poll_ack() };
        let (received, limit) = due?;
        self.ack_due = false;
        Some(BulkFrame::Ack { stream: id, received, limit })
    }
}

fn data(stream: StreamId, piece: Piece) -> Option<BulkFrame> {
    match piece {
        Piece::Data { offset, bytes } => Some(BulkFrame::Data { stream, offset, bytes }),
        Piece::Fin { .. } => None,
    }
}
