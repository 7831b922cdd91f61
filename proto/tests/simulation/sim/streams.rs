//! One byte stream over a link, both of its halves, and a god's eye on them.

use crate::flow::{FlowError, Piece, Receiving, Sending};

use super::check::{Broken, Check, hold};
use super::luck::Luck;
use super::wire::Frame;

/// A stream from one holder of a link to the other.
#[derive(Debug)]
pub struct Stream {
    number: usize,
    pub from: usize,
    pub to: usize,
    sending: Sending,
    receiving: Receiving,
    window: u64,
    size: u64,
    written: u64,
    /// The most that any connection was given, and whether the end was among it.
    sent: u64,
    fin_sent: bool,
    /// What the present connection was given.
    given: u64,
    /// The most that an acknowledgement which arrived allowed, and confirmed.
    granted: u64,
    confirmed: u64,
    got: u64,
    fin_got: bool,
    read: u64,
    /// How many acknowledgements arrived, and one that did a while ago.
    acks: u64,
    old_ack: (u64, u64),
    /// The last acknowledgement that was made.
    told: (u64, u64),
    pub ack_due: bool,
    /// The link was lost, left, or its peer died: nothing is promised any more.
    pub reset: bool,
}

impl Stream {
    pub fn new(number: usize, from: usize, to: usize, luck: &mut Luck) -> Self {
        let window = 64 << luck.below(6);
        Self {
            number,
            from,
            to,
            sending: Sending::new(window),
            receiving: Receiving::new(window),
            window,
            size: luck.below(6 * window),
            written: 0,
            sent: 0,
            fin_sent: false,
            given: 0,
            granted: window,
            confirmed: 0,
            got: 0,
            fin_got: false,
            read: 0,
            acks: 0,
            old_ack: (0, 0),
            told: (0, 0),
            ack_due: false,
            reset: false,
        }
    }

    fn byte(&self, at: u64) -> u8 {
        (at.wrapping_mul(31).wrapping_add(self.number as u64 * 7) % 251) as u8
    }

    /// Everything was written, read, and acknowledged.
    pub fn is_done(&self) -> bool {
        self.reset || (self.sending.is_done() && self.fin_got && self.read == self.size)
    }

    /// What is left, for people.
    pub fn progress(&self) -> String {
        let Self { size, written, sent, got, read, .. } = self;
        let done = self.sending.is_done();
        format!("{size} bytes: {written} written, {sent} sent, {got} received, {read} read, end {done}")
    }

    /// The writer writes and the reader reads, as they like.
    pub fn works(&mut self, luck: &mut Luck) -> Check {
        if self.written < self.size {
            let most = (self.sending.room() as u64).min(self.size - self.written);
            let upto = self.written + luck.below(most + 1);
            let bytes: Vec<u8> = (self.written..upto).map(|at| self.byte(at)).collect();
            self.sending.write(&bytes);
            self.written = upto;
        }
        if self.written == self.size && !self.sending.is_finished() && luck.chance(500) {
            self.sending.finish();
        }
        let bytes = luck.below(self.got - self.read + 1);
        if bytes > 0 {
            self.read += bytes;
            self.receiving.consumed(bytes);
        }
        self.holds_no_more_than_it_may()
    }

    /// The peer is not honest for once: nothing that it says may have an effect.
    pub fn hears_lies(&mut self, luck: &mut Luck) -> Check {
        let ahead = if self.fin_sent { self.size + 2 } else { self.sent + 1 };
        let lie = self.sending.acked(ahead + luck.below(3), u64::MAX);
        let refused = matches!(lie, Err(FlowError::AckAhead(_)));
        hold!(refused, "a liar is refused", "acknowledged ahead of {ahead}: {lie:?}, {}", self.progress());
        let limit = self.read + self.window;
        let lies = [(self.got, limit + 1 + luck.below(3) - self.got), (limit + luck.below(3), 1)];
        for (offset, length) in lies {
            let told = self.receiving.data(offset, vec![0; length as usize]);
            hold!(told.is_err(), "a liar is refused", "{length} bytes at {offset} taken, {}", self.progress());
        }
        let end = self.receiving.fin(limit + 1);
        hold!(end.is_err(), "a liar is refused", "an end at {} taken at {}", limit + 1, self.got);
        self.holds_no_more_than_it_may()
    }

    fn holds_no_more_than_it_may(&self) -> Check {
        let kept = self.sending.unacked();
        hold!(kept <= self.window, "memory is bounded", "{kept} kept of {}", self.window);
        let expected = self.written - self.confirmed.min(self.written);
        hold!(kept == expected, "what is unacknowledged is kept", "{kept}, not {expected}, {}", self.progress());
        let unread = self.got - self.read;
        hold!(unread <= self.window, "memory is bounded", "{unread} unread of {}", self.window);
        let done = self.sending.is_done();
        hold!(!done || self.fin_got, "done is done", "acknowledged without its end, {}", self.progress());
        Ok(())
    }

    /// A new connection carries the half of the stream that `half` holds.
    pub fn rewinds(&mut self, half: usize) {
        if self.from == half {
            self.sending.rewind();
            self.given = self.confirmed.min(self.size);
        }
        if self.to == half {
            self.ack_due = true;
        }
    }

    /// A heartbeat came to that half: what the sender does not know yet is told.
    pub fn flushes(&mut self, half: usize) {
        if self.to == half && self.receiving.has_news() {
            self.ack_due = true;
        }
    }

    /// What that half sends next.
    pub fn next_frame(&mut self, half: usize) -> Result<Option<Frame>, Broken> {
        if self.reset {
            return Ok(None);
        }
        if self.to == half {
            return self.next_ack();
        }
        let piece = self.sending.poll();
        match piece {
            None => {
                let may = self.written.min(self.granted);
                hold!(self.given >= may, "credit is used", "given {} of {may}, {}", self.given, self.progress());
                Ok(None)
            }
            Some(Piece::Data { offset, bytes }) => {
                let end = offset + bytes.len() as u64;
                let granted = self.granted;
                hold!(end <= granted, "credit is kept to", "sent up to {end}, granted {granted}");
                self.sent = self.sent.max(end);
                self.given = end;
                Ok(Some(Frame::Data { stream: self.number, offset, bytes }))
            }
            Some(Piece::Fin { offset }) => {
                let size = self.size;
                hold!(offset == size, "bytes are exact", "the end at {offset} of {size}");
                self.fin_sent = true;
                Ok(Some(Frame::Fin { stream: self.number, offset }))
            }
        }
    }

    fn next_ack(&mut self) -> Result<Option<Frame>, Broken> {
        let due = if self.ack_due { Some(self.receiving.ack()) } else { self.receiving.poll_ack() };
        let Some((received, limit)) = due else { return Ok(None) };
        self.ack_due = false;
        let told = self.told;
        let rises = received >= told.0 && limit >= told.1;
        hold!(rises, "acknowledgements rise", "{received}, {limit} after {told:?}");
        let (has, takes) = (self.got + u64::from(self.fin_got), self.read + self.window);
        let honest = (received, limit) == (has, takes);
        hold!(honest, "acknowledgements are true", "{received}, {limit}: has {has}, takes {takes}");
        self.told = (received, limit);
        Ok(Some(Frame::Ack { stream: self.number, received, limit }))
    }

    /// Bytes came.
    pub fn data(&mut self, offset: u64, bytes: Vec<u8>) -> Check {
        let new = self.receiving.data(offset, bytes).map_err(|error| self.refused(&error))?;
        for byte in new {
            let (at, expected) = (self.got, self.byte(self.got));
            hold!(at < self.size && byte == expected, "bytes are exact", "{byte} at {at}, {}", self.progress());
            self.got += 1;
        }
        self.holds_no_more_than_it_may()
    }

    /// The end came.
    pub fn fin(&mut self, offset: u64) -> Check {
        let new = self.receiving.fin(offset).map_err(|error| self.refused(&error))?;
        hold!(new != self.fin_got, "the end comes once", "new {new}, {}", self.progress());
        hold!(self.got == self.size, "bytes are exact", "ended, {}", self.progress());
        self.fin_got = true;
        Ok(())
    }

    /// An acknowledgement came; now and then an older one follows it, as over a slower way.
    pub fn ack(&mut self, received: u64, limit: u64) -> Check {
        self.acked(received, limit)?;
        self.acks += 1;
        if self.acks.is_multiple_of(4) {
            let (received, limit) = std::mem::replace(&mut self.old_ack, (received, limit));
            self.acked(received, limit)?;
        }
        Ok(())
    }

    fn acked(&mut self, received: u64, limit: u64) -> Check {
        self.sending.acked(received, limit).map_err(|error| self.refused(&error))?;
        self.granted = self.granted.max(limit);
        self.confirmed = self.confirmed.max(received);
        self.given = self.given.max(received.min(self.size));
        self.holds_no_more_than_it_may()
    }

    fn refused(&self, error: &FlowError) -> Broken {
        Broken { invariant: "the honest are believed", seen: format!("{error}, {}", self.progress()) }
    }
}
