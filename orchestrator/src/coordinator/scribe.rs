//! Writes what happens: into the journal first, then before people's eyes.

use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::id::PeerId;
use meshproof_proto::mask::Masker;
use meshproof_proto::verdict::Exit;
use tokio::sync::watch;

use super::health::Counts;
use super::stall::Stall;
use crate::journal::Journal;
use crate::local;
use crate::progress::{Curtain, Progress};
use crate::record::{Entry, Happening, Record, now_ms};
use crate::say;
use crate::traces::Traces;

/// The journal and its readers.
pub(super) struct Scribe {
    journal: Journal,
    progress: Progress,
    traces: Traces,
    masker: Arc<Masker>,
    /// What was told before the machine knew of anything.
    early: Vec<Happening>,
    counts: Counts,
    /// For so long there was no space for the journal, and the run stood still; not told to the machine yet.
    stood_still: Duration,
}

/// Whether an entry was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    Before,
}

impl Scribe {
    pub(super) fn new(journal: Journal, progress: Progress, masker: Masker) -> Self {
        let masker = Arc::new(masker);
        local::mask_own_log(Arc::clone(&masker));
        let (traces, problem) = Traces::as_named();
        if let Some(problem) = problem {
            say::note(&problem);
        }
        let (early, counts) = (Vec::new(), Counts::default());
        Self { journal, progress, traces, masker, early, counts, stood_still: Duration::ZERO }
    }

    /// From now on these secrets are masked.
    pub(super) fn mask_with(&mut self, masker: Masker) {
        self.masker = Arc::new(masker);
        local::mask_own_log(Arc::clone(&self.masker));
    }

    /// What takes secrets out of everything else that leaves the run.
    pub(super) fn masker(&self) -> Arc<Masker> {
        Arc::clone(&self.masker)
    }

    /// What the orchestrator has to say.
    pub(super) fn say(&mut self, what: Happening) -> anyhow::Result<()> {
        self.write(Entry::own(now_ms(), what)).map(|_| ())
    }

    /// As [`Self::say`], before the run begins: whoever goes on with it is to tell it too.
    pub(super) fn say_early(&mut self, what: Happening) -> anyhow::Result<()> {
        self.early.push(what.clone());
        self.say(what)
    }

    /// What was told early.
    pub(super) fn take_early(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.early)
    }

    /// Writes an entry without secrets, an agent's event at most once.
    pub(super) fn write(&mut self, entry: Entry) -> anyhow::Result<Seen> {
        match self.append(entry.masked(&self.masker))? {
            Some(record) => {
                self.progress.show(&record, &self.masker);
                self.traces.take(&record.entry);
                self.counts.take(&record.entry.what);
                Ok(Seen::New)
            }
            None => Ok(Seen::Before),
        }
    }

    /// Nothing more is written; what is still to be told elsewhere is.
    /// Gives how the run exits: as it would, or so that whoever takes its records from standard output knows that some are missing.
    pub(super) async fn finish(mut self, exit: Exit) -> Exit {
        if let Some(problem) = self.traces.finish().await {
            say::note(&problem);
        }
        match self.progress.unwritten() {
            Some(error) => Exit::of([exit, say::unwritten(&error)]),
            None => exit,
        }
    }

    /// While there is no space, the run stands still: nothing goes on of which the journal does not tell.
    fn append(&mut self, entry: Entry) -> anyhow::Result<Option<Record>> {
        let mut stall: Option<Stall> = None;
        let appended = self.journal.append_patiently(entry, |full| {
            let stall = match &mut stall {
                Some(stall) => stall,
                none => none.insert(Stall::begin(&full.to_string()).ok_or(full)?),
            };
            Ok(stall.wait()?)
        });
        if let (Ok(_), Some(stall)) = (&appended, stall) {
            self.stood_still += stall.end();
        }
        appended
    }

    /// For how long the run stood still since this was asked last.
    pub(super) fn take_stood_still(&mut self) -> Option<Duration> {
        Some(std::mem::take(&mut self.stood_still)).filter(|stood_still| !stood_still.is_zero())
    }

    /// What hides all that is shown of the run.
    pub(super) fn curtain(&self) -> Curtain {
        self.progress.curtain()
    }

    /// How many lines are on disk, as it changes.
    pub(super) fn on_disk(&self) -> watch::Receiver<u64> {
        self.journal.on_disk()
    }

    /// What was told so far, in numbers.
    pub(super) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// How many lines were written.
    pub(super) fn lines(&self) -> u64 {
        self.journal.lines()
    }

    /// Fails when lines cannot be brought to the disk.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        if self.journal.has_failed() { self.sync() } else { Ok(()) }
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
