//! A journal read line by line: it may be larger than anybody wants in memory, and many readers want few of its lines.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::JournalError;
use super::sums::Sums;
use crate::record::Record;

/// Reads a journal in order. The last line is left out if it has no end or does not fit its check sum: so a crash leaves it.
#[derive(Debug)]
pub struct Reader<R> {
    path: PathBuf,
    reader: R,
    line: Vec<u8>,
    number: usize,
    sums: Sums,
}

impl Reader<BufReader<File>> {
    /// Opens it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let file = File::open(path);
        let file = file.map_err(|source| JournalError::Io { what: "read", path: path.to_owned(), source })?;
        Ok(Self::of(BufReader::with_capacity(1 << 16, file), path))
    }
}

impl<R: BufRead> Reader<R> {
    /// Of what is a journal already; `path` is for messages.
    pub fn of(reader: R, path: &Path) -> Self {
        Self { path: path.to_owned(), reader, line: Vec::new(), number: 0, sums: Sums::default() }
    }

    /// All of them.
    pub fn records(self) -> impl Iterator<Item = Result<Record, JournalError>> {
        self.those(|_| true)
    }

    /// Those that `wanted` says of, as bytes: what is not wanted costs no more than its reading.
    pub fn those(mut self, wanted: impl Fn(&[u8]) -> bool) -> impl Iterator<Item = Result<Record, JournalError>> {
        std::iter::from_fn(move || {
            loop {
                match self.advance() {
                    Err(error) => return Some(Err(error)),
                    Ok(false) => return None,
                    Ok(true) if wanted(&self.line) => return Some(self.record()),
                    Ok(true) => {}
                }
            }
        })
    }

    fn advance(&mut self) -> Result<bool, JournalError> {
        self.line.clear();
        self.number += 1;
        let read = self.reader.read_until(b'\n', &mut self.line);
        read.map_err(|source| JournalError::Io { what: "read", path: self.path.clone(), source })?;
        let Some(line) = self.line.strip_suffix(b"\n") else { return Ok(false) };
        if self.sums.fits(line) {
            return Ok(true);
        }
        let rest = self.reader.fill_buf();
        let is_last = rest.is_ok_and(<[u8]>::is_empty);
        if is_last { Ok(false) } else { Err(self.damaged()) }
    }

    fn damaged(&self) -> JournalError {
        JournalError::Damaged { line: self.number, path: self.path.clone() }
    }

    fn record(&self) -> Result<Record, JournalError> {
        let wrong = |source| JournalError::Line { line: self.number, path: self.path.clone(), source };
        let record: Record = serde_json::from_slice(&self.line).map_err(wrong)?;
        // A line that fits its check sum stands elsewhere only if others are missing.
        let is_in_its_place = matches!(self.sums, Sums::None) || record.n == self.number as u64;
        if is_in_its_place { Ok(record) } else { Err(self.damaged()) }
    }
}
