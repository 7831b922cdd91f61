//! An outbox and its file: what is pushed is written at once, and told from then on.
//!
//! Where instances stand by that have disks of their own, what is written is *safe* once it is on those, too: only then it is told, and
//! only then anything follows from it. One that lacks something is left behind with an event; until the journal has that, nothing is safe.

use std::collections::VecDeque;
use std::io;

use meshproof_proto::event::{Event, EventBatch, Fact};
use meshproof_proto::id::PeerId;
use meshproof_proto::limits::EVENTS_PER_BATCH;
use tokio::sync::{oneshot, watch};

use super::mirrors::Mirrors;
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
    mirrors: Mirrors,
    /// Events that are on this disk and perhaps not on the others, with where each ends in the file.
    ends: VecDeque<(u64, u64)>,
    /// Nothing is safe before the journal has this event.
    held: Option<u64>,
    /// The last event that is on all disks that are to have it.
    told_through: u64,
    /// How long the file is.
    length: watch::Sender<u64>,
    /// Up to where it is safe.
    safe: watch::Sender<u64>,
}

/// Something that was written, until it is safe.
#[derive(Debug)]
pub struct Safe {
    through: u64,
    safe: watch::Receiver<u64>,
}

impl Safe {
    pub fn is_so(&self) -> bool {
        *self.safe.borrow() >= self.through
    }

    /// Returns when it is safe; never, if that is not to be.
    pub async fn comes(mut self) {
        if self.safe.wait_for(|safe| *safe >= self.through).await.is_err() {
            std::future::pending().await
        }
    }

    /// Tells who waits for it.
    pub fn tell(self, waiting: oneshot::Sender<()>) {
        if self.is_so() {
            let _ = waiting.send(());
            return;
        }
        tokio::spawn(async move {
            let mut waiting = waiting;
            tokio::select! {
                () = self.comes() => drop(waiting.send(())),
                () = waiting.closed() => {}
            }
        });
    }
}

impl KeptOutbox {
    /// Without a file, facts do not survive this process.
    pub fn new(outbox: Outbox, file: Option<OutboxFile>) -> Self {
        let on_disk = watch::Sender::new(if file.is_some() { outbox.written } else { 0 });
        let length = file.as_ref().map_or(0, OutboxFile::bytes);
        let (mirrors, ends, held) = (Mirrors::default(), VecDeque::new(), None);
        let (length, safe) = (watch::Sender::new(length), watch::Sender::new(length));
        let told_through = outbox.written;
        Self { outbox, file, trouble: None, on_disk, mirrors, ends, held, told_through, length, safe }
    }

    /// How long the file is, now and later; none: there is none.
    pub fn length(&self) -> Option<watch::Receiver<u64>> {
        self.file.is_some().then(|| self.length.subscribe())
    }

    /// Everything that is written by now, until it is safe.
    pub fn safe(&self) -> Safe {
        Safe { through: *self.length.borrow(), safe: self.safe.subscribe() }
    }

    /// Where the file ends now, and up to where it is safe.
    pub fn ends(&self) -> (u64, u64) {
        (*self.length.borrow(), *self.safe.borrow())
    }

    /// That instance has so much of the file. `true`: from now on nothing is safe that it lacks, which is to be told.
    pub fn is_at(&mut self, peer: PeerId, bytes: u64) -> bool {
        let length = *self.length.borrow();
        let follows = self.mirrors.is_at(peer, bytes, length);
        self.release();
        follows
    }

    /// That instance does not have what comes from now on. `true`: it was one that had everything. The next event is to tell that, and nothing
    /// is safe before the journal has it.
    pub fn is_without(&mut self, peer: PeerId) -> bool {
        let followed = self.mirrors.is_without(peer);
        if followed {
            self.hold();
        }
        followed
    }

    /// Nothing is safe before the journal has the next event.
    pub fn hold(&mut self) {
        self.held = Some(self.outbox.last() + 1);
    }

    /// Those that have everything that is safe.
    pub fn mirrored_by(&self) -> Vec<PeerId> {
        self.mirrors.following()
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
        let appended = file.append_all(entries).map_err(|error| format!("the outbox cannot be written: {error}"));
        self.release();
        appended
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
            self.ends.push_back((through, file.bytes()));
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
        self.release();
    }

    /// What is written and on all disks that are to have it may be told, and is safe unless the journal has to know something first.
    fn release(&mut self) {
        let Some(length) = self.file.as_ref().map(OutboxFile::bytes) else { return };
        self.length.send_if_modified(|known| std::mem::replace(known, length) != length);
        let everywhere = self.mirrors.everywhere(length);
        while let Some((through, _)) = self.ends.pop_front_if(|(_, end)| *end <= everywhere) {
            self.told_through = self.told_through.max(through);
        }
        let tellable = if self.ends.is_empty() { u64::MAX } else { self.told_through };
        self.outbox.tellable(tellable);
        if self.held.is_some_and(|event| self.outbox.acked < event) {
            return;
        }
        self.held = None;
        self.safe.send_if_modified(|safe| std::mem::replace(safe, everywhere.max(*safe)) < everywhere);
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

#[cfg(test)]
mod tests {
    use meshproof_proto::id::RunId;

    use super::*;
    use crate::outbox::Store;

    const ME: PeerId = PeerId([7; 32]);
    const OTHER: PeerId = PeerId([8; 32]);

    fn told(outbox: &mut KeptOutbox) -> Vec<u64> {
        outbox.poll_batch().map(|batch| batch.events.iter().map(|event| event.seq).collect()).unwrap_or_default()
    }

    #[test]
    fn what_follows_waits_for_who_follows_and_for_the_journal_when_one_was_left_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = RunId("r".to_owned());
        let file = Store::in_directory(folder.path()).create(&run, ME).expect("written");
        let mut outbox = KeptOutbox::new(Outbox::new(ME, run), Some(file));
        let happens = |outbox: &mut KeptOutbox| outbox.push(Fact::Gap { lost: 1 }, 0);
        happens(&mut outbox);
        assert!(outbox.safe().is_so() && told(&mut outbox) == [1], "nobody stands by");
        let (length, _) = outbox.ends();
        assert!(outbox.is_at(OTHER, length), "it follows");

        happens(&mut outbox);
        let second = outbox.safe();
        assert!(!second.is_so() && told(&mut outbox).is_empty());
        let (length, _) = outbox.ends();
        assert!(!outbox.is_at(OTHER, length), "that is no news");
        assert!(second.is_so() && told(&mut outbox) == [2]);

        happens(&mut outbox);
        let third = outbox.safe();
        assert!(outbox.is_without(OTHER));
        happens(&mut outbox);
        assert_eq!(told(&mut outbox), [3, 4], "the journal is to have it");
        outbox.ack(3);
        assert!(!third.is_so());
        outbox.ack(4);
        assert!(third.is_so() && outbox.safe().is_so());
    }
}
