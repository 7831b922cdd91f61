//! Epochs in a folder, where whoever watches over the zones puts them: a file `NAME.json` for each pool, which is replaced whole.
//! A ConfigMap that is mounted there is such a folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use meshproof_proto::epoch::EpochNotice;
use meshproof_proto::limits::POOLS;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::hub::Arrival;
use crate::limits;

/// What stands in the files, by their names.
pub(crate) type Texts = BTreeMap<String, String>;

/// A folder that is looked at again and again.
pub(crate) struct Folder {
    path: PathBuf,
    hub: mpsc::Sender<Arrival>,
    /// What stood in it, once all of that was taken.
    taken: Option<Texts>,
}

impl Folder {
    pub(crate) fn new(path: PathBuf, hub: mpsc::Sender<Arrival>) -> Self {
        Self { path, hub, taken: None }
    }

    /// Until `stop`.
    pub(crate) async fn watch(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(limits::EPOCHS_EVERY) => self.look().await,
            }
        }
    }

    /// Tells what is there, unless all of it was taken before: what was refused may be taken later.
    pub(crate) async fn look(&mut self) {
        let path = self.path.clone();
        let texts = match tokio::task::spawn_blocking(move || read(&path)).await {
            Ok(Ok(texts)) => texts,
            Ok(Err(error)) => return tracing::warn!(%error, folder = %self.path.display(), "epochs cannot be read"),
            Err(error) => return tracing::error!(%error, "looking for epochs ended badly"),
        };
        if self.taken.as_ref() == Some(&texts) {
            return;
        }
        let (answer, taken) = oneshot::channel();
        // fails only when the hub stopped
        let _ = self.hub.send(Arrival::Epochs { texts: texts.clone(), answer }).await;
        self.taken = taken.await.unwrap_or(false).then_some(texts);
    }
}

/// A mounted ConfigMap has its files as links, beside hidden folders.
fn read(folder: &Path) -> io::Result<Texts> {
    let mut texts = Texts::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_wanted = !name.starts_with('.') && path.extension().is_some_and(|extension| extension == "json");
        if !is_wanted || texts.len() == POOLS {
            continue;
        }
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(limits::EPOCH_BYTES).read_to_string(&mut text)) {
            Ok(_) => drop(texts.insert(name, text)),
            // it was replaced just now
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(texts)
}

/// What a file says.
pub(crate) fn notice(text: &str) -> Option<EpochNotice> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_mounted_config_map_are_read_and_nothing_else_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path();
        std::fs::create_dir(place.join("..2026")).expect("a folder");
        std::fs::write(place.join("..2026/shop.json"), "one").expect("a file");
        std::os::unix::fs::symlink("..2026", place.join("..data")).expect("a link");
        std::os::unix::fs::symlink("..data/shop.json", place.join("shop.json")).expect("a link");
        std::os::unix::fs::symlink("..data/gone.json", place.join("gone.json")).expect("a link");
        std::fs::write(place.join("number"), "2").expect("a file");
        std::fs::write(place.join("long.json"), "x".repeat(100_000)).expect("a file");
        let texts = read(place).expect("it is there");
        assert_eq!(texts.keys().collect::<Vec<_>>(), ["long.json", "shop.json"]);
        assert_eq!((texts["shop.json"].as_str(), texts["long.json"].len() as u64), ("one", limits::EPOCH_BYTES));
        assert!(read(&place.join("nowhere")).is_err());
    }
}
