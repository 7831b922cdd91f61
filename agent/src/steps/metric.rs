//! Steps that expect something of a number: what the service's processes use, or what it tells.

use meshproof_proto::event::{CheckFailure, Outcome};
use meshproof_proto::matcher::{Matcher, Mismatch};
use meshproof_proto::order::{Check, StepOrder};
use meshproof_proto::stat;
use serde_json::Value;
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
    let end = |number: f64| check.matcher.check(&stat::actual(&check.matcher, number), &Value::Null);
    let mismatch = end(range.least).and_then(|()| end(range.most)).err()?;
    let exact = range.least == range.most;
    let actual = if exact { mismatch.actual } else { format!("between {} and {}", range.least, range.most) };
    Some(Mismatch { actual, ..mismatch })
}

#[cfg(test)]
mod tests {
    use meshproof_proto::matcher::{Comparison, Quantity};

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
