//! The processes of services: what is done to them, and how they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use meshproof_proto::event::{CheckFailure, Outcome, StepResult};
use meshproof_proto::id::Name;
use meshproof_proto::limits::FAULT_LEASE;
use meshproof_proto::matcher::Actual;
use meshproof_proto::order::{StepKey, millis};
use meshproof_proto::verdict::Verdict;
use serde_json::Value;

use super::api::{Output, ProcessOrder};
use super::blame::{Blame, Judged};
use super::faults::Faults;
use super::limits::{RENEWALS_PER_LEASE, RESULT_MARGIN};
use super::machine::{Phase, Run};
use super::measured::Measured;
use super::stepping::{Begun, End, Running, Wait};
use crate::plan::compiled::{Conduct, Does, ProcessChange, ProcessStep, StateOf, Step};
use crate::plan::model::Check;
use crate::plan::orders::{Missing, judge_fields};
use crate::record::Ending;

/// What is told of a process that was killed: 128, and the number of SIGKILL.
pub(super) const KILLED: i32 = 128 + 9;

/// What is known of services' processes. Those not named run.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// Exit codes.
    ended: BTreeMap<Name, i32>,
    frozen: BTreeMap<Name, Frozen>,
}

/// Until when, at the latest.
#[derive(Clone, Debug)]
struct Frozen {
    by: StepKey,
    until: Lease,
}

#[derive(Clone, Copy, Debug)]
enum Lease {
    EndsAt(Instant),
    /// It lasts until it is thawed, and is renewed at this time.
    RenewAt(Instant),
}

impl Processes {
    /// One of them left.
    pub(super) fn left(&mut self, service: &Name, code: i32) {
        self.frozen.remove(service);
        self.ended.entry(service.clone()).or_insert(code);
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        let times = self.frozen.values().map(|frozen| match frozen.until {
            Lease::EndsAt(at) | Lease::RenewAt(at) => at,
        });
        times.min()
    }

    /// Whether that service's do, as far as is known.
    pub(super) fn run(&self, service: &Name) -> bool {
        !self.ended.contains_key(service) && !self.frozen.contains_key(service)
    }

    /// Leases that are to be renewed now and again are to be renewed at this time.
    pub(super) fn renew_at(&mut self, now: Instant) {
        for frozen in self.frozen.values_mut() {
            if let Lease::RenewAt(at) = &mut frozen.until {
                *at = now;
            }
        }
    }

    /// What `expect: { process: … }` sees.
    fn field(&self, service: &Name, field: &str) -> Option<Actual> {
        let code = self.ended.get(service);
        match field {
            "is" if code.is_some() => Some(Actual::Text("ended".to_owned())),
            "is" if self.frozen.contains_key(service) => Some(Actual::Text("frozen".to_owned())),
            "is" => Some(Actual::Text("running".to_owned())),
            _ => code.map(|code| Actual::Json(Value::from(*code))),
        }
    }
}

/// What has a state.
#[derive(Clone, Copy)]
struct Known<'r> {
    processes: &'r Processes,
    faults: &'r Faults,
    measured: &'r Measured,
}

/// What is not as a step expects it. `Err` names what an expectation looks up and nobody knows.
fn failures(known: Known<'_>, (of, checks): (&StateOf, &[Check]), scope: &Value) -> Result<Vec<CheckFailure>, Missing> {
    let field = |field: &str| match of {
        StateOf::Service(service) => known.processes.field(service, field),
        StateOf::Fault(fault) => Some(Actual::Text(known.faults.course(fault).to_owned())),
        StateOf::Measured { of, metric } => {
            let check = checks.iter().find(|check| check.field == field)?;
            known.measured.seen((of, metric), check)
        }
    };
    judge_fields(checks, scope, field)
}

impl Run {
    pub(super) fn begin_conduct(
        &mut self,
        step: &Step,
        conduct: &Conduct,
        (running, scope): (Running, &Value),
    ) -> Begun {
        match conduct {
            Conduct::Process(process) => self.begin_change(process, running),
            Conduct::KillZone(zone) => self.begin_killing_zone(zone, running),
            Conduct::State { of, checks } => self.begin_state(step, (of, checks), (running, scope)),
            Conduct::Churn(churn) => self.begin_churn(churn, &running),
            Conduct::Sync(sync) => self.begin_sync(step, sync, (running, scope)),
            Conduct::Pause(text) => match text.render(scope) {
                Ok(text) => {
                    self.push(Output::Pause { key: running.info.key.clone(), text });
                    Begun::Waiting(Box::new(Running { wait: Wait::Person, ..running }))
                }
                Err(unset) => self.known_at_once(running, Err(Missing(unset.0))),
            },
        }
    }

    fn begin_change(&mut self, process: &ProcessStep, running: Running) -> Begun {
        let what = match &process.what {
            ProcessChange::Kill => ProcessOrder::Kill,
            ProcessChange::KillAgent => ProcessOrder::KillAgent,
            ProcessChange::Freeze(lasts) => ProcessOrder::Freeze { lease_ms: millis(lasts.unwrap_or(FAULT_LEASE)) },
            ProcessChange::Thaw => ProcessOrder::Thaw,
            ProcessChange::Restart(_) => {
                let plan = Arc::clone(&self.plan);
                let service = plan.services.iter().find(|service| service.name == process.service);
                match service.map(|service| self.scope.launch(service)) {
                    Some(Ok(launch)) => ProcessOrder::Restart(Box::new(launch)),
                    Some(Err(unset)) => return self.known_at_once(running, Err(unset)),
                    None => return self.known_at_once(running, Err(Missing(process.service.to_string()))),
                }
            }
        };
        self.push(Output::Change { key: running.info.key.clone(), service: process.service.clone(), what });
        Begun::Waiting(Box::new(Running { wait: Wait::Change, ..running }))
    }

    /// It is done, or not.
    pub(super) fn processes_changed(&mut self, key: &StepKey, result: Result<(), String>) {
        let plan = Arc::clone(&self.plan);
        if self.member_changed(key, &result) || self.has_moved(key, &result) {
            return;
        }
        let Some(running) = self.take_running(key, |running| running.wait == Wait::Change) else {
            // A renewal, or the thawing at a test's end.
            if let Err(reason) = result {
                let title = format!("frozen processes are not as they should be: {reason}");
                self.fail(Verdict::Error, Blame::new(None, title));
            }
            return;
        };
        let Does::Conduct(Conduct::Process(process)) = &running.spot.step(&plan).does else { return };
        if let Err(reason) = result {
            self.end_badly(&running, Verdict::Error, &reason);
            return;
        }
        self.changed(process, &running.info.key);
        if let ProcessChange::Restart(Some(ready)) = &process.what {
            return self.wait_until_back(ready, *running);
        }
        self.end_step(&running, Ending::Pass, None);
    }

    /// What was known of the processes of a service is of those before.
    pub(super) fn processes_anew(&mut self, service: &Name) {
        self.processes.ended.remove(service);
        self.processes.frozen.remove(service);
        self.dead.remove(service);
        self.sync.restore(service.as_str());
    }

    fn changed(&mut self, process: &ProcessStep, key: &StepKey) {
        let service = process.service.clone();
        match process.what {
            ProcessChange::Kill => {
                // Should its end not have been told yet.
                self.processes.left(&service, KILLED);
                self.sync.lose(service.as_str());
            }
            ProcessChange::Freeze(lasts) => {
                let until = match lasts {
                    Some(lasts) => Lease::EndsAt(self.now + lasts),
                    None => Lease::RenewAt(self.now + FAULT_LEASE / RENEWALS_PER_LEASE),
                };
                self.processes.frozen.insert(service, Frozen { by: key.clone(), until });
            }
            // What becomes of the agent is told by itself.
            ProcessChange::KillAgent => {}
            ProcessChange::Thaw => drop(self.processes.frozen.remove(&service)),
            ProcessChange::Restart(_) => self.processes_anew(&service),
        }
    }

    /// The restarted service is asked whether it is ready, as it was when it was started first.
    fn wait_until_back(&mut self, ready: &Step, running: Running) {
        let Does::Ask(ask) = &ready.does else {
            self.end_step(&running, Ending::Pass, None);
            return;
        };
        match self.orders(ready, ask, &running.info.key) {
            Ok(output) => {
                self.push(output);
                let bound = ready.within + ready.eventually.as_ref().map(|time| time.value).unwrap_or_default();
                let wait = Wait::Result { agent: ask.at.clone(), helpers: Vec::new() };
                let running = Running { wait, until: self.now + bound + RESULT_MARGIN, ..running };
                if let Phase::Testing(testing) = &mut self.phase {
                    testing.running.push(running);
                }
            }
            Err(unset) => drop(self.end_badly(&running, Verdict::Error, &unset.to_string())),
        }
    }

    fn known(&self) -> Known<'_> {
        Known { processes: &self.processes, faults: &self.faults, measured: &self.measured }
    }

    fn begin_state(
        &mut self,
        step: &Step,
        expected: (&StateOf, &[Check]),
        (running, scope): (Running, &Value),
    ) -> Begun {
        let failures = failures(self.known(), expected, scope);
        match (&step.eventually, &failures) {
            (Some(eventually), Ok(failures)) if !failures.is_empty() => {
                let until = self.now + eventually.value;
                Begun::Waiting(Box::new(Running { wait: Wait::State { tries: 1 }, until, ..running }))
            }
            _ => self.known_at_once(running, failures.map(outcome)),
        }
    }

    /// Something happened: steps that wait for the state of processes or faults look again.
    pub(super) fn settle_states(&mut self) {
        let plan = Arc::clone(&self.plan);
        let Phase::Testing(testing) = &mut self.phase else { return };
        let known = Known { processes: &self.processes, faults: &self.faults, measured: &self.measured };
        let scope = &self.scope;
        let holds = |running: &Running| {
            let step = running.spot.step(&plan);
            let Does::Conduct(Conduct::State { of, checks }) = &step.does else { return false };
            let failures = failures(known, (of, checks), &scope.seen_from_step(step, None));
            failures.is_ok_and(|failures| failures.is_empty())
        };
        let waits = |running: &Running| matches!(running.wait, Wait::State { .. });
        let done: Vec<Running> = testing.running.extract_if(.., |running| waits(running) && holds(running)).collect();
        for running in done {
            let Wait::State { tries } = running.wait else { continue };
            self.write_end(&running, End { tries: tries + 1, ..End::of(&running, self.now) });
        }
    }

    /// The last look.
    pub(super) fn state_overdue(&mut self, running: &Running, tries: u32) -> Ending {
        let plan = Arc::clone(&self.plan);
        let step = running.spot.step(&plan);
        let Does::Conduct(Conduct::State { of, checks }) = &step.does else { return Ending::Error };
        let scope = self.scope.seen_from_step(step, None);
        let outcome = match failures(self.known(), (of, checks), &scope) {
            Ok(failures) => outcome(failures),
            Err(unset) => Outcome::Error { message: unset.to_string() },
        };
        let end = End { tries: tries + 1, ..End::of(running, self.now) };
        let result = StepResult {
            outcome,
            duration_ms: end.duration_ms,
            tries: end.tries,
            saved: BTreeMap::new(),
            evidence: Vec::new(),
        };
        let judged = Judged::of(step, &result);
        let ending = self.write_end(running, End { ending: judged.ending, why: judged.why.clone(), ..end });
        self.fail_step(&running.info, judged);
        ending
    }

    /// Renews leases; notes those that are over.
    pub(super) fn processes_timeout(&mut self) {
        let now = self.now;
        self.processes.frozen.retain(|_, frozen| !matches!(frozen.until, Lease::EndsAt(at) if at <= now));
        let mut renewed = Vec::new();
        for (service, frozen) in &mut self.processes.frozen {
            if let Lease::RenewAt(at) = &mut frozen.until
                && *at <= now
            {
                *at = now + FAULT_LEASE / RENEWALS_PER_LEASE;
                renewed.push((service.clone(), frozen.by.clone()));
            }
        }
        for (service, key) in renewed {
            let what = ProcessOrder::Freeze { lease_ms: millis(FAULT_LEASE) };
            self.push(Output::Change { key, service, what });
        }
    }

    /// Nothing stays frozen past its test.
    pub(super) fn thaw_all(&mut self) {
        for (service, frozen) in std::mem::take(&mut self.processes.frozen) {
            self.push(Output::Change { key: frozen.by, service, what: ProcessOrder::Thaw });
        }
    }

    pub(super) fn resumed(&mut self, key: &StepKey, result: Result<(), String>) {
        let Some(running) = self.take_running(key, |running| running.wait == Wait::Person) else { return };
        if let Phase::Testing(testing) = &mut self.phase {
            testing.excuse(self.now.saturating_duration_since(running.began));
        }
        match result {
            Ok(()) => self.end_step(&running, Ending::Pass, None),
            Err(why) => self.skip(&running.info, &why),
        };
    }
}

fn outcome(failures: Vec<CheckFailure>) -> Outcome {
    if failures.is_empty() { Outcome::Ok } else { Outcome::Failed(failures) }
}
