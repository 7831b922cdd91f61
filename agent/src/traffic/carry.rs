//! Carries one direction of one connection through a gate.

use std::collections::VecDeque;
use std::io;

use meshproof_proto::shaper::Fate;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::gate::{Passage, Ticket, now, until};
use crate::limits;

/// Carries bytes until the source ends, and then its end.
///
/// # Errors
///
/// The source or the sink broke; whoever holds both resets both.
pub async fn carry(
    source: &mut (impl AsyncRead + Unpin),
    sink: &mut (impl AsyncWrite + Unpin),
    mut passage: Passage,
) -> io::Result<()> {
    let mut waiting = Waiting::default();
    let mut buffer = vec![0; limits::TUNNEL_READ_BYTES];
    let mut reading = Reading::On;
    loop {
        while let Some((what, ticket)) = waiting.pop_due() {
            passage.passed(&ticket, now());
            match what {
                What::Bytes(bytes) => sink.write_all(&bytes).await?,
                What::End => return sink.shutdown().await,
                What::Broken(error) => return Err(error),
            }
        }
        tokio::select! {
            read = source.read(&mut buffer), if reading == Reading::On && waiting.bytes < limits::TUNNEL_WAITING_BYTES => {
                let what = match read {
                    // The usual way: nothing is disturbed, nothing is copied.
                    Ok(count) if count > 0 && waiting.queue.is_empty() && passage.is_open() => {
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
                waiting.push(what, &mut passage);
            }
            () = until(waiting.next()) => {}
            () = passage.changed() => waiting.follow(&mut passage),
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
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<(What, Ticket)>,
    bytes: usize,
    /// The stages that the queue was admitted by.
    version: u64,
}

impl Waiting {
    fn push(&mut self, what: What, passage: &mut Passage) {
        let bytes = if let What::Bytes(bytes) = &what { bytes.len() } else { 0 };
        self.follow(passage);
        let ticket = passage.admit(bytes, now());
        self.bytes += bytes;
        self.queue.push_back((what, ticket));
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
        let now = now();
        for (_, ticket) in &mut self.queue {
            passage.readmit(ticket, now);
        }
    }
}
