//! An outbox and its file: what is pushed is written at once, and told from then on.

use std::io;

use meshproof_proto::event::{Event, EventBatch, Fact};
use meshproof_proto::id::PeerId;
use meshproof_proto::limits::EVENTS_PER_BATCH;
use tokio::sync::watch;

use super::{Entry, Outbox, OutboxFile};

/// The facts of a run, on disk if this agent has a place for them.
#[derive(Debug)]
pub struct KeptOutbox {
    outbox: Outbox,
    file: Option<OutboxFile>,
    /// Why nothing is written now. It is tried again with whatever happens next.
    trouble: Option<io::Error>,
    /// The last number that is on disk, for whoever copies what stands there.
    on_disk: watch::Sender<u64>,
}

impl KeptOutbox {
    /// Without a file, facts do not survive this process.
    pub fn new(outbox: Outbox, file: Option<OutboxFile>) -> Self {
        let on_disk = watch::Sender::new(if file.is_some() { outbox.written } else { 0 });
        Self { outbox, file, trouble: None, on_disk }
    }

    /// The last number that is on disk, now and later.
    pub fn on_disk(&self) -> watch::Receiver<u64> {
        self.on_disk.subscribe()
    }

    /// Keeps a fact, and writes it. `None`: there is not even room in memory.
    pub fn push(&mut self, fact: Fact, at_ms: u64) -> Option<u64> {
        let seq = self.push_unwritten(fact, at_ms);
        self.write();
        seq
    }

    /// As [`Self::push`], but it is written with those that follow, by [`Self::flush`], and told no sooner.
    pub fn push_unwritten(&mut self, fact: Fact, at_ms: u64) -> Option<u64> {
        self.outbox.push(fact, at_ms)
    }

    /// See [`Outbox::ack`].
    pub fn ack(&mut self, through: u64) {
        let before = self.outbox.acked;
        self.outbox.ack(through);
        if self.outbox.acked > before {
            let acked = Entry::Acknowledged(self.outbox.acked);
            if let Some(Err(error)) = self.file.as_mut().map(|file| file.append(&acked)) {
                // What is sent again is known there, so nothing hangs on it.
                tracing::debug!(%error, "an acknowledgement could not be written");
            }
        }
        self.write();
    }

    /// Writes something that is no event, behind every event that was pushed.
    ///
    /// # Errors
    /// The disk takes nothing.
    pub fn note(&mut self, entry: &Entry) -> Result<(), String> {
        self.note_all(std::slice::from_ref(entry))
    }

    /// As [`Self::note`], of several; all of them, or none.
    ///
    /// # Errors
    /// The disk takes nothing.
    pub fn note_all(&mut self, entries: &[Entry]) -> Result<(), String> {
        self.flush()?;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.append_all(entries).map_err(|error| format!("the outbox cannot be written: {error}"))
    }

    /// See [`Outbox::poll_batch`].
    pub fn poll_batch(&mut self) -> Option<EventBatch> {
        self.outbox.poll_batch()
    }

    /// See [`Outbox::rewind`].
    pub fn rewind(&mut self) {
        self.outbox.rewind();
    }

    /// See [`Outbox::origin`].
    pub fn origin(&self) -> PeerId {
        self.outbox.origin()
    }

    /// See [`Outbox::is_all_sent`].
    pub fn is_all_sent(&self) -> bool {
        self.outbox.is_all_sent()
    }

    /// See [`Outbox::unacked`].
    pub fn unacked(&self) -> u64 {
        self.outbox.unacked()
    }

    /// Whether new work may begin; if not, why.
    ///
    /// # Errors
    /// The orchestrator is far behind, or the disk takes nothing.
    pub fn room(&mut self) -> Result<(), String> {
        self.has_space()?;
        match self.outbox.has_room() {
            true => Ok(()),
            false => Err("the orchestrator has not acknowledged so many events that no step is taken".to_owned()),
        }
    }

    /// Whether the disk has space for new work, beyond what the ends of older work need.
    ///
    /// # Errors
    /// It has not.
    pub fn has_space(&mut self) -> Result<(), String> {
        self.flush()?;
        let space = self.file.as_mut().map_or(Ok(()), OutboxFile::reserve);
        space.map_err(|error| format!("there is no space for its outbox: {error}"))
    }

    /// Tries to write what is not on disk.
    ///
    /// # Errors
    /// The disk takes nothing.
    pub fn flush(&mut self) -> Result<(), String> {
        self.write();
        self.written()
    }

    /// Whether everything that was pushed is on disk; if not, why.
    ///
    /// # Errors
    /// The disk takes nothing.
    pub fn written(&self) -> Result<(), String> {
        self.trouble.as_ref().map_or(Ok(()), |error| Err(format!("the outbox cannot be written: {error}")))
    }

    fn write(&mut self) {
        let Some(file) = &mut self.file else { return self.outbox.written(u64::MAX) };
        let (written, trouble) = append_events(file, self.outbox.unwritten());
        if let Some(through) = written {
            self.outbox.written(through);
            self.on_disk.send_replace(through);
        }
        match (&self.trouble, &trouble) {
            (None, Some(error)) => {
                tracing::warn!(%error, "the outbox cannot be written; nothing more is told until it can")
            }
            (Some(_), None) => tracing::warn!("the outbox can be written again"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        self.trouble = trouble;
    }
}

/// Adds events, many with one write; where that finds no space, each that there is space for. Gives the last number that is there, and why
/// no more are.
fn append_events<'e>(
    file: &mut OutboxFile,
    events: impl Iterator<Item = &'e Event>,
) -> (Option<u64>, Option<io::Error>) {
    let mut written = None;
    let mut events = events.peekable();
    while events.peek().is_some() {
        let some: Vec<Entry> = events.by_ref().take(EVENTS_PER_BATCH).cloned().map(Entry::Event).collect();
        let parts = if file.append_all(&some).is_ok() { &[][..] } else { &some[..] };
        for one in parts {
            if let Err(error) = file.append(one) {
                return (written, Some(error));
            }
            written = number(one).or(written);
        }
        written = some.last().and_then(number).or(written);
    }
    (written, None)
}

fn number(entry: &Entry) -> Option<u64> {
    match entry {
        Entry::Event(event) => Some(event.seq),
        _ => None,
    }
}
