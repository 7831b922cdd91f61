//! What has to be on disk before something goes on.
//!
//! Facts are told to the session and nobody waits for them. Whoever has to know that what was told is on disk, as a stub before its reply
//! goes out, asks here: an instance that comes after this one must know of every call that was answered.

use tokio::sync::{mpsc, oneshot};

use crate::outbox::Entry;

/// The way to the outbox of a run. Without one nothing is on disk, and nobody waits.
#[derive(Clone, Debug, Default)]
pub struct Notes(Option<mpsc::Sender<Note>>);

/// Something to write, or nothing, and who waits for it.
#[derive(Debug)]
pub(crate) struct Note {
    pub entry: Option<Entry>,
    pub written: oneshot::Sender<()>,
}

impl Notes {
    pub(crate) fn to(notes: mpsc::Sender<Note>) -> Self {
        Self(Some(notes))
    }

    /// Returns once every fact that was told before is on disk.
    pub(crate) async fn are_written(&self) {
        self.ask(None).await;
    }

    /// Returns once this is on disk, behind every fact that was told before.
    pub(crate) async fn write(&self, entry: Entry) {
        self.ask(Some(entry)).await;
    }

    async fn ask(&self, entry: Option<Entry>) {
        let Some(notes) = &self.0 else { return };
        let (written, is_written) = oneshot::channel();
        // Nobody answers any more when the run is over, and then nobody comes after this instance.
        if notes.send(Note { entry, written }).await.is_ok() {
            let _ = is_written.await;
        }
    }
}
