//! An agent is gone, and another instance of it takes its place: what becomes of what it was doing.
//!
//! When the other instance is there, everything that the one before had told was handled. So of each step it is known whether it had
//! begun. One that had, and whose end nobody told, may have happened or not: it is unknown, unless it says `idempotent`, or only looks at
//! something; then it is begun once more, under the same key. A stream whose records have keys goes on where it was. Everything else is
//! ordered again as it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use meshproof_proto::event::{Outcome, StepResult};
use meshproof_proto::id::Name;
use meshproof_proto::order::{StepKey, millis};
use meshproof_proto::verdict::Verdict;

use super::api::{Lease, OrdersTogether, Output};
use super::blame::Judged;
use super::limits::{BEGIN_DEADLINE, RESULT_MARGIN};
use super::machine::{Phase, Run};
use super::stepping::{Course, End, Running, Spot, Wait};
use super::watching::Watch;
use crate::plan::compiled::{Ask, Conduct, Does, ProcessChange, ProcessStep, Step};

impl Run {
    /// Steps that have to do with its service and act from elsewhere may feel it.
    pub(super) fn agent_down(&mut self, agent: &Name, how: &str) {
        if matches!(self.phase, Phase::Closing { .. } | Phase::Over) || self.lost.contains_key(agent) {
            return;
        }
        self.down.insert(agent.clone(), (self.now, how.to_owned()));
        self.programs_interrupted(agent);
        self.move_off(agent);
        let plan = Arc::clone(&self.plan);
        self.each_running(|running| {
            if touches(running.spot.step(&plan), agent) {
                running.shaken = Some(agent.clone());
            }
        });
    }

    pub(super) fn agent_back(&mut self, agent: &Name) {
        let Some((since, how)) = self.down.remove(agent) else { return };
        self.agent_goes_on(agent);
        self.service_moves(agent);
        self.go_on_with_faults(agent);
        if let Phase::Testing(testing) = &mut self.phase {
            // The time without it is not the test's.
            testing.excuse(self.now.saturating_duration_since(since));
        }
        self.ahead_interrupted(agent, &how);
        for (key, spot) in self.steps_at(agent) {
            self.go_on_with_step(&key, spot, &how);
        }
        self.go_on_with_watches(agent);
        self.settle_again(agent);
        self.count_again(agent);
    }

    /// Those whose results this agent owes.
    pub(super) fn steps_at(&mut self, agent: &Name) -> Vec<(StepKey, Spot)> {
        let mut found = Vec::new();
        self.each_running(|running| {
            if matches!(&running.wait, Wait::Result { agent: owes, .. } if owes == agent) {
                found.push((running.info.key.clone(), running.spot));
            }
        });
        found
    }

    /// Its agent says so.
    pub(super) fn has_begun(&mut self, key: &StepKey) {
        self.each_running(|running| {
            if running.info.key == *key {
                running.course = Course::Begun;
            }
        });
    }

    pub(super) fn each_running(&mut self, mut each: impl FnMut(&mut Running)) {
        match &mut self.phase {
            Phase::Testing(testing) => testing.running.iter_mut().for_each(each),
            Phase::Starting(starting) => starting.each_running(&mut each),
            Phase::Waiting | Phase::Closing { .. } | Phase::Over => {}
        }
    }

    pub(super) fn go_on_with_step(&mut self, key: &StepKey, spot: Spot, how: &str) {
        let plan = Arc::clone(&self.plan);
        let step = spot.step(&plan);
        let is_back = !matches!(step.does, Does::Ask(_));
        let Some((step, ask)) = asked(step) else { return };
        let mut has_begun = false;
        let until = self.now + bound(step) + RESULT_MARGIN;
        self.each_running(|running| {
            if running.info.key == *key {
                has_begun = running.course == Course::Begun;
                running.until = until;
            }
        });
        if has_begun && !is_back && !may_be_repeated(spot, step, ask) {
            return self.unknown_after(key, how);
        }
        match self.orders(step, ask, key) {
            Ok(Output::Order { agent, order, .. }) => self.push(Output::OrderAgain { agent, order }),
            Ok(Output::Together(orders)) => {
                self.push(Output::Together(Box::new(OrdersTogether { again: true, ..*orders })));
            }
            // The names that it needs were set when it was ordered first.
            Ok(_) | Err(_) => return self.unknown_after(key, how),
        }
        self.order_ahead(spot);
    }

    /// It may have happened or not.
    fn unknown_after(&mut self, key: &StepKey, how: &str) {
        let Some(running) = self.take_running(key, |running| matches!(running.wait, Wait::Result { .. })) else {
            return;
        };
        let who = running.info.agent.as_ref().map(ToString::to_string).unwrap_or_default();
        let message = format!(
            "agent `{who}` was gone while it ran ({how}): it may have happened or not; a step that may be run again says `idempotent: true`"
        );
        let plan = Arc::clone(&self.plan);
        let end = End::of(&running, self.now);
        let judged = Judged::of(running.spot.step(&plan), &unknown(message, end.duration_ms));
        let ending = self.write_end(&running, End { ending: judged.ending, why: judged.why.clone(), ..end });
        self.fail_step(&running.info, judged);
        self.after_step(&running, ending);
    }

    /// A watch is begun where it began, so that it misses nothing.
    fn go_on_with_watches(&mut self, agent: &Name) {
        let plan = Arc::clone(&self.plan);
        let Phase::Testing(testing) = &mut self.phase else { return };
        let mut again = Vec::new();
        for watch in testing.watches.iter_mut().filter(|watch| watch.info.agent.as_ref() == Some(agent)) {
            watch.until = self.now + BEGIN_DEADLINE;
            again.push((watch.info.key.clone(), watch.spot, watch.wait == Wait::Watch(Watch::LastLook)));
        }
        for (key, spot, was_ending) in again {
            if was_ending {
                if let Some(watch) = self.take_watch(|watch| watch.info.key == key) {
                    self.end_badly(&watch, Verdict::Unknown, "its agent was gone before its last look");
                }
                continue;
            }
            let step = spot.step(&plan);
            let Does::Ask(ask) = &step.does else { continue };
            if let Ok(Output::Order { agent, order, .. }) = self.orders(step, ask, &key) {
                self.push(Output::OrderAgain { agent, order });
            }
        }
    }

    /// What disturbed from there went with the instance before: it is begun again, for as long as is left of it.
    fn go_on_with_faults(&mut self, agent: &Name) {
        for (step, left) in self.faults.resume(agent, self.now) {
            for (at, order) in self.fault_orders(&step).into_iter().filter(|(at, _)| at == agent) {
                // one without a time of its own is renewed, as it is all the time
                let of = left.map_or(Lease::Same, |_| Lease::Former);
                let lease_ms = left.map_or(order.lease_ms, millis);
                let order = meshproof_proto::order::FaultOrder { lease_ms, ..order };
                self.push(Output::RenewFault { agent: at, order: Box::new(order), of });
            }
        }
    }

    /// What came of a step during which an agent was gone that it had to do with: only what went well is certain.
    pub(super) fn shaken(running: &Running, result: StepResult) -> StepResult {
        let Some(agent) = &running.shaken else { return result };
        let what = match &result.outcome {
            Outcome::CallFailed { message } => message.clone(),
            Outcome::Failed(_) => "its checks did not hold".to_owned(),
            Outcome::Ok | Outcome::Unknown { .. } | Outcome::Error { .. } => return result,
        };
        let message = format!("agent `{agent}` was gone meanwhile: {what}");
        StepResult { outcome: Outcome::Unknown { message }, ..result }
    }
}

fn unknown(message: String, duration_ms: f64) -> StepResult {
    StepResult {
        outcome: Outcome::Unknown { message },
        duration_ms,
        tries: 1,
        saved: std::collections::BTreeMap::new(),
        evidence: Vec::new(),
    }
}

pub(super) fn bound(step: &Step) -> std::time::Duration {
    step.within + step.eventually.as_ref().map_or(std::time::Duration::ZERO, |eventually| eventually.value)
}

/// What an agent was asked for: the step itself, or whether a restarted service is back.
fn asked(step: &Step) -> Option<(&Step, &Ask)> {
    match &step.does {
        Does::Ask(ask) => Some((step, ask)),
        Does::Conduct(Conduct::Process(ProcessStep { what: ProcessChange::Restart(Some(ready)), .. })) => asked(ready),
        _ => None,
    }
}

/// Whether a step acts on that agent's service, and from elsewhere.
fn touches(step: &Step, agent: &Name) -> bool {
    let Does::Ask(ask) = &step.does else { return false };
    let helpers = ask.parts.iter().map(|part| &part.at);
    let services: BTreeSet<&Name> = ask.target.iter().map(|target| &target.service).chain(helpers).collect();
    ask.at != *agent && services.contains(agent)
}

/// Whether it does no harm to do it once more: it says so, it asks whether a service is ready, it only looks, or it goes on where it was.
pub(super) fn may_be_repeated(spot: Spot, step: &Step, ask: &Ask) -> bool {
    step.idempotent || ask.only_looks() || ask.goes_on(step) || matches!(spot, Spot::Ready(_))
}
