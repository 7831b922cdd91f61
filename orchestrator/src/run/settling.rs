//! The wait for quiet: nothing happens beside any agent for a while, at the same time.
//!
//! Every agent waits until it was quiet for so long, and counts. When all have, they count once more: the same numbers say that
//! nobody did anything since the first of them began to wait. Else it begins anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::event::{Outcome, StepResult};
use meshproof_proto::id::Name;
use meshproof_proto::order::{ACTIVITY, Action, StepKey, StepOrder, millis};

use super::api::Output;
use super::blame::Judged;
use super::machine::{Phase, Run};
use super::stepping::{Begun, End, Running, Wait};
use crate::plan::compiled::{Does, Settle};
use crate::record::Ending;

/// Every key of an agent's part begins so.
const PART: &str = "settle.";

/// How far the wait is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settling {
    /// Odd ones wait for quiet, even ones only count.
    round: u32,
    waiting: BTreeSet<Name>,
    /// What was counted in the round before, and in this one.
    before: BTreeMap<Name, u64>,
    now: BTreeMap<Name, u64>,
}

/// Whether this is an agent's part of a wait for quiet.
pub(super) fn is_part(key: &StepKey) -> bool {
    key.step.starts_with(PART)
}

impl Run {
    pub(super) fn begin_settle(&mut self, settle: &Settle, running: Running) -> Begun {
        let mut running = Running { wait: Wait::Quiet(Settling::default()), ..running };
        if self.next_round(settle, &mut running) {
            return Begun::Waiting(Box::new(running));
        }
        Begun::Ended(self.end_step(&running, Ending::Pass, None))
    }

    /// Asks every agent that is there; whether there is any.
    fn next_round(&mut self, settle: &Settle, running: &mut Running) -> bool {
        let step = running.spot.step(&self.plan);
        let left = (running.began + step.within).saturating_duration_since(self.now);
        let Wait::Quiet(settling) = &mut running.wait else { return false };
        settling.round += 1;
        settling.before = std::mem::take(&mut settling.now);
        settling.waiting = settle.agents.iter().filter(|agent| !self.lost.contains_key(agent)).cloned().collect();
        let quiet = if settling.round % 2 == 1 { settle.quiet } else { Duration::ZERO };
        let (round, waiting) = (settling.round, settling.waiting.clone());
        for agent in &waiting {
            let order = self.part((agent, &running.info.key.test, round), (quiet, left));
            self.push(Output::order(agent.clone(), order));
        }
        !waiting.is_empty()
    }

    fn part(&self, (agent, test, round): (&Name, &str, u32), (quiet, left): (Duration, Duration)) -> StepOrder {
        StepOrder {
            authority: self.setup.authority.clone(),
            key: StepKey { test: test.to_owned(), step: format!("{PART}{agent}"), attempt: round },
            action: Action::Settle { quiet_ms: millis(quiet) },
            checks: Vec::new(),
            saves: Vec::new(),
            // Counting takes a moment also when all of the time is used up.
            within_ms: millis(left.max(Duration::from_secs(1))),
            eventually_ms: None,
            after: None,
        }
    }

    /// Another instance of the agent waits in the place of the one that did.
    pub(super) fn settle_again(&mut self, agent: &Name) {
        let plan = Arc::clone(&self.plan);
        let Phase::Testing(testing) = &self.phase else { return };
        let waits = testing.running.iter().find_map(|running| match &running.wait {
            Wait::Quiet(settling) if settling.waiting.contains(agent) => Some((running, settling.round)),
            _ => None,
        });
        let Some((running, round)) = waits else { return };
        let step = running.spot.step(&plan);
        let Does::Settle(settle) = &step.does else { return };
        let left = (running.began + step.within).saturating_duration_since(self.now);
        let quiet = if round % 2 == 1 { settle.quiet } else { Duration::ZERO };
        let order = self.part((agent, &running.info.key.test, round), (quiet, left));
        self.push(Output::OrderAgain { agent: agent.clone(), order: Box::new(order) });
    }

    /// An agent was quiet for so long, or never.
    pub(super) fn settle_reported(&mut self, agent: &Name, key: &StepKey, result: &StepResult) {
        let plan = Arc::clone(&self.plan);
        let waits = |running: &Running| match &running.wait {
            Wait::Quiet(settling) => settling.round == key.attempt && settling.waiting.contains(agent),
            _ => false,
        };
        let Phase::Testing(testing) = &mut self.phase else { return };
        let Some(mut running) = testing.take_running(waits) else { return };
        let step = running.spot.step(&plan);
        if result.outcome != Outcome::Ok {
            let mut judged = Judged::of(step, result);
            judged.of_agent(agent);
            self.write_end(
                &running,
                End { ending: judged.ending, why: judged.why.clone(), ..End::of(&running, self.now) },
            );
            self.fail_step(&running.info, judged);
            return;
        }
        let Wait::Quiet(settling) = &mut running.wait else { return };
        let counted = result.saved.get(ACTIVITY).and_then(|text| text.parse().ok()).unwrap_or_default();
        settling.waiting.remove(agent);
        settling.now.insert(agent.clone(), counted);
        let all = settling.waiting.is_empty();
        let quiet = settling.round % 2 == 0 && settling.before == settling.now;
        if all && quiet {
            self.end_step(&running, Ending::Pass, None);
            return;
        }
        if let (true, Does::Settle(settle)) = (all, &step.does) {
            self.next_round(settle, &mut running);
        }
        if let Phase::Testing(testing) = &mut self.phase {
            testing.running.push(running);
        }
    }

    /// An agent did not take its part: it is not waited for, and the step says so.
    pub(super) fn settle_refused(&mut self, key: &StepKey, reason: &str) {
        let Phase::Testing(testing) = &mut self.phase else { return };
        let Some(running) = testing.take_running(|running| matches!(running.wait, Wait::Quiet(_))) else { return };
        let who = key.step.trim_start_matches(PART);
        let title = format!("agent `{who}` did not wait for quiet: {reason}");
        self.end_badly(&running, meshproof_proto::verdict::Verdict::Error, &title);
    }
}
