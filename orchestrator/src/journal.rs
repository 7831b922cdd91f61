//! The journal of a run: `events.jsonl`, one [`Record`] a line.
//!
//! A line is written before anybody hears of it, so it survives this process; it is on disk after [`Journal::sync`], which comes
//! before acknowledgements and the verdict, and otherwise at most [`SYNC_EVERY`] later. Agents send events again until they are
//! acknowledged: the journal keeps each (instance, number) once.

mod checking;
mod following;
mod reading;
mod seen;
mod sums;

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::watch;

use crate::record::{Entry, Record};
pub use checking::Checking;
pub use following::{Followed, Following};
pub use reading::Reader;
use seen::Seen;
pub use sums::line;

/// Lines written within this time reach the disk together; the first after a pause does so at once.
pub const SYNC_EVERY: Duration = Duration::from_millis(20);

/// The journal's file name, in the folder of a run's reports.
pub const FILE_NAME: &str = "events.jsonl";

/// The journal cannot be kept or read.
#[derive(Debug, Error)]
pub enum JournalError {
    #[error("cannot {what} the journal {}: {source}", .path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("line {line} of the journal {} is not a record: {source}", .path.display())]
    Line { line: usize, path: PathBuf, source: serde_json::Error },
    #[error("line {line} of the journal {} is not what was written there, and is not believed, nor is what follows", .path.display())]
    Damaged { line: usize, path: PathBuf },
    #[error("another run writes {}; give each run a folder of its own with --out DIR", .0.display())]
    InUse(PathBuf),
    #[error("another run has begun in the place of the one that wrote {}", .0.display())]
    Replaced(PathBuf),
    #[error("a record cannot be written as JSON: {0}")]
    Record(serde_json::Error),
}

impl JournalError {
    /// Whether it would be well if there were more space.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let is_full = |kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        matches!(self, Self::Io { source, .. } if is_full(source.kind()))
    }
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Arc<File>,
    /// Where the next line goes.
    end: u64,
    lines: u64,
    seen: Seen,
    shared: Arc<Shared>,
    syncer: Option<JoinHandle<()>>,
}

/// What the writer and the thread that syncs behind it share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Lines that are on disk.
    on_disk: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    dirty: bool,
    /// Lines that were written.
    lines: u64,
    ending: bool,
    failed: Option<std::io::Error>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is plain flags: whoever panicked while holding it has not left it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// Makes the file, in place of one that may be there. It is the user's alone, because requests stand in it, and locked
    /// while the journal lives, so that two runs cannot share a folder.
    ///
    /// # Errors
    /// It cannot be made, or another run writes it.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let io = |what| move |source| JournalError::Io { what, path: path.to_owned(), source };
        let options = File::options().create(true).truncate(false).write(true).mode(0o600).clone();
        let file = options.open(path).map_err(io("make"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(io("lock")(source)),
        }
        file.set_len(0).map_err(io("empty"))?;
        let file = Arc::new(file);
        let shared = Arc::new(Shared::default());
        let (behind, of) = (Arc::clone(&shared), Arc::clone(&file));
        let syncer = std::thread::Builder::new().name("journal".to_owned()).spawn(move || sync_behind(&behind, &of));
        Ok(Self {
            path: path.to_owned(),
            file,
            end: 0,
            lines: 0,
            seen: Seen::default(),
            shared,
            syncer: Some(syncer.map_err(io("make a thread for"))?),
        })
    }

    /// Writes an entry and gives the record it became; `None` for an event that is there already. When that fails, nothing of it counts, and
    /// the same can be written again.
    ///
    /// # Errors
    /// There is no space ([`JournalError::is_full`]), or the disk fails.
    pub fn append(&mut self, entry: Entry) -> Result<Option<Record>, JournalError> {
        self.append_patiently(entry, Err)
    }

    /// The same, but where there is no space ([`JournalError::is_full`]) it is tried again as long as `full` says so.
    ///
    /// # Errors
    /// What `full` says, or the disk fails.
    pub fn append_patiently<E: From<JournalError>>(
        &mut self,
        entry: Entry,
        mut full: impl FnMut(JournalError) -> Result<(), E>,
    ) -> Result<Option<Record>, E> {
        if let (Some(instance), Some(seq)) = (entry.instance, entry.seq)
            && !self.seen.is_new(instance, seq)
        {
            return Ok(None);
        }
        let record = Record { n: self.lines + 1, entry };
        let mut line = line(&record).map_err(JournalError::Record)?;
        line.push(b'\n');
        while let Err(source) = self.file.write_all_at(&line, self.end) {
            // Half a line is none; should it not be cut off, the next attempt writes over it.
            let _ = self.file.set_len(self.end);
            match self.io("write", source) {
                error if error.is_full() => full(error)?,
                error => return Err(error.into()),
            }
        }
        self.end += line.len() as u64;
        self.lines += 1;
        if let (Some(instance), Some(seq)) = (record.entry.instance, record.entry.seq) {
            self.seen.add(instance, seq);
        }
        let was_dirty = {
            let mut state = self.shared.lock();
            state.lines = self.lines;
            std::mem::replace(&mut state.dirty, true)
        };
        if !was_dirty {
            // Only the first of those that reach the disk together wakes the one who brings them there.
            self.shared.changed.notify_one();
        }
        Ok(Some(record))
    }

    /// Everything appended so far is on disk when this returns.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        let failed = {
            let mut state = self.shared.lock();
            state.dirty = false;
            state.failed.take()
        };
        let synced = failed.map_or_else(|| self.file.sync_data(), Err);
        synced.map_err(|source| self.io("sync", source))?;
        self.shared.on_disk.send_modify(|on_disk| *on_disk = self.lines);
        Ok(())
    }

    /// How many lines are on disk, as it changes; also told when that failed, and then [`Self::sync`] says so.
    #[must_use]
    pub fn on_disk(&self) -> watch::Receiver<u64> {
        self.shared.on_disk.subscribe()
    }

    /// How many lines there are.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether lines could not be brought to the disk.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shared.lock().failed.is_some()
    }

    /// Up to which number the events of an instance are all here: what may be acknowledged after [`Self::sync`].
    #[must_use]
    pub fn complete_through(&self, instance: meshproof_proto::id::PeerId) -> u64 {
        self.seen.complete_through(instance)
    }

    fn io(&self, what: &'static str, source: std::io::Error) -> JournalError {
        JournalError::Io { what, path: self.path.clone(), source }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.changed.notify_one();
        if let Some(syncer) = self.syncer.take() {
            // It ends with its last sync; a panic there has nothing to add.
            let _ = syncer.join();
        }
    }
}

/// Brings lines to the disk until the journal ends. Syncs begin [`SYNC_EVERY`] apart, however long each takes, so that a line that
/// is written while the disk is busy with others waits for no more than one that nobody was before.
fn sync_behind(shared: &Shared, file: &File) {
    let mut state = shared.lock();
    let mut next = Instant::now();
    loop {
        while !state.dirty && !state.ending {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let gather = next.saturating_duration_since(Instant::now());
        let gathered = shared.changed.wait_timeout_while(state, gather, |state| !state.ending);
        state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        next = Instant::now() + SYNC_EVERY;
        if state.dirty {
            state.dirty = false;
            let lines = state.lines;
            drop(state);
            let synced = file.sync_data();
            state = shared.lock();
            match synced {
                Ok(()) => shared.on_disk.send_modify(|on_disk| *on_disk = lines),
                Err(error) => {
                    state.failed.get_or_insert(error);
                    shared.on_disk.send_modify(|_| {});
                }
            }
        }
        if state.ending {
            return;
        }
    }
}

/// Reads a journal. A last line without its end, or that does not fit its check sum, is left out: what a crash leaves.
pub fn read(path: &Path) -> Result<Vec<Record>, JournalError> {
    Reader::open(path)?.records().collect()
}

/// The records of a journal's text; `path` is for messages.
pub fn records(text: &str, path: &Path) -> Result<Vec<Record>, JournalError> {
    Reader::of(text.as_bytes(), path).records().collect()
}

#[cfg(test)]
mod tests;
