//! Steps that expect a number of calls of a stub.

use meshproof_proto::order::StepOrder;

use super::{Attempt, Clock, Repeat, changed};
use crate::checks;
use crate::evidence::evidence;
use crate::stub::StubServer;

/// Judges the number of calls, and again whenever one comes.
pub(super) async fn run(
    order: &StepOrder,
    clock: &Clock,
    (stub, route): (Option<&StubServer>, Option<&str>),
) -> (Attempt, u32) {
    let Some(stub) = stub else {
        return (Attempt::impossible("there is no such stub here"), 1);
    };
    if let Some(check) = order.checks.iter().find(|check| check.field != "calls") {
        return (Attempt::impossible(format!("a stub has no `{}` to check", check.field)), 1);
    }
    if !order.saves.is_empty() {
        return (Attempt::impossible("there is nothing to save of a stub"), 1);
    }
    let mut changes = stub.changes();
    let mut tries = 0;
    loop {
        tries += 1;
        changes.borrow_and_update();
        let attempt = attempt(order, stub, route);
        if attempt.repeat == Repeat::Useless || clock.left().is_none() {
            return (attempt, tries);
        }
        changed(&mut changes, clock).await;
    }
}

fn attempt(order: &StepOrder, stub: &StubServer, route: Option<&str>) -> Attempt {
    let Some(calls) = stub.calls(route) else {
        let route = route.unwrap_or_default();
        return Attempt::impossible(format!("stub `{}` has no route `{route}`", stub.name()));
    };
    let checks = (0..).zip(&order.checks);
    let failures = checks.filter_map(|(index, check)| checks::number(index, check, calls)).collect();
    let last = stub.last_calls();
    let text = if last.is_empty() { "no calls".to_owned() } else { last.join("\n") };
    Attempt::of(checks::failed_or_ok(failures), vec![evidence(format!("last calls of stub {}", stub.name()), &text)])
}
