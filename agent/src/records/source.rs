//! Where the records of a stream come from.

mod file;
mod log;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use meshproof_proto::expr::ValueTemplate;
use meshproof_proto::order::DataSource;
use serde_json::{Value, json};

use crate::blobs::{Blobs, Kept};
use crate::logs::LogStore;

/// What records are read from.
#[derive(Clone, Copy)]
pub(crate) struct Stores<'d> {
    pub logs: &'d LogStore,
    pub blobs: &'d Blobs,
}

/// Records in their order. Who judges the answers asks for each once more.
pub(super) enum Source<'d> {
    Generated {
        count: u64,
        json: &'d ValueTemplate,
    },
    /// Lines that are not empty.
    Lines(Vec<&'d str>),
    Read(Read<'d>),
}

/// Records that are read one behind the other.
pub(super) struct Read<'d> {
    from: From<'d>,
    count: u64,
    /// Sent, and not answered yet: as many as the stream's window takes.
    sent: Mutex<VecDeque<Value>>,
}

enum From<'d> {
    /// The first lines of a log since the run began, those that are still to come included.
    Log { logs: &'d LogStore, log: &'d str },
    /// The lines of a file of the run, of which parts may still be to come.
    File(Option<&'d Kept>),
}

/// How far it was read.
pub(super) enum Reader<'d> {
    Log(log::Reader<'d>),
    File(file::Reader<'d>),
}

impl<'d> Source<'d> {
    pub(super) fn of(data: &'d DataSource, stores: Stores<'d>) -> Self {
        let read = |from, count| Self::Read(Read { from, count, sent: Mutex::default() });
        match data {
            DataSource::Generate { count, json } => Self::Generated { count: *count, json },
            DataSource::Lines(held) => Self::Lines(held.text.lines().filter(|line| !line.trim().is_empty()).collect()),
            DataSource::Log { log, count } => read(From::Log { logs: stores.logs, log }, *count),
            DataSource::File { digest, records, .. } => read(From::File(stores.blobs.get(digest)), *records),
        }
    }

    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Generated { count, .. } | Self::Read(Read { count, .. }) => *count,
            Self::Lines(lines) => lines.len() as u64,
        }
    }

    /// What was not there when the stream's time was over.
    pub(super) fn lacks(&self) -> Option<String> {
        match self {
            Self::Read(Read { from: From::File(Some(file)), .. }) => file.lacks(),
            Self::Generated { .. } | Self::Lines(_) | Self::Read(_) => None,
        }
    }

    /// Reads from the beginning; none: all records are there.
    pub(super) fn reader(&self) -> Option<Reader<'d>> {
        match self {
            Self::Generated { .. } | Self::Lines(_) => None,
            Self::Read(Read { from: From::Log { logs, log }, .. }) => Some(Reader::Log(log::Reader::new(logs, log))),
            Self::Read(Read { from: From::File(file), .. }) => Some(Reader::File(file::Reader::new(*file))),
        }
    }

    /// Nothing of what was sent is answered any more: it is sent once more.
    pub(super) fn begin_again(&self) {
        if let Self::Read(read) = self {
            read.sent.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Passes over a record that was answered before.
    pub(super) async fn skip(&self, reader: Option<&mut Reader<'_>>) -> Result<(), String> {
        match reader {
            Some(reader) => reader.next().await.map(drop),
            None => Ok(()),
        }
    }

    /// The next record to send.
    pub(super) async fn next(&self, index: u64, reader: Option<&mut Reader<'_>>) -> Result<Value, String> {
        match (self, reader) {
            (Self::Read(read), Some(reader)) => {
                let record = reader.next().await?;
                read.sent.lock().unwrap_or_else(PoisonError::into_inner).push_back(record.clone());
                Ok(record)
            }
            (Self::Generated { .. } | Self::Lines(_) | Self::Read(_), _) => self.record(index),
        }
    }

    /// The record again that is answered now.
    pub(super) fn answered(&self, index: u64) -> Result<Value, String> {
        match self {
            Self::Generated { .. } | Self::Lines(_) => self.record(index),
            Self::Read(read) => {
                let record = read.sent.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                record.ok_or_else(|| "it was not sent".to_owned())
            }
        }
    }

    fn record(&self, index: u64) -> Result<Value, String> {
        match self {
            Self::Generated { json, .. } => json.value(&json!({ "index": index })).map_err(|unset| unset.to_string()),
            Self::Lines(lines) => {
                let line = usize::try_from(index).ok().and_then(|index| lines.get(index)).copied().unwrap_or_default();
                serde_json::from_str(line).map_err(|error| format!("its line is no JSON: {error}"))
            }
            Self::Read(_) => Err("it is read in its order".to_owned()),
        }
    }
}

impl Reader<'_> {
    /// Whether the next record need not be waited for.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Log(reader) => reader.is_ready(),
            Self::File(reader) => reader.is_ready(),
        }
    }

    async fn next(&mut self) -> Result<Value, String> {
        match self {
            Self::Log(reader) => reader.next().await,
            Self::File(reader) => reader.next().await,
        }
    }
}
