//! What is looked at during a whole test, and which step is to blame when it breaks.
//!
//! A watch is ordered before the first step and told to have a last look after the last one. What an agent sees cannot say why it
//! happened. The step that asked something of that service last can: it is named, since what a service does after its answer it does
//! for the one it answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshproof_proto::event::StepResult;
use meshproof_proto::id::Name;
use meshproof_proto::order::StepKey;
use meshproof_proto::verdict::Verdict;

use super::api::Output;
use super::blame::Judged;
use super::limits::{BEGIN_DEADLINE, RESULT_MARGIN};
use super::machine::{Phase, Run};
use super::stepping::{Begun, End, Running, Spot, Wait};
use crate::plan::compiled::{Ask, Does};
use crate::record::{Ending, StepInfo};

/// How far a watch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// The agent does not look yet.
    Beginning,
    Looking,
    /// It was told to look at what there is, and to end.
    LastLook,
}

/// What was asked of whom last.
#[derive(Debug, Default)]
pub(super) struct Causes {
    of: BTreeMap<Name, StepInfo>,
    last: Option<StepInfo>,
}

impl Causes {
    fn asked(&mut self, service: &Name, step: &StepInfo) {
        self.of.insert(service.clone(), step.clone());
        self.last = Some(step.clone());
    }
}

/// The services that have to do something for a step.
fn asked(ask: &Ask) -> impl Iterator<Item = &Name> {
    let program = ask.target.is_none() && ask.parts.is_empty() && !ask.only_looks();
    let at = program.then_some(&ask.at);
    at.into_iter().chain(ask.target.as_ref().map(|target| &target.service)).chain(ask.parts.iter().map(|part| &part.at))
}

impl Run {
    /// The step that asked something of this service last, else of any.
    pub(super) fn cause(&self, service: &Name) -> Option<StepInfo> {
        let Phase::Testing(testing) = &self.phase else { return None };
        testing.causes.of.get(service).or(testing.causes.last.as_ref()).cloned()
    }

    /// A step was ordered. What its own agent does begins when that says so: its events are in order with what it sees.
    pub(super) fn step_ordered(&mut self, ask: &Ask, info: &StepInfo) {
        let Phase::Testing(testing) = &mut self.phase else { return };
        for service in asked(ask).filter(|service| **service != ask.at) {
            testing.causes.asked(service, info);
        }
    }

    /// An agent has begun a step, or sees from now on what it is to watch.
    pub(super) fn step_started(&mut self, agent: &Name, key: &StepKey) {
        let plan = Arc::clone(&self.plan);
        self.has_begun(key);
        self.ahead_begun(agent, key);
        let Phase::Testing(testing) = &mut self.phase else { return };
        if let Some(watch) = testing.watches.iter_mut().find(|watch| watch.info.key == *key) {
            if watch.wait == Wait::Watch(Watch::Beginning) {
                watch.wait = Wait::Watch(Watch::Looking);
            }
            return;
        }
        let Some(running) = testing.running.iter().find(|running| running.info.key == *key) else { return };
        if let Does::Ask(ask) = &running.spot.step(&plan).does
            && asked(ask).any(|service| service == agent)
        {
            testing.causes.asked(agent, &running.info);
        }
    }

    pub(super) fn begin_watches(&mut self) {
        let Phase::Testing(testing) = &self.phase else { return };
        let index = testing.index;
        for at in 0..self.plan.tests[index].always.len() {
            let Begun::Waiting(running) = self.begin_step(Spot::Always(index, at)) else { continue };
            let wait = Wait::Watch(Watch::Beginning);
            let watch = Running { wait, until: self.now + BEGIN_DEADLINE, ..*running };
            if let Phase::Testing(testing) = &mut self.phase {
                testing.watches.push(watch);
            }
        }
    }

    /// Every watch looks at what there is, once more, and ends.
    pub(super) fn end_watches(&mut self) {
        let until = self.now + RESULT_MARGIN;
        let Phase::Testing(testing) = &mut self.phase else { return };
        let mut outputs = Vec::new();
        for watch in &mut testing.watches {
            (watch.wait, watch.until) = (Wait::Watch(Watch::LastLook), until);
            outputs.extend(watch.info.agent.clone().map(|agent| Output::Cancel { agent, key: watch.info.key.clone() }));
        }
        outputs.into_iter().for_each(|output| self.push(output));
    }

    pub(super) fn take_watch(&mut self, fits: impl Fn(&Running) -> bool) -> Option<Running> {
        let Phase::Testing(testing) = &mut self.phase else { return None };
        let at = testing.watches.iter().position(fits)?;
        Some(testing.watches.remove(at))
    }

    /// A watch has ended: broken, or at its last look.
    pub(super) fn watch_reported(&mut self, watch: &Running, result: &StepResult) {
        let judged = Judged::of(watch.spot.step(&Arc::clone(&self.plan)), result);
        if judged.ending == Ending::Pass && watch.wait != Wait::Watch(Watch::LastLook) {
            self.end_badly(watch, Verdict::Error, "the agent stopped watching before it was told to");
            return;
        }
        let broken = judged.ending != Ending::Pass;
        let end = End {
            ending: judged.ending,
            why: judged.why.clone(),
            duration_ms: result.duration_ms,
            tries: result.tries,
        };
        self.write_end(watch, end);
        let cause = watch.info.agent.as_ref().and_then(|agent| self.cause(agent));
        self.fail_watch(&watch.info, cause, judged);
        if broken && !watch.info.optional {
            self.cancel_step("the test has failed");
        }
    }

    /// Their agent is gone: what happened there is not known.
    pub(super) fn watches_lost(&mut self, agent: &Name) {
        while let Some(watch) = self.take_watch(|watch| watch.info.agent.as_ref() == Some(agent)) {
            self.end_step(&watch, Ending::Unknown, Some("its agent was lost".to_owned()));
        }
    }

    pub(super) fn watches_timeout(&mut self) {
        let now = self.now;
        let overdue = |watch: &Running| watch.wait != Wait::Watch(Watch::Looking) && watch.until <= now;
        while let Some(watch) = self.take_watch(overdue) {
            let title = match watch.wait {
                Wait::Watch(Watch::Beginning) => "the agent did not begin to watch",
                _ => "the agent did not say what it saw",
            };
            self.end_badly(&watch, Verdict::Error, title);
        }
    }
}
