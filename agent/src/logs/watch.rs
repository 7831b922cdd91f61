//! Wakes the reader when one of the files changes. The folders are watched, as the files may come later or be replaced.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// Watched folders. Where the system has no watch left, the reader's clock has to do.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// Folders that are not there yet, or not watched yet.
    missing: BTreeSet<PathBuf>,
    woken: Arc<Notify>,
}

impl Watch {
    pub(super) fn of<'a>(files: impl Iterator<Item = &'a String>) -> Self {
        let woken = Arc::new(Notify::new());
        let mut names = BTreeSet::new();
        let mut missing = BTreeSet::new();
        for path in files.map(Path::new) {
            names.extend(path.file_name().map(OsString::from));
            missing.extend(path.parent().map(PathBuf::from));
        }
        let mut watch = Self { watcher: watcher(names, Arc::clone(&woken)), missing, woken };
        watch.retry();
        watch
    }

    /// Returns when a file changed since the last time.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Tries again to watch what could not be watched before.
    pub(super) fn retry(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        self.missing.retain(|folder| match watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                // Something may have happened in it before.
                self.woken.notify_one();
                false
            }
            Err(_) => true,
        });
    }
}

fn watcher(names: BTreeSet<OsString>, woken: Arc<Notify>) -> Option<RecommendedWatcher> {
    let ours = move |event: &notify::Event| {
        // Our own opening and reading must not wake us.
        let writing = !matches!(event.kind, EventKind::Access(_));
        writing && event.paths.iter().any(|path| path.file_name().is_some_and(|name| names.contains(name)))
    };
    let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // An error, as an overflow of the queue, may hide a change.
        if event.as_ref().map_or(true, &ours) {
            woken.notify_one();
        }
    });
    made.inspect_err(|error| tracing::warn!(%error, "files cannot be watched; logs are polled")).ok()
}
