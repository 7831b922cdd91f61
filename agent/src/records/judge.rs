//! What a stream of records came to. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use meshproof_proto::event::{CheckFailure, Outcome, StepResult};
use meshproof_proto::mask::Masker;
use meshproof_proto::matcher::{Actual, Mismatch};
use meshproof_proto::order::{Check, StepOrder};
use serde_json::{Value, json};

use super::answers::{Answers, First};
use crate::action::{Answer, CallError, ErrorKind};
use crate::checks;
use crate::evidence::{evidence, shown};
use crate::limits;

/// The answers so far.
#[derive(Debug)]
pub(super) struct Judge<'o> {
    order: &'o StepOrder,
    masker: &'o Masker,
    /// Checks of every answer, their fields without `each.`, and their places in the order.
    each: Vec<Check>,
    places: Vec<u32>,
    answered: Answers,
    /// How many of these are on disk.
    noted: usize,
}

/// How the stream as a whole went.
#[derive(Debug)]
pub(super) struct Whole {
    pub duration: Duration,
    pub error: Option<CallError>,
}

impl<'o> Judge<'o> {
    /// Goes on behind the answers that are known.
    pub(super) fn new(order: &'o StepOrder, masker: &'o Masker, mut answered: Answers) -> Self {
        let (mut each, mut places) = (Vec::new(), Vec::new());
        for (place, check) in (0..).zip(&order.checks) {
            if let Some(field) = check.field.strip_prefix("each.") {
                each.push(Check { field: field.to_owned(), matcher: check.matcher.clone() });
                places.push(place);
            }
        }
        let noted = answered.micros.len();
        answered.so_far.resumed += u64::from(noted > 0);
        Self { order, masker, each, places, answered, noted }
    }

    /// Answers so far.
    pub(super) fn answers(&self) -> u64 {
        self.answered.micros.len() as u64
    }

    /// The next answer; `scope` knows its `record` and `index`.
    pub(super) fn answer(&mut self, answer: &Answer, scope: &Value) {
        let index = self.answers();
        self.answered.micros.push(u32::try_from(answer.took.as_micros()).unwrap_or(u32::MAX));
        let so_far = &mut self.answered.so_far;
        so_far.applied += u64::from(answer.error.is_none());
        let fine = match checks::unasked_failure(&self.each, answer) {
            Some(first) => {
                so_far.broken.get_or_insert_with(|| First::at(index, first)).count += 1;
                false
            }
            None => self.check(answer, scope, index),
        };
        if !fine && self.answered.so_far.evidence.len() < limits::RECORD_FAILURES_SHOWN {
            let items = answer.evidence().into_iter();
            let texts: Vec<_> = items.map(|item| format!("{}: {}", item.title, item.text)).collect();
            // Few are kept, and none whole: an answer may be large.
            self.answered
                .so_far
                .evidence
                .push(shown(evidence(format!("record {index}"), texts.join("\n")), self.masker));
        }
    }

    /// The stream broke, and goes on behind the last answer.
    pub(super) fn resumes(&mut self) {
        self.answered.so_far.resumed += 1;
    }

    /// A record of so many bytes is sent for the first time.
    pub(super) fn sends(&mut self, bytes: usize) {
        self.answered.so_far.bytes += bytes as u64;
    }

    /// How many answers are not noted.
    pub(super) fn unnoted(&self) -> usize {
        self.answered.micros.len() - self.noted
    }

    /// Those, to be noted now.
    pub(super) fn note(&mut self) -> Answers {
        let micros = self.answered.micros[self.noted..].to_vec();
        self.noted = self.answered.micros.len();
        Answers { micros, so_far: self.answered.so_far.clone() }
    }

    /// Whether all checks of each answer hold.
    fn check(&mut self, answer: &Answer, scope: &Value, index: u64) -> bool {
        let failures = checks::failures(&self.each, answer, scope);
        let fine = failures.is_empty();
        for failure in failures {
            let place = self.places[failure.check as usize];
            let failed = &mut self.answered.so_far.failed;
            failed.entry(place).or_insert_with(|| First::at(index, failure.mismatch)).count += 1;
        }
        fine
    }

    /// What the stream came to.
    pub(super) fn finish(mut self, whole: &Whole) -> StepResult {
        let result = self.result(whole);
        let mut outcome = self.outcome(whole, &result);
        let mut saved = BTreeMap::new();
        if outcome == Outcome::Ok {
            match checks::saved(&self.order.saves, Some(&result)) {
                Ok(found) => saved = found,
                Err(error) => outcome = Outcome::CallFailed { message: error.to_string() },
            }
        }
        let mut all = Vec::new();
        if outcome != Outcome::Ok {
            all.push(evidence("stream", format!("{result:#}")));
            all.append(&mut self.answered.so_far.evidence);
        }
        StepResult { outcome, duration_ms: whole.duration.as_secs_f64() * 1e3, tries: 1, saved, evidence: all }
    }

    fn outcome(&self, whole: &Whole, result: &Value) -> Outcome {
        let looks_at_error = self.order.checks.iter().any(|check| check.field == "error");
        if let Some(error) = &whole.error
            && (!looks_at_error || error.kind == ErrorKind::Order)
        {
            let message = format!("{} ({} records were answered)", error.message, self.answers());
            return if error.kind == ErrorKind::Order {
                Outcome::Error { message }
            } else {
                Outcome::CallFailed { message }
            };
        }
        if let Some(broken) = &self.answered.so_far.broken {
            return outcome_of(broken, self.answers());
        }
        let mut failures: Vec<CheckFailure> = Vec::new();
        for (place, check) in (0..).zip(&self.order.checks) {
            let why = match self.answered.so_far.failed.get(&place) {
                Some(failed) => Some(mismatch_of(failed, self.answers())),
                None if check.field.starts_with("each.") => None,
                None => self.whole_field(check, whole, result).err(),
            };
            failures.extend(why.map(|why| checks::failure(place, why)));
        }
        checks::failed_or_ok(failures)
    }

    fn whole_field(&self, check: &Check, whole: &Whole, result: &Value) -> Result<(), Mismatch> {
        let actual = match check.field.as_str() {
            "records" => Actual::Json(self.answered.so_far.applied.into()),
            "duration" => Actual::Duration(whole.duration),
            "error" => whole.error.as_ref().map_or(Actual::Missing, |error| Actual::Text(error.kind.word().to_owned())),
            field => match field.strip_prefix("latency.").map(|name| &result["latency"][name]) {
                Some(Value::Number(ms)) => {
                    Actual::Duration(Duration::from_secs_f64(ms.as_f64().unwrap_or_default() / 1e3))
                }
                _ => Actual::Missing,
            },
        };
        check.matcher.check(&actual, &Value::Null)
    }

    /// What saves look into.
    fn result(&mut self, whole: &Whole) -> Value {
        self.answered.micros.sort_unstable();
        let Answers { micros, so_far } = &self.answered;
        let at = |share: f64| {
            let rank = (share * micros.len() as f64).ceil() as usize;
            micros.get(rank.max(1) - 1).map(|micros| f64::from(*micros) / 1e3)
        };
        let duration = whole.duration.as_micros() as f64 / 1e3;
        json!({
            "records": so_far.applied,
            "bytes": so_far.bytes,
            "resumed": so_far.resumed,
            "latency": { "p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": at(1.0) },
            "duration": duration,
        })
    }
}

fn mismatch_of(failed: &First<Mismatch>, of: u64) -> Mismatch {
    let Mismatch { at, expected, actual } = failed.first.clone();
    Mismatch { at, expected, actual: format!("{actual} (record {}; {} of {of} records)", failed.index, failed.count) }
}

fn outcome_of(broken: &First<Outcome>, of: u64) -> Outcome {
    let told = |message: &str| format!("record {}: {message} ({} of {of} records)", broken.index, broken.count);
    match &broken.first {
        Outcome::Error { message } => Outcome::Error { message: told(message) },
        Outcome::CallFailed { message } | Outcome::Unknown { message } => {
            Outcome::CallFailed { message: told(message) }
        }
        Outcome::Ok | Outcome::Failed(_) => Outcome::CallFailed { message: told("failed") },
    }
}
