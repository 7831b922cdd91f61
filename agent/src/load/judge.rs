//! What a load comes to. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use meshproof_proto::event::{CheckFailure, Evidence, Outcome, StepResult};
use meshproof_proto::matcher::{Actual, Mismatch};
use meshproof_proto::order::{Check, StepOrder};
use serde_json::{Value, json};

use super::tally::Tally;
use crate::checks;
use crate::evidence::evidence;

/// Holds all that was counted against the checks of the step.
pub(super) fn judge(order: &StepOrder, tally: Tally, took: Duration) -> StepResult {
    let result = result(&tally);
    let mut outcome = outcome(order, &tally);
    let mut saved = BTreeMap::new();
    if outcome == Outcome::Ok {
        match checks::saved(&order.saves, Some(&result)) {
            Ok(found) => saved = found,
            Err(error) => outcome = Outcome::CallFailed { message: error.to_string() },
        }
    }
    let mut all = vec![evidence(Evidence::LOAD, said(&tally))];
    if outcome != Outcome::Ok {
        all.extend(tally.shown);
    }
    StepResult { outcome, duration_ms: took.as_secs_f64() * 1e3, tries: 1, saved, evidence: all }
}

fn outcome(order: &StepOrder, tally: &Tally) -> Outcome {
    if let Some(message) = &tally.impossible {
        return Outcome::Error { message: message.clone() };
    }
    let may_fail = order.checks.iter().any(|check| check.field == "failed");
    let asks_unsent = order.checks.iter().any(|check| check.field == "unsent");
    let mut failures: Vec<CheckFailure> = Vec::new();
    let mut of_each = 0..;
    for (place, check) in (0..).zip(&order.checks) {
        let why = if check.field.starts_with("each.") {
            let broken = of_each.next().and_then(|nth: u32| tally.broken.get(&nth)).filter(|_| !may_fail);
            broken.map(|broken| {
                let Mismatch { at, expected, actual } = broken.first.clone();
                let of = tally.calls;
                Mismatch {
                    at,
                    expected,
                    actual: format!("{actual} (call {}; {} of {of} calls)", broken.call, broken.count),
                }
            })
        } else {
            field(check, tally).err()
        };
        failures.extend(why.map(|why| checks::failure(place, why)));
    }
    let untold = failures.is_empty() && !may_fail && (tally.failed > 0 || (tally.unsent > 0 && !asks_unsent));
    if untold {
        let (failed, all) = (tally.failed + tally.unsent, tally.calls + tally.unsent);
        return Outcome::CallFailed { message: format!("{failed} of {all} calls failed: {}", tally.why()) };
    }
    checks::failed_or_ok(failures)
}

fn field(check: &Check, tally: &Tally) -> Result<(), Mismatch> {
    let time = |time: Option<Duration>| time.map_or(Actual::Missing, Actual::Duration);
    let actual = match check.field.as_str() {
        "calls" => Actual::Json(tally.calls.into()),
        "unsent" => Actual::Json(tally.unsent.into()),
        "failed" => Actual::Json(tally.failed_percent().into()),
        "rate" => Actual::Json(tally.rate().into()),
        "duration" => Actual::Duration(tally.elapsed),
        "max" => time(tally.took.max()),
        "p50" => time(tally.took.at(0.5)),
        "p95" => time(tally.took.at(0.95)),
        "p99" => time(tally.took.at(0.99)),
        _ => Actual::Missing,
    };
    let held = check.matcher.check(&actual, &Value::Null);
    held.map_err(|mismatch| match check.field.as_str() {
        "failed" => Mismatch { actual: format!("{:.2}% ({})", tally.failed_percent(), tally.why()), ..mismatch },
        "rate" => Mismatch { actual: format!("{:.1}/s", tally.rate()), ..mismatch },
        _ => mismatch,
    })
}

fn ms(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_micros() as f64 / 1e3)
}

/// What saves look into.
fn result(tally: &Tally) -> Value {
    let took = &tally.took;
    json!({
        "calls": tally.calls,
        "failed": tally.failed_percent(),
        "unsent": tally.unsent,
        "rate": tally.rate(),
        "p50": ms(took.at(0.5)),
        "p95": ms(took.at(0.95)),
        "p99": ms(took.at(0.99)),
        "max": ms(took.max()),
        "duration": ms(Some(tally.elapsed)),
    })
}

/// In one line, for people.
pub(super) fn said(tally: &Tally) -> String {
    let time = |time: Option<Duration>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1?}"));
    let took = &tally.took;
    let mut said = format!(
        "{} calls, {:.1}/s, p50 {}, p95 {}, p99 {}, max {}",
        tally.calls,
        tally.rate(),
        time(took.at(0.5)),
        time(took.at(0.95)),
        time(took.at(0.99)),
        time(took.max()),
    );
    if tally.failed + tally.unsent > 0 {
        said += &format!("; {:.2}% failed: {}", tally.failed_percent(), tally.why());
    }
    said
}

/// The load could not be made, or not told of.
pub(super) fn impossible(message: String, took: Duration) -> StepResult {
    let outcome = Outcome::Error { message };
    let evidence: Vec<Evidence> = Vec::new();
    StepResult { outcome, duration_ms: took.as_secs_f64() * 1e3, tries: 1, saved: BTreeMap::new(), evidence }
}
