//! What is known of the answers to a stream's records: on disk, for whoever comes after this instance. Pure.

use std::collections::BTreeMap;

use meshproof_proto::event::{Evidence, Outcome};
use meshproof_proto::matcher::Mismatch;
use serde::{Deserialize, Serialize};

/// Answers, in the order of the records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// How long each took, in microseconds.
    pub micros: Vec<u32>,
    /// Of all until here.
    pub so_far: SoFar,
}

/// What the answers came to, beside their times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SoFar {
    /// Bytes of the records.
    pub bytes: u64,
    pub applied: u64,
    /// How often the stream broke and went on.
    pub resumed: u64,
    /// By check.
    pub failed: BTreeMap<u32, First<Mismatch>>,
    /// Answers that failed without being looked at.
    pub broken: Option<First<Outcome>>,
    pub evidence: Vec<Evidence>,
}

/// Answers that failed alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct First<T> {
    pub first: T,
    pub index: u64,
    pub count: u64,
}

impl<T> First<T> {
    /// None so far.
    pub(super) fn at(index: u64, first: T) -> Self {
        Self { first, index, count: 0 }
    }
}

impl Answers {
    /// Of the stream's next records, as they were noted.
    pub(crate) fn add(&mut self, next: &Self) {
        self.micros.extend_from_slice(&next.micros);
        self.so_far = next.so_far.clone();
    }
}
