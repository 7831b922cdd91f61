//! Waits until a service has come to rest: it logs nothing, and calls no stub.
//!
//! An answer is not the end of the work behind it. What a service does after it answered shows in its logs and in its calls,
//! so the absence of both for a while is the best that can be seen from outside.

use std::time::Duration;

use meshproof_proto::event::Outcome;
use meshproof_proto::order::ACTIVITY;
use tokio::time::{Instant, timeout_at};

use super::{Attempt, Beside, Clock};
use crate::evidence::evidence;

/// Ends once nothing has happened for so long; without a time, at once. Bounded by the step's `within`.
pub(super) async fn run(clock: &Clock, beside: &Beside, quiet: Duration) -> (Attempt, u32) {
    let end = Instant::now() + clock.within;
    let mut logs = beside.logs.changes();
    let mut stubs: Vec<_> = beside.stubs.values().map(crate::stub::StubServer::changes).collect();
    let mut disturbed = 0;
    if timeout_at(end, beside.logs.read_to_end()).await.is_err() {
        return (never(clock, beside, disturbed), 1);
    }
    while !quiet.is_zero() {
        logs.borrow_and_update();
        stubs.iter_mut().for_each(|stub| drop(stub.borrow_and_update()));
        let until = Instant::now() + quiet;
        let calls = stubs.iter_mut().map(|stub| Box::pin(changed(stub)));
        let calls = futures::future::select_all(calls.chain([Box::pin(changed(&mut logs))]));
        if timeout_at(until.min(end), calls).await.is_err() {
            if until > end {
                return (never(clock, beside, disturbed), 1);
            }
            break;
        }
        disturbed += 1;
    }
    let mut attempt = Attempt::of(Outcome::Ok, Vec::new());
    attempt.saved.insert(ACTIVITY.to_owned(), activity(beside).to_string());
    (attempt, 1)
}

async fn changed(changes: &mut tokio::sync::watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        // The other side ended: nothing will change any more.
        std::future::pending::<()>().await;
    }
}

/// Lines and calls so far.
fn activity(beside: &Beside) -> u64 {
    let calls: u64 = beside.stubs.values().filter_map(|stub| stub.calls(None)).sum();
    beside.logs.mark().lines() + calls
}

fn never(clock: &Clock, beside: &Beside, disturbed: u32) -> Attempt {
    let message = format!("not quiet within {:?}: {disturbed} times something more came", clock.within);
    let calls = beside.stubs.values().flat_map(crate::stub::StubServer::last_calls).collect::<Vec<_>>().join("\n");
    let last = beside.logs.last(crate::limits::EVIDENCE_LINES);
    let lines: String = last.iter().map(|line| format!("{}: {}\n", line.log, line.text)).collect();
    let shown = [("last lines", lines), ("last calls of stubs", calls)];
    let shown = shown.into_iter().filter(|(_, text)| !text.is_empty());
    Attempt::of(Outcome::CallFailed { message }, shown.map(|(title, text)| evidence(title, text)).collect())
}
