//! Carries one direction of one connection through a gate.

use std::collections::VecDeque;
use std::io;

use meshproof_proto::shaper::Fate;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::answer::Stopped;
use super::gate::{now, until};
use super::passage::{Load, Passage, Singled, Ticket};
use super::requests::{Found, Requests};
use crate::limits;

/// Which direction of a connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// From whoever opened the connection.
    Requests,
    Answers,
}

/// Carries bytes until the source ends, and then its end.
///
/// # Errors
///
/// The source or the sink broke; whoever holds both resets both. Or a request is to be answered on the way.
pub async fn carry(
    source: &mut (impl AsyncRead + Unpin),
    sink: &mut (impl AsyncWrite + Unpin),
    (mut passage, carries): (Passage, Carries),
) -> Result<(), Stopped> {
    let mut waiting = Waiting::of(carries);
    let mut buffer = vec![0; limits::TUNNEL_READ_BYTES];
    let mut reading = Reading::On;
    loop {
        // a request that is reset does not go on before
        if passage.is_reset() {
            return Err(passage.was_reset().into());
        }
        while let Some((what, ticket)) = waiting.pop_due() {
            passage.passed(&ticket, now());
            match what {
                What::Bytes(bytes) => sink.write_all(&bytes).await?,
                What::End => return Ok(sink.shutdown().await?),
                What::Broken(error) => return Err(error.into()),
                What::Answer(status) => return Err(Stopped::Answered(status)),
            }
        }
        let resets = passage.resets();
        tokio::select! {
            () = until(resets) => return Err(passage.was_reset().into()),
            read = source.read(&mut buffer), if reading == Reading::On && waiting.bytes < limits::TUNNEL_WAITING_BYTES => {
                let what = match read {
                    // The usual way: nothing is disturbed, nothing is copied.
                    Ok(count) if count > 0 && waiting.is_empty() && passage.is_open() => {
                        sink.write_all(&buffer[..count]).await?;
                        continue;
                    }
                    Ok(0) => What::End,
                    Ok(count) => What::Bytes(buffer[..count].to_vec()),
                    Err(error) => What::Broken(error),
                };
                if !matches!(what, What::Bytes(_)) {
                    reading = Reading::Over;
                }
                waiting.take(what, &mut passage);
                if waiting.has_answer() {
                    reading = Reading::Over;
                }
            }
            () = until(waiting.next()) => {}
            () = passage.changed() => {
                waiting.follow(&mut passage);
                if !passage.looks_at_requests() {
                    waiting.give_up_head(&mut passage);
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    On,
    Over,
}

/// What waits: bytes, then the end or the break.
#[derive(Debug)]
enum What {
    Bytes(Vec<u8>),
    End,
    Broken(io::Error),
    /// Instead of a request.
    Answer(u16),
}

impl What {
    fn load(&self) -> Load {
        match self {
            Self::Bytes(bytes) => Load::Bytes(bytes.len()),
            Self::End => Load::End,
            Self::Broken(_) | Self::Answer(_) => Load::Bytes(0),
        }
    }
}

#[derive(Debug)]
struct Waiting {
    carries: Carries,
    requests: Requests,
    queue: VecDeque<(What, Ticket)>,
    bytes: usize,
    /// The stages that the queue was admitted by.
    version: u64,
}

impl Waiting {
    fn of(carries: Carries) -> Self {
        Self { carries, requests: Requests::default(), queue: VecDeque::new(), bytes: 0, version: 0 }
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.requests.is_empty()
    }

    /// Nothing is read behind a request that is answered.
    fn has_answer(&self) -> bool {
        matches!(self.queue.back(), Some((What::Answer(_), _)))
    }

    /// What was read, request by request where a fault asks for them.
    fn take(&mut self, what: What, passage: &mut Passage) {
        let looks = self.carries == Carries::Requests && passage.looks_at_requests();
        match what {
            What::Bytes(bytes) if looks => {
                for found in self.requests.take(&bytes) {
                    match found {
                        Found::Bytes(bytes) => self.push(What::Bytes(bytes), passage),
                        Found::Head(head) => {
                            let singled = passage.request(&head, now());
                            let what = singled.status.map_or(What::Bytes(head), What::Answer);
                            self.push_singled(what, &singled, passage);
                            if singled.status.is_some() {
                                return;
                            }
                        }
                    }
                }
            }
            what => {
                self.give_up_head(passage);
                self.push(what, passage);
            }
        }
    }

    /// The beginning of a head that nobody asks for any more, or that will have no end.
    fn give_up_head(&mut self, passage: &mut Passage) {
        let head = self.requests.give_up();
        if !head.is_empty() {
            self.push(What::Bytes(head), passage);
        }
    }

    fn push(&mut self, what: What, passage: &mut Passage) {
        self.push_singled(what, &Singled::default(), passage);
    }

    fn push_singled(&mut self, what: What, singled: &Singled, passage: &mut Passage) {
        self.follow(passage);
        for what in pieces(what, passage.piece()) {
            let ticket = passage.admit_singled((what.load(), singled), now());
            self.bytes += ticket.bytes();
            self.queue.push_back((what, ticket));
        }
    }

    /// When the next one goes on; held as long as there is none.
    fn next(&self) -> Fate {
        self.queue.front().map_or(Fate::Hold, |(_, ticket)| ticket.due())
    }

    fn pop_due(&mut self) -> Option<(What, Ticket)> {
        let Fate::At(due) = self.next() else { return None };
        if due > now() {
            return None;
        }
        let (what, ticket) = self.queue.pop_front()?;
        self.bytes -= ticket.bytes();
        Some((what, ticket))
    }

    /// A fault began or ended: what waits, waits for the stages of now. Whoever notices first, a change or new bytes.
    fn follow(&mut self, passage: &mut Passage) {
        let version = passage.refreshed();
        if version == self.version {
            return;
        }
        self.version = version;
        let (now, piece) = (now(), passage.piece());
        for (what, before) in std::mem::take(&mut self.queue) {
            for what in pieces(what, piece) {
                let mut ticket = before.of_piece(what.load());
                passage.readmit(&mut ticket, now);
                self.queue.push_back((what, ticket));
            }
        }
    }
}

/// The same, with bytes in pieces of at most this size.
fn pieces(what: What, piece: usize) -> Vec<What> {
    match what {
        What::Bytes(bytes) if bytes.len() > piece => {
            bytes.chunks(piece).map(|piece| What::Bytes(piece.to_vec())).collect()
        }
        What::Bytes(_) | What::End | What::Broken(_) | What::Answer(_) => vec![what],
    }
}
