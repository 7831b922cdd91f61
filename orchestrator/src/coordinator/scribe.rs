//! Writes what happens: into the journal first, then before people's eyes.

use std::time::{SystemTime, UNIX_EPOCH};

use meshproof_proto::id::PeerId;

use crate::journal::Journal;
use crate::progress::Progress;
use crate::record::{Entry, Happening};

/// The journal and its reader.
pub(super) struct Scribe {
    journal: Journal,
    progress: Progress,
}

/// Whether an entry was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    Before,
}

impl Scribe {
    pub(super) fn new(journal: Journal, progress: Progress) -> Self {
        Self { journal, progress }
    }

    /// What the orchestrator has to say.
    pub(super) fn say(&mut self, what: Happening) -> anyhow::Result<()> {
        self.write(Entry::own(now_ms(), what)).map(|_| ())
    }

    /// Writes an entry, an agent's event at most once.
    pub(super) fn write(&mut self, entry: Entry) -> anyhow::Result<Seen> {
        match self.journal.append(entry)? {
            Some(record) => {
                self.progress.show(&record);
                Ok(Seen::New)
            }
            None => Ok(Seen::Before),
        }
    }

    /// Up to this number every event of the instance was written.
    pub(super) fn complete_through(&self, instance: PeerId) -> u64 {
        self.journal.complete_through(instance)
    }

    /// Everything written so far is on disk when this returns.
    pub(super) fn sync(&mut self) -> anyhow::Result<()> {
        Ok(self.journal.sync()?)
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
