//! The receiving half of a stream: hands bytes on in order, whatever order they come in, and says what it has.

use std::collections::BTreeMap;

use super::FlowError;
use crate::limits;

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

    /// Pieces that wait for what is missing before them.
    #[cfg(test)]
    pub(super) fn gaps(&self) -> usize {
        self.ahead.len()
    }

    fn limit(&self) -> u64 {
        self.consumed + self.window
    }
}
