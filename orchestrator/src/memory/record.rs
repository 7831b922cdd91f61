//! What is remembered, record by record, and its form in pieces.

use std::collections::BTreeMap;
use std::path::PathBuf;

use meshproof_proto::id::{Name, PeerId, Term};
use meshproof_proto::limits::PIECE_BYTES;
use meshproof_proto::memory::Piece;
use meshproof_proto::order::Initialized;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::plan::Selection;
use crate::plan::orders::RecordsFiles;
use crate::record::Happening;
use crate::run::{FirstFailure, Flaky, Input};

/// One thing to remember. Times are microseconds since the run began.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Remembered {
    /// What the run is of; the first record.
    Began(Box<Began>),
    /// The environment is ready, and the machine was told so.
    Ready { at_us: u64, ready: Box<Ready> },
    /// The machine took this fact of an agent.
    Heard { at_us: u64, agent: Name, seq: u64 },
    /// It took something else.
    Took { at_us: u64, input: Box<Input> },
    /// It was told that this instance has taken an agent's place.
    Back { at_us: u64, agent: Name, instance: PeerId },
    /// It was told that its time has come.
    Time { at_us: u64 },
    /// Something that stands in the journal and does not come from the machine.
    Said { at_us: u64, what: Box<Happening> },
    /// From here on another orchestrator writes, by its wall clock since then: the time without one is not the run's.
    Commands { at_us: u64, term: Term, at_unix_ms: u64 },
}

impl Remembered {
    pub(super) fn at_us(&self) -> u64 {
        match self {
            Self::Began(_) => 0,
            Self::Ready { at_us, .. }
            | Self::Heard { at_us, .. }
            | Self::Took { at_us, .. }
            | Self::Back { at_us, .. }
            | Self::Time { at_us }
            | Self::Said { at_us, .. }
            | Self::Commands { at_us, .. } => *at_us,
        }
    }
}

/// Everything that a run is made from, besides its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    /// Wall clock, milliseconds since 1970: for display.
    pub at_unix_ms: u64,
    /// The plan's file as it was named, and its text.
    pub file: String,
    pub text: String,
    pub plan_dir: PathBuf,
    pub given: Given,
    pub seed: u64,
    pub flaky: Flaky,
    pub first_failure: FirstFailure,
    pub deadline_ms: Option<u64>,
    pub arguments: Vec<String>,
}

/// What the plan was given, so that it can be compiled again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    pub params: BTreeMap<String, String>,
    pub selection: Selection,
}

/// What is known once every agent is initialized.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The ports that each service was given, by name.
    pub ports: BTreeMap<Name, BTreeMap<String, u16>>,
    pub initialized: BTreeMap<Name, Initialized>,
    /// The texts behind what steps only name, without private keys: agents that use one know it.
    pub held: BTreeMap<String, String>,
    /// Files that are too long to be among those: agents have them.
    pub files: RecordsFiles,
}

/// A record that cannot be read.
#[derive(Debug, Error)]
#[error("what the agents remember of the run cannot be read: {0}")]
pub struct Unreadable(String);

/// Whether more pieces follow that belong to the same record.
const LAST: u8 = 0;
const MORE: u8 = 1;

/// The pieces of a record, in order.
#[must_use]
pub fn write(record: &Remembered, term: Term) -> Vec<Piece> {
    let text = serde_json::to_vec(record).expect("a record is what JSON can say: the setting has a record of its own");
    let mut parts = text.chunks(PIECE_BYTES).peekable();
    let mut pieces = Vec::new();
    while let Some(part) = parts.next() {
        let mark = if parts.peek().is_some() { MORE } else { LAST };
        pieces.push(Piece { term, bytes: [&[mark], part].concat() });
    }
    pieces
}

/// The records in these pieces. What is behind the last whole one goes: nobody has acted on it.
///
/// # Errors
/// They are not what [`write`] makes.
pub fn read(pieces: &mut Vec<Piece>) -> Result<Vec<Remembered>, Unreadable> {
    let (mut records, mut text, mut whole) = (Vec::new(), Vec::new(), 0);
    for (index, piece) in pieces.iter().enumerate() {
        let (mark, part) = piece.bytes.split_first().ok_or_else(|| Unreadable("a piece is empty".to_owned()))?;
        text.extend_from_slice(part);
        if *mark == LAST {
            records.push(serde_json::from_slice(&text).map_err(|error| Unreadable(error.to_string()))?);
            text.clear();
            whole = index + 1;
        }
    }
    pieces.truncate(whole);
    Ok(records)
}
