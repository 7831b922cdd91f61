//! Lines of a journal as they come, wherever they come from.

use std::path::{Path, PathBuf};

use super::JournalError;
use super::sums::Sums;
use crate::record::Record;

/// Holds each line against its check sum and its number.
#[derive(Debug)]
pub struct Checking {
    /// What errors name.
    path: PathBuf,
    lines: usize,
    sums: Sums,
}

impl Checking {
    /// From the first line on.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), lines: 0, sums: Sums::default() }
    }

    /// The record of the next line, which may have its end or not.
    ///
    /// # Errors
    /// It is not what was written there, is no record, or is not the next one.
    pub fn record(&mut self, line: &[u8]) -> Result<Record, JournalError> {
        self.lines += 1;
        if !self.sums.fits(line.strip_suffix(b"\n").unwrap_or(line)) {
            return Err(JournalError::Damaged { line: self.lines, path: self.path.clone() });
        }
        let wrong = |source| JournalError::Line { line: self.lines, path: self.path.clone(), source };
        let record: Record = serde_json::from_slice(line).map_err(wrong)?;
        if record.n != self.lines as u64 {
            return Err(JournalError::Replaced(self.path.clone()));
        }
        Ok(record)
    }
}
