//! What must hold all the time: looked at whenever something happens, until it is broken or nobody wants to know any more.

use std::time::Duration;

use meshproof_proto::event::{Outcome, StepResult};
use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{Action, StepOrder};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::log::Count;
use super::{Attempt, Beside, Clock, log, metric, stub};
use crate::evidence::told;
use crate::logs::Mark;
use crate::stub::StubServer;

/// Whoever has ordered a watch.
#[derive(Debug)]
pub struct Watched {
    /// Told once everything that comes is looked at: only then may steps begin whose consequences it is to see.
    /// Of a log, from where on.
    pub begun: oneshot::Sender<Option<Mark>>,
    /// Ends the watch, with a last look at everything that came before.
    pub stop: CancellationToken,
    /// Of a log that was watched before, from where on.
    pub from: Option<Mark>,
}

/// Whether a step is a watch, which ends when it is told to.
#[must_use]
pub fn is_watch(action: &Action) -> bool {
    matches!(action, Action::WatchLog { .. } | Action::WatchStub { .. } | Action::WatchMetric { .. })
}

/// Watches to its end. What is broken stays broken, so the first breach ends it.
pub async fn watch_step(order: &StepOrder, beside: &Beside, watched: Watched) -> StepResult {
    let clock = Clock::of(order);
    let attempt = match &order.action {
        Action::WatchLog { log } => watch_log(order, (beside, log), watched).await,
        Action::WatchStub { stub, route } => {
            watch_stub(order, (beside.stubs.get(stub), route.as_deref()), watched).await
        }
        Action::WatchMetric { metric, labels } => watch_metric(order, (beside, metric, labels), watched).await,
        _ => Attempt::impossible("this step is no watch"),
    };
    told(attempt.result(&clock, 1), &beside.masker)
}

async fn watch_log(order: &StepOrder, (beside, log): (&Beside, &str), watched: Watched) -> Attempt {
    let logs = &beside.logs;
    if let Some(impossible) = log::impossible(order, logs, log) {
        return impossible;
    }
    // What was written before belongs to whatever came before.
    logs.read_to_end().await;
    let mut changes = logs.changes();
    let mark = watched.from.unwrap_or_else(|| logs.mark());
    let mut count = Count::from(order, (beside, log), mark.clone());
    let _ = watched.begun.send(Some(mark));
    loop {
        changes.borrow_and_update();
        count.look_at_kept(logs).await;
        let attempt = count.attempt();
        if attempt.outcome != Outcome::Ok {
            return attempt;
        }
        tokio::select! {
            Ok(()) = changes.changed() => {}
            () = watched.stop.cancelled() => break,
        }
    }
    let within = Duration::from_millis(order.within_ms);
    if timeout(within, logs.read_to_end()).await.is_err() {
        let message = format!("log {log} could not be read to its end within {within:?}");
        return Attempt::of(Outcome::Unknown { message }, Vec::new());
    }
    count.look_at_kept(logs).await;
    count.attempt()
}

async fn watch_stub(
    order: &StepOrder,
    (stub, route): (Option<&StubServer>, Option<&str>),
    watched: Watched,
) -> Attempt {
    let stub = match stub::possible(order, stub) {
        Ok(stub) => stub,
        Err(impossible) => return impossible,
    };
    let mut changes = stub.changes();
    let _ = watched.begun.send(None);
    loop {
        changes.borrow_and_update();
        let attempt = stub::attempt(order, stub, route).await;
        if attempt.outcome != Outcome::Ok || watched.stop.is_cancelled() {
            return attempt;
        }
        tokio::select! {
            Ok(()) = changes.changed() => {}
            () = watched.stop.cancelled() => {}
        }
    }
}

/// A number is looked at whenever it was sampled or fetched. That there is none yet breaks nothing before the last look.
async fn watch_metric(
    order: &StepOrder,
    (beside, metric, labels): (&Beside, &str, &[(String, Matcher)]),
    watched: Watched,
) -> Attempt {
    let metrics = &beside.metrics;
    let mut changes = metrics.changes();
    let _ = watched.begun.send(None);
    loop {
        changes.borrow_and_update();
        match metric::judged(order, (metrics, metric, labels)) {
            Ok(attempt) if attempt.outcome != Outcome::Ok => return attempt,
            Ok(_) | Err(_) => {}
        }
        tokio::select! {
            Ok(()) = changes.changed() => {}
            () = watched.stop.cancelled() => break,
        }
    }
    let within = Duration::from_millis(order.within_ms);
    if timeout(within, metrics.refresh(metric)).await.is_err() {
        let message = format!("the metric {metric} could not be looked at within {within:?}");
        return Attempt::of(Outcome::Unknown { message }, Vec::new());
    }
    metric::judged(order, (metrics, metric, labels)).unwrap_or_else(|none| none)
}
