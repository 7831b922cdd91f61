//! Sync points in a run: the steps' own signals, barriers and topics. They begin anew with each test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jsonpath_rust::JsonPath as _;
use meshproof_proto::event::{Outcome as StepOutcome, StepResult};
use meshproof_proto::matcher::Actual;
use meshproof_proto::sync::{Member, Missing as Short, Op, Outcome, Sync, SyncError, Waiter, WaiterId, What};
use meshproof_proto::verdict::Verdict;
use serde_json::Value;

use super::blame::Judged;
use super::machine::{Phase, Run};
use super::programs::{Asked, lost};
use super::stepping::{Begun, End, Running, Wait};
use crate::plan::compiled::{Conduct, Does, Step, SyncChange, SyncStep};
use crate::plan::orders::{Missing, judge_fields};
use crate::record::Ending;

/// The sync points of a test, and numbers for what its steps do.
#[derive(Debug, Default)]
pub(super) struct Syncing {
    pub(super) points: Sync,
    pub(super) asked: Asked,
    waiters: u64,
    /// Of the ops of each member.
    numbers: BTreeMap<String, u64>,
}

impl Syncing {
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.points.poll_timeout()
    }

    pub(super) fn waiter(&mut self) -> WaiterId {
        self.waiters += 1;
        WaiterId(self.waiters)
    }

    pub(super) fn handle(&mut self, member: &str, what: What) -> Result<Option<u64>, SyncError> {
        let next = self.numbers.entry(member.to_owned()).or_default();
        let number = *next;
        *next += 1;
        self.points.handle(Op { member: member.to_owned(), number, what })
    }

    /// As [`Self::handle`], for a step.
    fn done(&mut self, member: &str, what: What) -> Result<(), String> {
        self.handle(member, what).map(|_| ()).map_err(|error| error.to_string())
    }

    pub(super) fn lose(&mut self, member: &str) {
        self.points.lose(member);
    }

    pub(super) fn lose_all(&mut self, members: impl IntoIterator<Item = Member>) {
        self.points.lose_all(members);
    }

    pub(super) fn restore(&mut self, member: &str) {
        self.points.restore(member);
    }
}

impl Run {
    pub(super) fn begin_sync(&mut self, step: &Step, sync: &SyncStep, (running, scope): (Running, &Value)) -> Begun {
        let member = sync.member.as_str();
        let waiter = match &sync.what {
            SyncChange::Signal(name) => {
                let done = self.sync.done(member, What::Signal { name: name.clone() });
                return self.known_at_once(running, Ok(outcome(done)));
            }
            SyncChange::Publish { topic, value } => {
                let value = match value.value(scope) {
                    Ok(value) => value.to_string(),
                    Err(unset) => return self.known_at_once(running, Err(Missing(unset.0))),
                };
                let done = self.sync.done(member, What::Publish { topic: topic.clone(), value });
                return self.known_at_once(running, Ok(outcome(done)));
            }
            SyncChange::Barrier(barrier) => {
                // Who waits at a barrier has come to it.
                let come = self.sync.done(member, What::Signal { name: barrier.name.clone() });
                if let Err(message) = come {
                    return self.known_at_once(running, Ok(StepOutcome::Error { message }));
                }
                Waiter::Barrier(barrier.clone())
            }
            SyncChange::Subscribe { topic, count } => Waiter::Topic { topic: topic.clone(), count: *count },
        };
        let id = self.sync.waiter();
        self.sync.points.wait(id, waiter, (step.within, self.now));
        Begun::Waiting(Box::new(Running { wait: Wait::Sync(id), ..running }))
    }

    pub(super) fn sync_timeout(&mut self) {
        self.sync.points.handle_timeout(self.now);
    }

    /// Ends the steps whose wait has ended.
    pub(super) fn settle_sync(&mut self) {
        while let Some((id, ended)) = self.sync.points.poll_output() {
            if self.sync.asked.take(id, &ended) {
                continue;
            }
            let Phase::Testing(testing) = &mut self.phase else { return };
            let Some(running) = testing.take_running(|running| running.wait == Wait::Sync(id)) else { continue };
            match ended {
                Outcome::Opened { .. } => drop(self.end_step(&running, Ending::Pass, None)),
                Outcome::Values(values) | Outcome::More { values, .. } => self.values_came(&running, &values),
                Outcome::Lost { gone, needed, left } => {
                    self.end_badly(&running, Verdict::Fail, &lost(&gone, needed, left));
                }
                Outcome::Late { missing } => drop(self.end_badly(&running, Verdict::Fail, &late(&missing))),
            }
        }
    }

    /// Nobody waits for it any more.
    pub(super) fn stop_waiting(&mut self, running: &Running) {
        match &running.wait {
            Wait::Sync(id) => self.sync.points.give_up(*id),
            Wait::Counted(counting) => self.stop_counting(running, counting),
            _ => {}
        }
    }

    fn values_came(&mut self, running: &Running, values: &[String]) {
        let plan = Arc::clone(&self.plan);
        let step = running.spot.step(&plan);
        let Does::Conduct(Conduct::Sync(sync)) = &step.does else { return };
        let values: Vec<Value> = values.iter().filter_map(|value| serde_json::from_str(value).ok()).collect();
        let values = Value::Array(values);
        let scope = self.scope.seen_from_step(step, None);
        let outcome = match judge_fields(&sync.checks, &scope, |_| Some(Actual::Json(values.clone()))) {
            Ok(failures) if failures.is_empty() => self.save_from(sync, &values),
            Ok(failures) => StepOutcome::Failed(failures),
            Err(unset) => StepOutcome::Error { message: unset.to_string() },
        };
        let end = End::of(running, self.now);
        let result = StepResult {
            outcome,
            duration_ms: end.duration_ms,
            tries: 1,
            saved: std::collections::BTreeMap::new(),
            evidence: Vec::new(),
        };
        let judged = Judged::of(step, &result);
        self.write_end(running, End { ending: judged.ending, why: judged.why.clone(), ..end });
        self.fail_step(&running.info, judged);
    }

    fn save_from(&mut self, sync: &SyncStep, values: &Value) -> StepOutcome {
        for save in &sync.saves {
            let found = values.query(&save.value.path).ok();
            match found.and_then(|found| found.first().map(|value| (*value).clone())) {
                Some(value) => self.scope.save(&save.value.name, value),
                None => {
                    let message = format!("`{}` finds nothing to save in {values}", save.value.path);
                    return StepOutcome::CallFailed { message };
                }
            }
        }
        StepOutcome::Ok
    }
}

fn outcome(done: Result<(), String>) -> StepOutcome {
    match done {
        Ok(()) => StepOutcome::Ok,
        Err(message) => StepOutcome::Error { message },
    }
}

fn late(missing: &Short) -> String {
    match missing {
        Short::Members { missing, arrived, needed } => {
            let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
            format!("{arrived} of {needed} have come in time; missing: {}", missing.join(", "))
        }
        Short::Values { there, needed } => format!("{there} of {needed} values came in time"),
    }
}
