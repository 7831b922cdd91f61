//! Waits for a run's end without showing anything, and sees at once when whoever commands it is gone.

use std::path::Path;
use std::time::Duration;

use super::AttachError;
use crate::journal::{self, Followed, Following};
use crate::record::Happening;

/// How often it is looked whether there is a journal again, while one is set aside and the next is not begun.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What somebody who waits has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// It has told its end.
    Ended,
    /// The process that writes its journal is gone, and no other one writes another.
    Left,
}

/// Waits until the run whose reports are in this folder has ended, or nobody writes its journal.
///
/// # Errors
/// Its journal cannot be read.
pub async fn watch(folder: &Path) -> Result<Watched, AttachError> {
    let path = folder.join(journal::FILE_NAME);
    loop {
        while !path.exists() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mut following = Following::open(&path)?;
        while let Followed::Record(record, _) = following.next().await? {
            if matches!(record.entry.what, Happening::RunEnded { .. }) {
                return Ok(Watched::Ended);
            }
        }
        if following.is_in_its_place()? {
            return Ok(Watched::Left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;
    use crate::record::Entry;

    fn said() -> Entry {
        Entry::own(1, Happening::Said { text: "a".to_owned() })
    }

    #[tokio::test]
    async fn whose_journal_nobody_writes_is_left_and_one_that_was_set_aside_is_not() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path().join(journal::FILE_NAME);
        let mut first = Journal::create(&path).expect("a new file");
        first.append(said()).expect("written");
        let watched = watch(place.path());
        tokio::pin!(watched);
        assert!(futures::poll!(&mut watched).is_pending(), "somebody writes it");
        std::fs::rename(&path, place.path().join("aside")).expect("the same folder");
        assert!(futures::poll!(&mut watched).is_pending());
        drop(first);
        let mut second = Journal::create(&path).expect("a new file");
        second.append(said()).expect("written");
        let first_look = tokio::time::timeout(5 * LOOK_EVERY, &mut watched).await;
        assert!(first_look.is_err(), "somebody writes the other one");
        drop(second);
        assert_eq!(watched.await.expect("a journal"), Watched::Left);
    }
}
