//! One file that grows, is truncated, is rotated, or is not there yet.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::limits;
use crate::permits::LogFiles;

/// The end of a file that somebody else writes.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    permitted: LogFiles,
    open: Option<Open>,
    /// A line whose end has not come yet, cut to the limit.
    partial: Vec<u8>,
    /// Said once, not at every look.
    trouble: Option<io::ErrorKind>,
}

#[derive(Debug)]
struct Open {
    file: File,
    at: u64,
    identity: (u64, u64),
}

/// What one look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Bytes(u64),
    /// The file was replaced; the new one stands at its beginning.
    Rotated,
    End,
}

impl Tail {
    pub(super) fn of(path: &str, permitted: LogFiles) -> Self {
        Self { path: path.into(), permitted, open: None, partial: Vec::new(), trouble: None }
    }

    /// Bytes that are there and were not read, at least 1. In a file that was replaced 1 more: its rest is not the end.
    pub(super) fn length(&self) -> u64 {
        let there = std::fs::metadata(&self.path);
        let length = match &self.open {
            Some(open) => {
                let rest = open.file.metadata().map_or(0, |data| data.len().saturating_sub(open.at));
                let is_replaced = there.is_ok_and(|there| identity(&there) != open.identity);
                rest + u64::from(is_replaced)
            }
            None => there.map_or(0, |data| data.len()),
        };
        length.max(1)
    }

    /// Reads a piece, adding the lines that became complete. It blocks.
    pub(super) fn read(&mut self, lines: &mut Vec<Arc<str>>) -> Found {
        match self.look(lines) {
            Ok(found) => {
                self.trouble = None;
                found
            }
            Err(error) => {
                if self.trouble.replace(error.kind()) != Some(error.kind()) {
                    tracing::warn!(path = %self.path.display(), %error, "a log cannot be read");
                }
                Found::End
            }
        }
    }

    fn look(&mut self, lines: &mut Vec<Arc<str>>) -> io::Result<Found> {
        let there = match std::fs::metadata(&self.path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if self.open.is_none() {
            let Some(there) = &there else { return Ok(Found::End) };
            self.open = Some(self.opened(there)?);
        }
        let open = self.open.as_mut().expect("was opened above");
        if open.file.metadata()?.len() < open.at {
            open.at = open.file.seek(SeekFrom::Start(0))?;
            self.end_line(lines);
            return Ok(Found::Rotated);
        }
        let mut piece = vec![0; limits::LOG_READ_BYTES];
        let count = open.file.read(&mut piece)?;
        open.at += count as u64;
        let replaced = there.is_some_and(|there| identity(&there) != open.identity);
        if count > 0 {
            self.take(&piece[..count], lines);
            return Ok(Found::Bytes(count as u64));
        }
        if replaced {
            self.end_line(lines);
            self.open = None;
            return Ok(Found::Rotated);
        }
        Ok(Found::End)
    }

    fn opened(&self, there: &Metadata) -> io::Result<Open> {
        if !there.is_file() {
            // Opening a pipe would wait for its writer.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = self.permitted.open(&self.path)?;
        let identity = identity(&file.metadata()?);
        Ok(Open { file, at: 0, identity })
    }

    fn take(&mut self, bytes: &[u8], lines: &mut Vec<Arc<str>>) {
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = limits::LOG_LINE_BYTES - self.partial.len();
            self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
            if pieces.peek().is_some() {
                lines.push(line(&self.partial));
                self.partial.clear();
            }
        }
    }

    fn end_line(&mut self, lines: &mut Vec<Arc<str>>) {
        if !self.partial.is_empty() {
            lines.push(line(&self.partial));
            self.partial.clear();
        }
    }
}

fn identity(data: &Metadata) -> (u64, u64) {
    (data.dev(), data.ino())
}

fn line(bytes: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes)).into()
}
