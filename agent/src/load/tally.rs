//! What many calls came to, in bounded memory. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use meshproof_proto::event::Evidence;
use meshproof_proto::histogram::Histogram;
use meshproof_proto::matcher::Mismatch;
use serde::{Deserialize, Serialize};

use crate::limits;

/// The calls of one agent, or of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Those that were made.
    pub calls: u64,
    /// Of these, those that did not come to what was expected.
    pub failed: u64,
    /// Calls of the open model for which there was no room before the end.
    pub unsent: u64,
    /// How long those took that did not fail.
    pub took: Histogram,
    /// From the beginning to the last answer, and at least as long as the load was to last.
    pub elapsed: Duration,
    /// Why calls failed, in few words, and how many.
    pub reasons: BTreeMap<String, u64>,
    /// Checks of answers that did not hold, by their place among those of answers.
    pub broken: BTreeMap<u32, Broken>,
    /// The exchanges of the first that failed.
    pub shown: Vec<Evidence>,
    /// A call that cannot be made at all.
    pub impossible: Option<String>,
}

/// Answers that did not meet one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Broken {
    pub first: Mismatch,
    /// Its number among all.
    pub call: u64,
    pub count: u64,
}

impl Tally {
    /// What came of another agent's part as well.
    pub(crate) fn merge(&mut self, part: Self) {
        self.calls += part.calls;
        self.failed += part.failed;
        self.unsent += part.unsent;
        self.took.merge(&part.took);
        self.elapsed = self.elapsed.max(part.elapsed);
        for (reason, count) in part.reasons {
            self.failed_so(reason, count);
        }
        for (place, broken) in part.broken {
            self.broke(place, broken);
        }
        self.shown.extend(part.shown);
        self.shown.truncate(limits::LOAD_FAILURES_SHOWN);
        self.impossible = self.impossible.take().or(part.impossible);
    }

    /// So many failed for this reason.
    pub(crate) fn failed_so(&mut self, reason: String, count: u64) {
        let known = self.reasons.contains_key(&reason) || self.reasons.len() < limits::LOAD_REASONS;
        let reason = if known { reason } else { "other".to_owned() };
        *self.reasons.entry(reason).or_default() += count;
    }

    pub(crate) fn broke(&mut self, place: u32, broken: Broken) {
        match self.broken.get_mut(&place) {
            Some(known) => {
                known.count += broken.count;
                if broken.call < known.call {
                    *known = Broken { count: known.count, ..broken };
                }
            }
            None => {
                self.broken.insert(place, broken);
            }
        }
    }

    /// Calls that did not come to what was expected, or to anything, in per cent of all that there were to be.
    pub(crate) fn failed_percent(&self) -> f64 {
        let all = self.calls + self.unsent;
        if all == 0 { 0.0 } else { (self.failed + self.unsent) as f64 * 100.0 / all as f64 }
    }

    /// Calls a second that came to what was expected.
    pub(crate) fn rate(&self) -> f64 {
        let held = (self.calls - self.failed) as f64;
        held / self.elapsed.as_secs_f64().max(1e-6)
    }

    /// `status 503 (10), timeout (2), not sent in time (3)`
    pub(crate) fn why(&self) -> String {
        let unsent = (self.unsent > 0).then(|| format!("not sent in time ({})", self.unsent));
        let reasons = self.reasons.iter().map(|(reason, count)| format!("{reason} ({count})"));
        reasons.chain(unsent).collect::<Vec<_>>().join(", ")
    }
}
