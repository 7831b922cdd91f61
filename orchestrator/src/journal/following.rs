//! A journal that another process writes, read as it grows.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Checking, JournalError};
use crate::history::goes_on;
use crate::record::Record;

/// How often a journal that has no more lines is looked at: far below what a person notices.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Reads a journal from its first line, and waits for the next one while somebody writes it.
#[derive(Debug)]
pub struct Following {
    path: PathBuf,
    reader: BufReader<File>,
    /// Of a line that is not whole yet.
    line: Vec<u8>,
    bytes: u64,
    checking: Checking,
}

/// What comes next.
#[derive(Debug)]
pub enum Followed {
    /// With its line: numbers are not always written again as they were read.
    Record(Box<Record>, String),
    /// Nobody writes any more, or another orchestrator has set the file aside and writes another. Half a line behind the last one was cut off
    /// before anybody heard of it.
    Left,
}

impl Following {
    /// Opens it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let file = File::open(path);
        let file = file.map_err(|source| JournalError::Io { what: "read", path: path.to_owned(), source })?;
        Ok(Self {
            path: path.to_owned(),
            reader: BufReader::new(file),
            line: Vec::new(),
            bytes: 0,
            checking: Checking::of(path),
        })
    }

    /// The next record, once there is one. Dropping the future loses none.
    ///
    /// # Errors
    /// It cannot be read, is no journal, or another run has begun one in its place.
    pub async fn next(&mut self) -> Result<Followed, JournalError> {
        loop {
            if let Some(record) = self.whole()? {
                return Ok(record);
            }
            // Asked before the last look, so that nothing is missed that was written in between.
            let is_written = goes_on(&self.path) && self.is_in_its_place()?;
            if let Some(record) = self.whole()? {
                return Ok(record);
            }
            if !is_written {
                return Ok(Followed::Left);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether the path still leads to the file that is read.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn is_in_its_place(&self) -> Result<bool, JournalError> {
        let io = |source| JournalError::Io { what: "look at", path: self.path.clone(), source };
        let ours = self.reader.get_ref().metadata().map_err(io)?.ino();
        Ok(std::fs::metadata(&self.path).is_ok_and(|there| there.ino() == ours))
    }

    /// Waits until nobody writes it any more.
    pub async fn left(&self) {
        while goes_on(&self.path) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn whole(&mut self) -> Result<Option<Followed>, JournalError> {
        let Some(record) = self.read()? else { return Ok(None) };
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        Ok(Some(Followed::Record(Box::new(record), line)))
    }

    fn read(&mut self) -> Result<Option<Record>, JournalError> {
        let io = |source| JournalError::Io { what: "read", path: self.path.clone(), source };
        let read = self.reader.read_until(b'\n', &mut self.line).map_err(io)?;
        self.bytes += u64::try_from(read).unwrap_or(u64::MAX);
        if !self.line.ends_with(b"\n") {
            let length = self.reader.get_ref().metadata().map_err(io)?.len();
            return if length < self.bytes { Err(JournalError::Replaced(self.path.clone())) } else { Ok(None) };
        }
        self.checking.record(&self.line).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::journal::Journal;
    use crate::record::{Entry, Happening};

    fn said(text: &str) -> Entry {
        Entry::own(1, Happening::Said { text: text.to_owned() })
    }

    async fn number(following: &mut Following) -> Option<u64> {
        match following.next().await.expect("a journal") {
            Followed::Record(record, _) => Some(record.n),
            Followed::Left => None,
        }
    }

    #[tokio::test]
    async fn every_line_comes_once_and_in_order_and_the_end_when_nobody_writes() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path().join("events.jsonl");
        let mut journal = Journal::create(&path).expect("a new file");
        journal.append(said("a")).expect("written");
        let mut following = Following::open(&path).expect("it is there");
        assert_eq!(number(&mut following).await, Some(1));
        let writing = async {
            tokio::task::yield_now().await;
            journal.append(said("b")).expect("written");
            // half a line, as a crash leaves it
            std::fs::File::options().append(true).open(&path).expect("there").write_all(b"{\"n\":").expect("written");
            drop(journal);
        };
        let (second, ()) = tokio::join!(number(&mut following), writing);
        assert_eq!(second, Some(2));
        assert_eq!(number(&mut following).await, None);
    }

    #[tokio::test]
    async fn a_journal_that_another_run_began_anew_is_not_taken_for_the_first_one() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path().join("events.jsonl");
        let mut journal = Journal::create(&path).expect("a new file");
        (0..9).for_each(|_| drop(journal.append(said("of the first run")).expect("written")));
        let mut following = Following::open(&path).expect("it is there");
        for n in 1..=9 {
            assert_eq!(number(&mut following).await, Some(n));
        }
        drop(journal);
        let _other = Journal::create(&path).expect("the first run is over");
        assert!(matches!(following.next().await, Err(JournalError::Replaced(_))));
    }
}
