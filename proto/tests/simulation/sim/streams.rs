//! One byte stream over a link, both of its halves, and a god's eye on them.

use crate::flow::{FlowError, Piece, Receiving, Sending};

use crate::limits;
use crate::ways::Load;

use super::check::{Broken, Check, hold};
use super::luck::Luck;
use super::wire::Frame;

/// The widest window that a stream begins with.
const WIDE: u64 = 2048;

/// A stream from one holder of a link to the other.
#[derive(Debug)]
pub struct Stream {
    number: usize,
    pub from: usize,
    pub to: usize,
    sending: Sending,
    receiving: Receiving,
    window: u64,
    /// The least that a way beside the main one takes of it.
    least: u64,
    size: u64,
    /// Its holder opened it; below: the opening must be sent, the peer has it, the opener knows that.
    pub begun: bool,
    opening_due: bool,
    opened: bool,
    opening_known: bool,
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
    /// The bytes that came, in whatever order, and whether the end did.
    came: Vec<bool>,
    /// How many bytes came, and up to where.
    came_count: u64,
    came_upto: u64,
    fin_came: bool,
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
        let size = luck.below(6 * window);
        Self {
            number,
            from,
            to,
            sending: Sending::new(window),
            receiving: Receiving::new(window),
            window,
            least: 1 + luck.below(window / 4),
            size,
            begun: false,
            opening_due: true,
            opened: false,
            opening_known: false,
            written: 0,
            sent: 0,
            fin_sent: false,
            given: 0,
            granted: window,
            confirmed: 0,
            got: 0,
            came: vec![false; size as usize],
            came_count: 0,
            came_upto: 0,
            fin_came: false,
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
        self.reset || (self.sending.is_done() && self.is_complete() && self.read == self.size)
    }

    /// Every byte came and was handed on, and the end came.
    fn is_complete(&self) -> bool {
        self.fin_came && self.got == self.size
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

    /// The peer is not honest for once: nothing that it says may have an effect. (A wrong byte that is new and within the
    /// credit cannot be told from a right one; nobody tells such lies here.)
    pub fn hears_lies(&mut self, luck: &mut Luck) -> Check {
        let ahead = if self.fin_sent { self.size + 2 } else { self.sent + 1 };
        let lie = self.sending.acked(ahead + luck.below(3), u64::MAX);
        let refused = matches!(lie, Err(FlowError::AckAhead(_)));
        hold!(refused, "a liar is refused", "acknowledged ahead of {ahead}: {lie:?}, {}", self.progress());
        self.hears_too_much(luck)?;
        self.hears_of_another_end(luck)?;
        self.hears_again(luck)?;
        if luck.chance(20) {
            self.hears_crumbs()?;
        }
        self.holds_no_more_than_it_may()
    }

    /// Bytes and an end beyond the credit, next to what came or ahead of it.
    fn hears_too_much(&mut self, luck: &mut Luck) -> Check {
        let limit = self.read + self.window;
        let ahead = luck.below(limit + 1 - self.got);
        let starts =
            [(self.got, limit + 1 + luck.below(3)), (limit + luck.below(3), limit + 4), (self.got + ahead, limit + 1)];
        for (offset, upto) in starts {
            let length = upto - offset;
            let told = self.receiving.data(offset, vec![0; length as usize]);
            hold!(told.is_err(), "a liar is refused", "{length} bytes at {offset} taken, {}", self.progress());
        }
        let end = self.receiving.fin(limit + 1);
        hold!(end.is_err(), "a liar is refused", "an end at {} taken at {}", limit + 1, self.got);
        Ok(())
    }

    /// An end that is not the end, and bytes that reach beyond it.
    fn hears_of_another_end(&mut self, luck: &mut Luck) -> Check {
        let known = self.came_upto;
        let (end, told) = if self.fin_came {
            let end = if luck.chance(500) { self.size + 1 } else { self.size.saturating_sub(1) };
            let offset = self.size - luck.below(self.size.min(3) + 1);
            let beyond = self.receiving.data(offset, vec![0; (self.size + 1 - offset) as usize]);
            hold!(beyond.is_err(), "a liar is refused", "bytes beyond the end at {offset}, {}", self.progress());
            (end, (end != self.size).then(|| self.receiving.fin(end)))
        } else {
            let end = luck.below(known.max(1));
            (end, (end < known).then(|| self.receiving.fin(end)))
        };
        let refused = told.is_none_or(|told| told.is_err());
        hold!(refused, "a liar is refused", "an end at {end}, {known} are known, {}", self.progress());
        Ok(())
    }

    /// Other bytes in the place of some that came.
    fn hears_again(&mut self, luck: &mut Luck) -> Check {
        let at = luck.index(self.came.len().max(1));
        let upto = at + self.came.iter().skip(at).take(1 + luck.index(30)).take_while(|came| **came).count();
        let lie = (at..upto).map(|at| !self.byte(at as u64)).collect();
        let told = self.receiving.data(at as u64, lie);
        let nothing = told.as_ref().is_ok_and(Vec::is_empty);
        hold!(nothing, "a liar is refused", "bytes {at} to {upto} again: {told:?}, {}", self.progress());
        Ok(())
    }

    /// So many small pieces, each ahead of the next, that what holds them costs more than what they hold.
    fn hears_crumbs(&mut self) -> Check {
        let first = self.got + 1;
        let crumbs = limits::STREAM_GAPS as u64 + 1;
        if self.window < WIDE || self.came_count > self.got || self.fin_came {
            return Ok(());
        }
        // wide enough that credit is no reason to refuse them
        self.receiving.widen(first + 2 * crumbs);
        let refused = (0..crumbs).any(|crumb| self.receiving.data(first + 2 * crumb, vec![0]).is_err());
        hold!(refused, "a liar is refused", "{crumbs} pieces with gaps between them, {}", self.progress());
        self.reset = true;
        Ok(())
    }

    fn holds_no_more_than_it_may(&self) -> Check {
        let kept = self.sending.unacked();
        hold!(kept <= self.window, "memory is bounded", "{kept} kept of {}", self.window);
        let expected = self.written - self.confirmed.min(self.written);
        hold!(kept == expected, "what is unacknowledged is kept", "{kept}, not {expected}, {}", self.progress());
        let unread = self.got - self.read;
        let ahead = self.came_count.saturating_sub(self.got);
        hold!(unread + ahead <= self.window, "memory is bounded", "{unread} unread, {ahead} ahead, of {}", self.window);
        let complete = self.receiving.is_complete();
        hold!(complete == self.is_complete(), "complete is complete", "{complete}, {}", self.progress());
        let done = self.sending.is_done();
        hold!(!done || self.is_complete(), "done is done", "acknowledged without its end, {}", self.progress());
        Ok(())
    }

    /// A new connection carries the half of the stream that `half` holds.
    pub fn rewinds(&mut self, half: usize) {
        if self.from == half {
            self.sending.rewind();
            self.opening_due = !self.opening_known;
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

    /// The opening came.
    pub fn opens(&mut self) {
        self.opened = true;
        self.ack_due = true;
    }

    /// What that half sends next, on a way that may take so much.
    pub fn next_frame(&mut self, half: usize, load: Load) -> Result<Option<Frame>, Broken> {
        if self.reset || !self.begun {
            return Ok(None);
        }
        if self.to == half {
            return if self.opened { self.next_ack() } else { Ok(None) };
        }
        if load == Load::Everything && std::mem::take(&mut self.opening_due) {
            return Ok(Some(Frame::Open { stream: self.number }));
        }
        if load == Load::Large && !self.opening_known {
            return Ok(None);
        }
        let (piece, least) = match load {
            Load::Nothing => return Ok(None),
            Load::Large => (self.sending.poll_large(self.least, limits::STREAM_CHUNK_BYTES), self.least),
            Load::Everything => (self.sending.poll(limits::STREAM_CHUNK_BYTES), 1),
        };
        match piece {
            None => {
                let may = self.written.min(self.granted);
                let used = self.given + least > may;
                hold!(used, "credit is used", "given {} of {may}, {}", self.given, self.progress());
                Ok(None)
            }
            Some(Piece::Data { offset, bytes }) => {
                let (length, granted) = (bytes.len() as u64, self.granted);
                let end = offset + length;
                hold!(end <= granted, "credit is kept to", "sent up to {end}, granted {granted}");
                hold!(length >= least, "small pieces keep to the main way", "{length} bytes, {least} are the least");
                self.sent = self.sent.max(end);
                self.given = end;
                Ok(Some(Frame::Data { stream: self.number, offset, bytes }))
            }
            Some(Piece::Fin { offset }) => {
                let size = self.size;
                hold!(offset == size, "bytes are exact", "the end at {offset} of {size}");
                hold!(load == Load::Everything, "small pieces keep to the main way", "the end is on another");
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
        let (has, takes) = (self.got + u64::from(self.is_complete()), self.read + self.window);
        let honest = (received, limit) == (has, takes);
        hold!(honest, "acknowledgements are true", "{received}, {limit}: has {has}, takes {takes}");
        self.told = (received, limit);
        Ok(Some(Frame::Ack { stream: self.number, received, limit }))
    }

    /// Bytes came.
    pub fn data(&mut self, offset: u64, bytes: Vec<u8>) -> Check {
        hold!(self.opened, "openings come first", "bytes at {offset}, {}", self.progress());
        for came in &mut self.came[offset as usize..][..bytes.len()] {
            self.came_count += u64::from(!std::mem::replace(came, true));
        }
        self.came_upto = self.came_upto.max(offset + bytes.len() as u64);
        let new = self.receiving.data(offset, bytes).map_err(|error| self.refused(&error))?;
        for byte in new {
            let (at, expected) = (self.got, self.byte(self.got));
            hold!(at < self.size && byte == expected, "bytes are exact", "{byte} at {at}, {}", self.progress());
            self.got += 1;
        }
        let waits = self.came.get(self.got as usize) == Some(&true);
        hold!(!waits, "what is next is handed on", "{} has come, {}", self.got, self.progress());
        self.holds_no_more_than_it_may()
    }

    /// The end came.
    pub fn fin(&mut self, offset: u64) -> Check {
        hold!(self.opened, "openings come first", "the end at {offset}, {}", self.progress());
        let new = self.receiving.fin(offset).map_err(|error| self.refused(&error))?;
        hold!(new != self.fin_came, "the end comes once", "new {new}, {}", self.progress());
        self.fin_came = true;
        self.holds_no_more_than_it_may()
    }

    /// An acknowledgement came; now and then an older one follows it, as over a slower way.
    pub fn ack(&mut self, received: u64, limit: u64) -> Check {
        self.opening_known = true;
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
