//! Runs one step: does it, checks it, saves from it, and under `eventually` again until it holds.
//!
//! What the world tells by itself is waited for: new log lines, calls of stubs. Only calls to services, which nothing can
//! announce, are repeated after growing waits. Dropping the future gives the step up.

mod calls;
mod link;
mod log;
mod metric;
mod settle;
mod stub;
mod watch;

pub(crate) use link::{Near, look_at_link};
pub use watch::{Watched, is_watch, watch_step};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::event::{Evidence, Fact, Outcome, StepResult};
use meshproof_proto::mask::Masker;
use meshproof_proto::order::{Action, StepOrder};
use tokio::sync::mpsc;

use crate::action::Connections;
use crate::blobs::Blobs;
use crate::evidence::told;
use crate::limits;
use crate::logs::LogStore;
use crate::metrics::Metrics;
use crate::notes::Notes;
use crate::permits::Permits;
use crate::stub::StubServer;

/// What is beside the service in this run.
#[derive(Debug)]
pub struct Beside {
    pub logs: LogStore,
    /// By name.
    pub stubs: BTreeMap<String, StubServer>,
    pub metrics: Metrics,
    /// Where what happens is told.
    pub facts: mpsc::Sender<Fact>,
    /// Where what is told comes to the disk.
    pub notes: Notes,
    pub permits: Arc<Permits>,
    /// HTTP connections from one step to the next.
    pub connections: Connections,
    /// Files of the run.
    pub blobs: Blobs,
    /// Takes the run's secrets out of what is told.
    pub masker: Arc<Masker>,
}

/// One try at a step.
#[derive(Debug)]
struct Attempt {
    outcome: Outcome,
    saved: BTreeMap<String, String>,
    evidence: Vec<Evidence>,
    repeat: Repeat,
}

/// Whether another try could end otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    Useful,
    /// It holds, or it can never hold.
    Useless,
    /// The try was cut short by the end of `eventually`; what the one before saw says more.
    CutShort,
}

impl Attempt {
    fn of(outcome: Outcome, evidence: Vec<Evidence>) -> Self {
        let repeat = match outcome {
            Outcome::Ok | Outcome::Error { .. } => Repeat::Useless,
            Outcome::Failed(_) | Outcome::CallFailed { .. } | Outcome::Unknown { .. } => Repeat::Useful,
        };
        let evidence = if outcome == Outcome::Ok { Vec::new() } else { evidence };
        Self { outcome, saved: BTreeMap::new(), evidence, repeat }
    }

    fn result(self, clock: &Clock, tries: u32) -> StepResult {
        StepResult {
            outcome: self.outcome,
            duration_ms: clock.began.elapsed().as_secs_f64() * 1e3,
            tries,
            saved: self.saved,
            evidence: self.evidence,
        }
    }

    fn impossible(message: impl Into<String>) -> Self {
        Self::of(Outcome::Error { message: message.into() }, Vec::new())
    }
}

/// How much is told of a call that came out well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    /// What each phase took: a run has very many.
    Phases,
    /// What was sent and what came: somebody looks at it.
    All,
}

/// Runs the step to its end. Every path ends: each try by `within`, all of them by `eventually`.
pub async fn run_step(order: &StepOrder, beside: &Beside) -> StepResult {
    run_telling(order, beside, Telling::Phases).await
}

/// The same for a person, who is told what came also when all is well.
pub async fn ask_step(order: &StepOrder, beside: &Beside) -> StepResult {
    run_telling(order, beside, Telling::All).await
}

async fn run_telling(order: &StepOrder, beside: &Beside, telling: Telling) -> StepResult {
    let clock = Clock::of(order);
    let (attempt, tries) = match &order.action {
        Action::Http(_) | Action::Tcp(_) | Action::Exec(_) | Action::Grpc(_) | Action::Ws(_) => {
            calls::run(order, &clock, beside, telling).await
        }
        Action::ExpectLog { log } => log::run(order, &clock, (beside, log)).await,
        Action::CountLog { log, past } => log::count(order, &clock, (beside, log, *past)).await,
        Action::ExpectStub { stub, route } => {
            stub::run(order, &clock, (beside.stubs.get(stub), route.as_deref())).await
        }
        Action::ExpectMetric { metric, labels } => metric::run(order, &clock, (&beside.metrics, metric, labels)).await,
        Action::ChangeStub { stub, change } => (stub::change(order, (beside, stub), change).await, 1),
        Action::Settle { quiet_ms } => settle::run(&clock, beside, Duration::from_millis(*quiet_ms)).await,
        Action::WatchLog { .. } | Action::WatchStub { .. } | Action::WatchMetric { .. } => {
            (Attempt::impossible("a watch is not a step that ends by itself"), 1)
        }
        Action::Stream(_) | Action::Load(_) | Action::ExpectLink { .. } => {
            (Attempt::impossible("what is between two agents is not an action beside one service"), 1)
        }
    };
    told(attempt.result(&clock, tries), &beside.masker)
}

/// The times of a step.
#[derive(Debug)]
struct Clock {
    began: Instant,
    within: Duration,
    eventually: Option<Duration>,
}

impl Clock {
    fn of(order: &StepOrder) -> Self {
        Self {
            began: Instant::now(),
            within: Duration::from_millis(order.within_ms),
            eventually: order.eventually_ms.map(Duration::from_millis),
        }
    }

    /// What is left for repeating; `None` when there is nothing to repeat, or no time.
    fn left(&self) -> Option<Duration> {
        self.eventually?.checked_sub(self.began.elapsed()).filter(|left| !left.is_zero())
    }

    /// How long the next try may take. The last one, made when nothing is left, has a floor: else it could never hold.
    fn bound(&self) -> Duration {
        if self.eventually.is_none() {
            return self.within;
        }
        self.left().unwrap_or_default().max(limits::LAST_TRY).min(self.within)
    }

    /// Whether a try under this bound was bounded by `eventually`.
    fn cuts(&self, bound: Duration) -> bool {
        bound < self.within
    }
}

/// Waits for the next change, or until nothing is left to wait for. `false`: the time is over.
async fn changed(changes: &mut tokio::sync::watch::Receiver<u64>, clock: &Clock) -> bool {
    match clock.left() {
        Some(left) => changed_within(changes, left).await,
        None => false,
    }
}

/// Waits for the next change, so long at most.
async fn changed_within(changes: &mut tokio::sync::watch::Receiver<u64>, left: Duration) -> bool {
    let change = async {
        if changes.changed().await.is_err() {
            // The other side ended: nothing will change any more.
            std::future::pending::<()>().await;
        }
    };
    tokio::time::timeout(left, change).await.is_ok()
}

#[cfg(test)]
mod tests;
