//! Steps that call the service: HTTP, TCP, programs.

use meshproof_proto::event::Outcome;
use meshproof_proto::order::StepOrder;
use meshproof_proto::trace::Traceparent;
use serde_json::Value;

use super::{Attempt, Beside, Clock, Repeat, Telling, limits};
use crate::action::{Answer, ErrorKind, Live, perform_for};
use crate::checks;
use crate::permits::Terms;

/// Repeats the call after growing waits until it holds or the time is over. Gives the last try and the number of tries.
pub(super) async fn run(order: &StepOrder, clock: &Clock, beside: &Beside, telling: Telling) -> (Attempt, u32) {
    let live = Live::of(&order.key, &beside.facts, &beside.masker);
    let mut wait = limits::POLL_FIRST;
    let mut tries = 1;
    let mut last = attempt(order, clock, (beside, &live), telling).await;
    while last.repeat == Repeat::Useful {
        let Some(left) = clock.left() else { break };
        // Never past the end: the last try is made at the end itself, so that all of the time is used.
        tokio::time::sleep(wait.min(left)).await;
        wait = (wait * 2).min(limits::POLL_LONGEST);
        tries += 1;
        let next = attempt(order, clock, (beside, &live), telling).await;
        if next.repeat == Repeat::CutShort {
            break;
        }
        last = next;
    }
    (last, tries)
}

async fn attempt(order: &StepOrder, clock: &Clock, (beside, live): (&Beside, &Live<'_>), telling: Telling) -> Attempt {
    let bound = clock.bound();
    let connections = Some(&beside.connections);
    let parent = Some(Traceparent::of(&order.authority.run, &order.key));
    let terms = Terms { within: bound, permits: &beside.permits, connections, live: Some(live), parent };
    let answer = Box::pin(perform_for(&order.action, &order.checks, &Value::Null, terms)).await;
    let mut attempt = judged(order, &answer, telling);
    let timed_out = answer.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Timeout);
    if attempt.outcome != Outcome::Ok && timed_out && clock.cuts(bound) {
        attempt.repeat = Repeat::CutShort;
    }
    attempt
}

fn judged(order: &StepOrder, answer: &Answer, telling: Telling) -> Attempt {
    let mut outcome = checks::judge(&order.checks, answer, &Value::Null);
    let mut found = std::collections::BTreeMap::new();
    if outcome == Outcome::Ok {
        match checks::saved(&order.saves, answer.json().as_ref()) {
            Ok(saved) => found = saved,
            Err(error) => outcome = Outcome::CallFailed { message: error.to_string() },
        }
    }
    if outcome == Outcome::Ok {
        let evidence = match telling {
            Telling::Phases => answer.timing(),
            Telling::All => answer.evidence(),
        };
        return Attempt { saved: found, evidence, ..Attempt::of(outcome, Vec::new()) };
    }
    Attempt { saved: found, ..Attempt::of(outcome, answer.evidence()) }
}
