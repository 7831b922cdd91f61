//! The sending half of a stream: keeps every byte until it is acknowledged.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{FlowError, Piece};

/// How exactly it is remembered when bytes were sent.
const MARK_EVERY: Duration = Duration::from_millis(10);

/// The sending half.
#[derive(Debug)]
pub struct Sending {
    window: u64,
    /// Everything from `acked` on, in order.
    kept: VecDeque<u8>,
    acked: u64,
    /// What the present connection was given.
    sent: u64,
    /// What any connection was given: acknowledgements of former ones still count.
    ever_sent: u64,
    limit: u64,
    /// When the bytes below an offset were sent, oldest first; only on a striped link.
    marks: VecDeque<(u64, Instant)>,
    /// What was sent a second time because the first was late.
    again: u64,
    finished: bool,
    fin_sent: bool,
    fin_ever_sent: bool,
    fin_acked: bool,
}

impl Sending {
    /// A stream whose receiver takes `window` bytes at first; as many are kept here at most.
    pub fn new(window: u64) -> Self {
        Self {
            window,
            kept: VecDeque::new(),
            acked: 0,
            sent: 0,
            ever_sent: 0,
            limit: window,
            marks: VecDeque::new(),
            again: 0,
            finished: false,
            fin_sent: false,
            fin_ever_sent: false,
            fin_acked: false,
        }
    }

    /// From now on as many bytes may be kept. Never fewer than before.
    pub fn widen(&mut self, window: u64) {
        self.window = self.window.max(window);
    }

    /// Bytes that may be written now without holding more than a window.
    pub fn room(&self) -> usize {
        if self.finished { 0 } else { (self.window as usize).saturating_sub(self.kept.len()) }
    }

    /// Takes bytes to send; the caller kept to [`Sending::room`].
    pub fn write(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.room(), "writers ask for room first");
        self.kept.extend(bytes);
    }

    /// No more bytes will be written.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// What goes on the wire next, if credit allows: of data at most so many bytes.
    pub fn poll(&mut self, most: usize) -> Option<Piece> {
        if let Some(piece) = self.poll_large(1, most) {
            return Some(piece);
        }
        let end = self.acked + self.kept.len() as u64;
        if self.finished && self.sent == end && !self.fin_sent {
            self.fin_sent = true;
            self.fin_ever_sent = true;
            return Some(Piece::Fin { offset: end });
        }
        None
    }

    /// Data that goes on the wire next, if credit allows and there are at least so many bytes of it; at most so many.
    pub fn poll_large(&mut self, least: u64, most: usize) -> Option<Piece> {
        let end = self.acked + self.kept.len() as u64;
        let upto = end.min(self.limit).min(self.sent + most as u64);
        if upto < self.sent + least {
            return None;
        }
        let bytes = self.copy((self.sent - self.acked) as usize, (upto - self.acked) as usize);
        let offset = self.sent;
        self.sent = upto;
        self.ever_sent = self.ever_sent.max(upto);
        Some(Piece::Data { offset, bytes })
    }

    /// Notes that what was sent so far was sent by now.
    pub fn mark(&mut self, now: Instant) {
        match self.marks.back_mut() {
            Some((upto, at)) if now < *at + MARK_EVERY => *upto = self.sent,
            _ => self.marks.push_back((self.sent, now)),
        }
    }

    /// The oldest bytes that were sent before that time and are neither acknowledged nor sent a second time. A stripe that has
    /// nothing else to do takes them over from a slower one, for which everybody would wait; the receiver drops one copy.
    pub fn poll_again(&mut self, before: Instant, most: usize) -> Option<Piece> {
        let from = self.again.max(self.acked);
        let (marked, _) = self.marks.iter().find(|(upto, at)| *upto > from && *at < before)?;
        let upto = (*marked).min(self.sent).min(from + most as u64);
        if upto <= from {
            return None;
        }
        self.again = upto;
        let bytes = self.copy((from - self.acked) as usize, (upto - self.acked) as usize);
        Some(Piece::Data { offset: from, bytes })
    }

    fn copy(&self, from: usize, upto: usize) -> Vec<u8> {
        let (front, back) = self.kept.as_slices();
        let cut = front.len();
        let mut bytes = front[from.min(cut)..upto.min(cut)].to_vec();
        bytes.extend_from_slice(&back[from.saturating_sub(cut)..upto.saturating_sub(cut)]);
        bytes
    }

    /// The receiver has everything below `received`, and takes bytes up to `limit`. After the end, `received` counts the end as one more.
    pub fn acked(&mut self, received: u64, limit: u64) -> Result<(), FlowError> {
        let end = self.acked + self.kept.len() as u64;
        let fin = self.fin_ever_sent && received == end + 1;
        let bytes = if fin { end } else { received };
        if bytes > self.ever_sent {
            return Err(FlowError::AckAhead(bytes - self.ever_sent));
        }
        if bytes > self.acked {
            self.kept.drain(..(bytes - self.acked) as usize);
            self.acked = bytes;
            self.sent = self.sent.max(bytes);
            while self.marks.front().is_some_and(|(upto, _)| *upto <= bytes) {
                self.marks.pop_front();
            }
        }
        self.fin_acked |= fin;
        self.fin_sent |= fin;
        self.limit = self.limit.max(limit);
        Ok(())
    }

    /// A connection that carried the stream is lost, or a new one does: everything unacknowledged goes again.
    pub fn rewind(&mut self) {
        self.sent = self.acked;
        self.marks.clear();
        self.again = self.acked;
        self.fin_sent = self.fin_acked;
    }

    /// Nothing more will be written.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Every byte and the end are acknowledged.
    pub fn is_done(&self) -> bool {
        self.fin_acked
    }

    /// Bytes written and not yet acknowledged.
    pub fn unacked(&self) -> u64 {
        self.kept.len() as u64
    }
}
