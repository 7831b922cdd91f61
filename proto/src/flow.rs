//! One byte stream of a link, without the link: what is sent, what is acknowledged, what may still be sent.
//!
//! A stream belongs to the link and outlives the connections that carry it. Its sender keeps every byte until the receiver
//! acknowledged it and, when a connection that carried the stream is lost, sends again from the last acknowledged offset. The
//! receiver drops what it already has. So a replaced connection is a pause and nothing else.
//!
//! Several connections may carry one stream at once (*stripes*), each in its own order, so pieces come out of order. The
//! receiver keeps those that are ahead, within the credit that it gave, and hands bytes on in order.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::limits;

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

/// What the sender puts on the wire next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Data { offset: u64, bytes: Vec<u8> },
    Fin { offset: u64 },
}

/// The other side broke the rules of the stream; the stream is reset.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FlowError {
    #[error("bytes up to {got} were sent, {limit} were allowed")]
    OverCredit { got: u64, limit: u64 },
    #[error("more than {limit} gaps between the bytes that came", limit = limits::STREAM_GAPS)]
    TooManyGaps,
    #[error("{0} bytes were acknowledged that were never sent")]
    AckAhead(u64),
    #[error("bytes follow the end of the stream")]
    AfterFin,
    #[error("the end of the stream is at {before}, and now at {now}")]
    OtherEnd { before: u64, now: u64 },
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

    /// What goes on the wire next, if credit allows.
    pub fn poll(&mut self) -> Option<Piece> {
        if let Some(piece) = self.poll_large(1) {
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

    /// Data that goes on the wire next, if credit allows and there are at least so many bytes of it.
    pub fn poll_large(&mut self, least: u64) -> Option<Piece> {
        let end = self.acked + self.kept.len() as u64;
        let upto = end.min(self.limit).min(self.sent + limits::STREAM_CHUNK_BYTES as u64);
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
    pub fn poll_again(&mut self, before: Instant) -> Option<Piece> {
        let from = self.again.max(self.acked);
        let (marked, _) = self.marks.iter().find(|(upto, at)| *upto > from && *at < before)?;
        let upto = (*marked).min(self.sent).min(from + limits::STREAM_CHUNK_BYTES as u64);
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

/// The receiving half: hands bytes on in order and says what it has.
#[derive(Debug)]
pub struct Receiving {
    window: u64,
    received: u64,
    consumed: u64,
    told: u64,
    /// Pieces behind gaps, by offset. They touch neither each other nor what was received.
    ahead: BTreeMap<u64, Vec<u8>>,
    end: Option<u64>,
    end_told: bool,
}

impl Receiving {
    /// A stream that promised to take `window` bytes unread.
    pub fn new(window: u64) -> Self {
        Self { window, received: 0, consumed: 0, told: 0, ahead: BTreeMap::new(), end: None, end_told: false }
    }

    /// From now on takes that many bytes unread; the sender hears of it with the next acknowledgement. Never fewer than before:
    /// credit that was given is not taken back.
    pub fn widen(&mut self, window: u64) {
        self.window = self.window.max(window);
    }

    /// Bytes came; gives those that are new and in order now.
    pub fn data(&mut self, offset: u64, mut bytes: Vec<u8>) -> Result<Vec<u8>, FlowError> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end <= self.received || bytes.is_empty() {
            return Ok(Vec::new());
        }
        if self.end.is_some_and(|last| end > last) {
            return Err(FlowError::AfterFin);
        }
        if end > self.limit() {
            return Err(FlowError::OverCredit { got: end, limit: self.limit() });
        }
        if offset > self.received {
            self.keep(offset, bytes)?;
            return Ok(Vec::new());
        }
        bytes.drain(..(self.received - offset) as usize);
        self.received = end;
        self.close_gaps(&mut bytes);
        Ok(bytes)
    }

    /// Puts what follows without a gap behind the bytes.
    fn close_gaps(&mut self, bytes: &mut Vec<u8>) {
        while let Some(next) = self.ahead.first_entry().filter(|next| *next.key() <= self.received) {
            let (offset, piece) = next.remove_entry();
            let known = ((self.received - offset) as usize).min(piece.len());
            bytes.extend_from_slice(&piece[known..]);
            self.received += (piece.len() - known) as u64;
        }
    }

    /// Keeps a piece behind a gap, in one with the pieces that it touches.
    fn keep(&mut self, mut offset: u64, mut bytes: Vec<u8>) -> Result<(), FlowError> {
        if let Some((before, piece)) = self.ahead.range_mut(..=offset).next_back() {
            let reaches = *before + piece.len() as u64;
            if reaches >= offset + bytes.len() as u64 {
                return Ok(());
            }
            if reaches >= offset {
                let mut joined = std::mem::take(piece);
                joined.extend_from_slice(&bytes[(reaches - offset) as usize..]);
                (offset, bytes) = (*before, joined);
            }
        }
        let end = offset + bytes.len() as u64;
        while let Some((after, piece)) = self.ahead.range_mut(offset + 1..=end).next() {
            let (after, piece) = (*after, std::mem::take(piece));
            self.ahead.remove(&after);
            let known = (offset + bytes.len() as u64 - after) as usize;
            bytes.extend_from_slice(piece.get(known..).unwrap_or_default());
        }
        self.ahead.insert(offset, bytes);
        if self.ahead.len() > limits::STREAM_GAPS { Err(FlowError::TooManyGaps) } else { Ok(()) }
    }

    /// It became known where the stream ends. True when that is new.
    pub fn fin(&mut self, offset: u64) -> Result<bool, FlowError> {
        if let Some(before) = self.end {
            self.end_told = false;
            return if before == offset { Ok(false) } else { Err(FlowError::OtherEnd { before, now: offset }) };
        }
        let ahead = self.ahead.last_key_value().map(|(offset, piece)| offset + piece.len() as u64);
        if offset < ahead.unwrap_or(self.received) {
            return Err(FlowError::AfterFin);
        }
        if offset > self.limit() {
            return Err(FlowError::OverCredit { got: offset, limit: self.limit() });
        }
        self.end = Some(offset);
        Ok(true)
    }

    /// Every byte came.
    pub fn is_complete(&self) -> bool {
        self.end == Some(self.received)
    }

    /// The reader took bytes, so as many may come again.
    pub fn consumed(&mut self, bytes: u64) {
        self.consumed += bytes;
    }

    /// The acknowledgement that is due: at the end, and whenever a quarter of the window was freed or received.
    pub fn poll_ack(&mut self) -> Option<(u64, u64)> {
        let quarter = self.window / 4;
        let due = self.received + self.consumed >= self.told + quarter;
        if due || (self.is_complete() && !self.end_told) {
            return Some(self.ack());
        }
        None
    }

    /// The acknowledgement as it stands, due or not: sent after a pause and on a new connection.
    pub fn ack(&mut self) -> (u64, u64) {
        self.told = self.received + self.consumed;
        self.end_told = self.is_complete();
        (self.received + u64::from(self.is_complete()), self.limit())
    }

    /// Whether the sender knows less than there is to know.
    pub fn has_news(&self) -> bool {
        self.told < self.received + self.consumed || self.is_complete() != self.end_told
    }

    fn limit(&self) -> u64 {
        self.consumed + self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    const WINDOW: u64 = 64 * 1024;

    #[test]
    fn bytes_arrive_once_and_in_order_however_often_the_connection_is_replaced() {
        for seed in 0..200 {
            survives(seed);
        }
    }

    /// Random writes, losses of everything in flight, and slow reading; the seed is in the panic message.
    fn survives(seed: u64) {
        let mut luck = Seed::new(seed);
        let total = luck.below(3 * WINDOW);
        let source: Vec<u8> = (0..total).map(|i| (i * 31 % 251) as u8).collect();
        let (mut out, mut into) = (Sending::new(WINDOW), Receiving::new(WINDOW));
        let (mut written, mut seen, mut unread) = (0, Vec::new(), 0);
        for _round in 0..10_000 {
            let piece = out.room().min(source.len() - written).min(luck.below(20_000) as usize);
            out.write(&source[written..written + piece]);
            written += piece;
            if written == source.len() {
                out.finish();
            }
            if luck.below(10) == 0 {
                while out.poll().is_some() {}
                out.rewind();
                let (received, limit) = into.ack();
                out.acked(received, limit).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            }
            while let Some(piece) = out.poll() {
                match piece {
                    Piece::Data { offset, bytes } => {
                        let new = into.data(offset, bytes).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
                        unread += new.len() as u64;
                        seen.extend(new);
                    }
                    Piece::Fin { offset } => {
                        into.fin(offset).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
                    }
                }
            }
            let read = luck.below(unread + 1);
            into.consumed(read);
            unread -= read;
            if luck.below(3) == 0 && into.has_news() {
                let (received, limit) = into.ack();
                out.acked(received, limit).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            }
            if out.is_done() {
                assert!(seen == source, "seed {seed}: the bytes differ");
                return;
            }
        }
        panic!("seed {seed}: never done, {} unacked", out.unacked());
    }

    #[test]
    fn a_sender_that_ignores_its_credit_is_found_out() {
        let mut into = Receiving::new(WINDOW);
        let too_much = vec![0; WINDOW as usize + 1];
        assert!(matches!(into.data(0, too_much), Err(FlowError::OverCredit { .. })));
        assert!(matches!(into.fin(WINDOW + 1), Err(FlowError::OverCredit { .. })));
    }

    #[test]
    fn pieces_in_any_order_with_any_overlap_become_the_same_bytes() {
        for seed in 0..500 {
            let mut luck = Seed::new(seed);
            let total = 1 + luck.below(3_000);
            let byte = |at: u64| (at * 31 % 251) as u8;
            let mut into = Receiving::new(WINDOW);
            let (mut seen, mut ended) = (Vec::new(), false);
            while !into.is_complete() {
                let from = luck.below(total);
                let upto = (from + 1 + luck.below(200)).min(total);
                let piece = (from..upto).map(byte).collect();
                seen.extend(into.data(from, piece).unwrap_or_else(|e| panic!("seed {seed}: {e}")));
                if luck.below(20) == 0 {
                    assert_eq!(into.fin(total), Ok(!ended), "seed {seed}");
                    ended = true;
                }
            }
            assert!(seen == (0..total).map(byte).collect::<Vec<_>>(), "seed {seed}: the bytes differ");
            assert!(into.ahead.is_empty(), "seed {seed}: {} pieces left", into.ahead.len());
        }
    }

    #[test]
    fn what_is_late_goes_a_second_time_and_no_more() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut out = Sending::new(WINDOW);
        out.write(&[1; 3_000]);
        assert!(matches!(out.poll(), Some(Piece::Data { offset: 0, .. })));
        out.mark(at(0));
        out.write(&[2; 500]);
        assert!(matches!(out.poll(), Some(Piece::Data { offset: 3_000, .. })));
        out.mark(at(100));
        out.acked(1_000, WINDOW).expect("true");
        assert_eq!(out.poll_again(at(0)), None, "nothing is late yet");
        let late = Piece::Data { offset: 1_000, bytes: vec![1; 2_000] };
        assert_eq!(out.poll_again(at(50)), Some(late), "what is acknowledged need not go again");
        assert_eq!(out.poll_again(at(50)), None, "once is enough");
        assert_eq!(out.poll_again(at(101)), Some(Piece::Data { offset: 3_000, bytes: vec![2; 500] }));
        out.rewind();
        assert_eq!(out.poll_again(at(1_000)), None, "a new connection carries it first");
        assert!(matches!(out.poll(), Some(Piece::Data { offset: 1_000, .. })));
    }

    #[test]
    fn what_lies_beyond_the_end_or_moves_it_is_refused() {
        let mut into = Receiving::new(WINDOW);
        into.data(10, vec![0; 5]).expect("ahead");
        assert_eq!(into.fin(12), Err(FlowError::AfterFin));
        assert_eq!(into.fin(20), Ok(true));
        assert_eq!(into.fin(21), Err(FlowError::OtherEnd { before: 20, now: 21 }));
        assert_eq!(into.data(20, vec![1]), Err(FlowError::AfterFin));
    }

    #[test]
    fn a_sender_of_crumbs_with_gaps_between_them_is_refused() {
        let mut into = Receiving::new(WINDOW);
        let crumbs = (0..=limits::STREAM_GAPS as u64).map(|n| into.data(1 + 2 * n, vec![0]));
        assert_eq!(crumbs.last(), Some(Err(FlowError::TooManyGaps)));
    }

    #[test]
    fn an_acknowledgement_of_bytes_never_sent_is_refused() {
        let mut out = Sending::new(10);
        out.write(b"abc");
        assert_eq!(out.acked(2, 10), Err(FlowError::AckAhead(2)));
    }
}
