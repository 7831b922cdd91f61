//! Steps about stubs: what is expected of their calls, and changes of what they answer.

use meshproof_proto::event::{Evidence, Outcome};
use meshproof_proto::matcher::{Actual, Matcher, Mismatch};
use meshproof_proto::order::{Check, StepOrder, StubChange};
use serde_json::Value;

use super::{Attempt, Beside, Clock, Repeat, changed};
use crate::checks;
use crate::evidence::evidence;
use crate::outbox::Entry;
use crate::stub::{OutOfOrder, StubServer};

/// What can be expected of a stub.
const FIELDS: &[&str] = &["calls", "order", "health"];

/// Judges the calls, and again whenever one comes.
pub(super) async fn run(
    order: &StepOrder,
    clock: &Clock,
    (stub, route): (Option<&StubServer>, Option<&str>),
) -> (Attempt, u32) {
    let stub = match possible(order, stub) {
        Ok(stub) => stub,
        Err(impossible) => return (impossible, 1),
    };
    let mut changes = stub.changes();
    let mut tries = 0;
    loop {
        tries += 1;
        changes.borrow_and_update();
        let attempt = attempt(order, stub, route).await;
        if attempt.repeat == Repeat::Useless || clock.left().is_none() {
            return (attempt, tries);
        }
        changed(&mut changes, clock).await;
    }
}

/// The stub, if it can give what the step asks for.
pub(super) fn possible<'s>(order: &StepOrder, stub: Option<&'s StubServer>) -> Result<&'s StubServer, Attempt> {
    let Some(stub) = stub else {
        return Err(Attempt::impossible("there is no such stub here"));
    };
    if let Some(check) = order.checks.iter().find(|check| !FIELDS.contains(&check.field.as_str())) {
        return Err(Attempt::impossible(format!("a stub has no `{}` to check", check.field)));
    }
    if !order.saves.is_empty() {
        return Err(Attempt::impossible("there is nothing to save of a stub"));
    }
    Ok(stub)
}

pub(super) async fn attempt(order: &StepOrder, stub: &StubServer, route: Option<&str>) -> Attempt {
    let Some(calls) = stub.calls(route) else {
        let route = route.unwrap_or_default();
        return Attempt::impossible(format!("stub `{}` has no route `{route}`", stub.name()));
    };
    if stub.is_uncertain() {
        let message = format!(
            "stub `{}`: its agent was respawned when it had been called more often than its journal holds, so its calls cannot be counted",
            stub.name()
        );
        return Attempt {
            repeat: Repeat::Useless,
            ..Attempt::of(Outcome::Unknown { message }, vec![last_calls(stub)])
        };
    }
    let mut failures = Vec::new();
    for (index, check) in (0..).zip(&order.checks) {
        let failure = match check.field.as_str() {
            "order" => match in_order(stub, check) {
                Ok(failure) => failure.map(|why| checks::failure(index, why)),
                Err(unsupported) => return Attempt::impossible(unsupported),
            },
            "health" => health(stub, check).await.map(|why| checks::failure(index, why)),
            _ => checks::number(index, check, calls),
        };
        failures.extend(failure);
    }
    Attempt::of(checks::failed_or_ok(failures), vec![last_calls(stub)])
}

fn last_calls(stub: &StubServer) -> Evidence {
    let last = stub.last_calls();
    let text = if last.is_empty() { "no calls".to_owned() } else { last.join("\n") };
    evidence(format!("last calls of stub {}", stub.name()), text)
}

/// Whether the routes were called in the order of the check; `Err`: that cannot be known.
fn in_order(stub: &StubServer, check: &Check) -> Result<Option<Mismatch>, String> {
    let wanted = match &check.matcher {
        Matcher::Equals(list) => list.value(&Value::Null).map_err(|unset| unset.to_string())?,
        _ => return Err("an order of calls is a list of routes".to_owned()),
    };
    let wanted: Vec<String> = serde_json::from_value(wanted).map_err(|error| error.to_string())?;
    let actual = match stub.in_order(&wanted) {
        Ok(()) => return Ok(None),
        Err(OutOfOrder::Missing { came: 0, next }) => format!("no call of {next}"),
        Err(OutOfOrder::Missing { came, next }) => {
            format!("{}, and then no call of {next}", wanted[..came].join(", "))
        }
        Err(OutOfOrder::Forgotten { held, all }) => {
            return Err(format!(
                "unsupported: the order of {all} calls, of which the stub remembers the last {held}; its `journal` \
                 says how many"
            ));
        }
    };
    Ok(Some(Mismatch { at: String::new(), expected: wanted.join(", "), actual }))
}

async fn health(stub: &StubServer, check: &Check) -> Option<Mismatch> {
    let word = if stub.is_healthy().await { "ok" } else { "silent" };
    check.matcher.check(&Actual::Text(word.to_owned()), &Value::Null).err()
}

/// Purges the stub, or gives it other routes.
pub(super) async fn change(order: &StepOrder, (beside, stub): (&Beside, &str), change: &StubChange) -> Attempt {
    let Some(stub) = beside.stubs.get(stub) else {
        return Attempt::impossible("there is no such stub here");
    };
    if !order.checks.is_empty() || !order.saves.is_empty() {
        return Attempt::impossible("a change of a stub brings nothing back");
    }
    beside.notes.write(Entry::StubChanged { stub: stub.name().to_owned(), change: change.clone() }).await;
    match stub.change(change) {
        Ok(()) => Attempt::of(Outcome::Ok, Vec::new()),
        Err(error) => Attempt::impossible(error.to_string()),
    }
}
