//! Steps that expect something of a number: what the service's processes use, or what it tells.

use meshproof_proto::event::{CheckFailure, Outcome};
use meshproof_proto::matcher::{Actual, Matcher, Mismatch, Quantity};
use meshproof_proto::order::{Check, StepOrder};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

use super::{Attempt, Clock, Repeat, limits};
use crate::checks;
use crate::evidence::evidence;
use crate::metrics::{Metrics, NoNumber, Question, Range, Stat};

/// A metric, and what its labels must be.
type Asked<'a> = (&'a Metrics, &'a str, &'a [(String, Matcher)]);

/// Looks and judges, and again after growing waits: nothing tells when a number changes.
pub(super) async fn run(order: &StepOrder, clock: &Clock, asked: Asked<'_>) -> (Attempt, u32) {
    if !order.saves.is_empty() {
        return (Attempt::impossible("there is nothing to save of a metric"), 1);
    }
    let mut wait = limits::POLL_FIRST;
    let mut tries = 0;
    loop {
        tries += 1;
        let attempt = attempt(order, clock, asked).await;
        let left = clock.left().filter(|_| attempt.repeat == Repeat::Useful);
        let Some(left) = left else { return (attempt, tries) };
        tokio::time::sleep(wait.min(left)).await;
        wait = (wait * 2).min(limits::POLL_LONGEST);
    }
}

async fn attempt(order: &StepOrder, clock: &Clock, asked: Asked<'_>) -> Attempt {
    let (metrics, metric, _) = asked;
    if timeout(clock.bound(), metrics.refresh(metric)).await.is_err() {
        let message = format!("the service did not tell its metrics within {:?}", clock.within);
        return Attempt::of(Outcome::CallFailed { message }, Vec::new());
    }
    judged(order, asked).unwrap_or_else(|none| none)
}

/// Holds what was seen last against the checks; `Err` where there is no such number yet.
pub(super) fn judged(order: &StepOrder, (metrics, metric, labels): Asked<'_>) -> Result<Attempt, Attempt> {
    let mut failures = Vec::new();
    let mut is_there = true;
    for (index, check) in (0..).zip(&order.checks) {
        let Some(stat) = Stat::of(&check.field) else {
            return Ok(Attempt::impossible(format!("a metric has no `{}` to check", check.field)));
        };
        match metrics.number(&Question { metric, labels, stat }) {
            Ok(range) => failures.extend(outside(check, range).map(|why| checks::failure(index, why))),
            Err(NoNumber::Yet(why)) => {
                is_there = false;
                failures.push(missing(index, check, why));
            }
            Err(NoNumber::Ever(why)) => return Ok(Attempt::impossible(why)),
        }
    }
    let shown = vec![evidence(format!("metric {metric}"), metrics.shown(metric))];
    let attempt = Attempt::of(checks::failed_or_ok(failures), shown);
    if is_there { Ok(attempt) } else { Err(attempt) }
}

fn missing(index: u32, check: &Check, actual: String) -> CheckFailure {
    let expected = check.matcher.describe(&Value::Null);
    checks::failure(index, Mismatch { at: String::new(), expected, actual })
}

/// A range satisfies a check when both of its ends do.
fn outside(check: &Check, range: Range) -> Option<Mismatch> {
    let end = |number: f64| check.matcher.check(&actual(&check.matcher, number), &Value::Null);
    let mismatch = end(range.least).and_then(|()| end(range.most)).err()?;
    let exact = range.least == range.most;
    let actual = if exact { mismatch.actual } else { format!("between {} and {}", range.least, range.most) };
    Some(Mismatch { actual, ..mismatch })
}

/// The number in the unit that it is compared with: metrics are told in seconds and bytes.
fn actual(matcher: &Matcher, number: f64) -> Actual {
    match serde_json::Number::from_f64(number) {
        _ if is_of_time(matcher) => Actual::Duration(Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX)),
        // whole numbers as people write them
        Some(_) if number.fract() == 0.0 && number.abs() < 1e15 => Actual::Json(Value::from(number as i64)),
        Some(number) => Actual::Json(Value::Number(number)),
        None => Actual::Text(number.to_string()),
    }
}

fn is_of_time(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::Compare(_, Quantity::DurationNs(_)) => true,
        Matcher::Not(inner) => is_of_time(inner),
        Matcher::All(all) => all.iter().any(is_of_time),
        Matcher::Equals(_)
        | Matcher::Compare(..)
        | Matcher::Regex(_)
        | Matcher::Contains(_)
        | Matcher::In(_)
        | Matcher::Exists(_)
        | Matcher::Paths(_)
        | Matcher::CompareTo(..)
        | Matcher::RegexOf(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::matcher::Comparison;

    use super::*;

    fn less(quantity: Quantity) -> Check {
        Check { field: "p99".to_owned(), matcher: Matcher::Compare(Comparison::Less, quantity) }
    }

    #[test]
    fn a_range_holds_only_with_both_of_its_ends_and_seconds_are_compared_with_times() {
        let check = less(Quantity::DurationNs(500_000_000));
        assert_eq!(outside(&check, Range { least: 0.1, most: 0.25 }), None);
        let wrong = outside(&check, Range { least: 0.25, most: f64::INFINITY }).expect("it may be more");
        assert_eq!(wrong.actual, "between 0.25 and inf");
        assert_eq!(outside(&less(Quantity::Bytes(10)), Range::of(9.0)), None);
        assert_eq!(outside(&less(Quantity::Percent(10.0)), Range::of(11.0)).expect("more").actual, "11");
        assert!(outside(&less(Quantity::Number(3.0)), Range::of(f64::NAN)).is_some(), "not a number is less than none");
    }
}
