//! Steps that are ordered before their turn, so that their agent begins each as soon as the one before it has ended well.
//!
//! They are steps in a row of one agent, between which nothing else happens: nothing is saved that the next one may need, nobody
//! watches whose word could fail the test in between, no stub's calls have to be counted against a step. For the journal such a step
//! begins when the one before it is known to have ended; what was ordered and is not known to have ended then is never called well.

use std::collections::VecDeque;
use std::sync::Arc;

use meshproof_proto::id::Name;
use meshproof_proto::limits::STEPS_AHEAD;
use meshproof_proto::order::StepKey;

use super::api::Output;
use super::limits::CANCEL_GRACE;
use super::machine::{Phase, Run};
use super::stepping::{Spot, Wait};
use super::tally;
use crate::plan::Plan;
use crate::plan::compiled::{Ask, Does, Step, Test};
use crate::record::Ending;

/// Those of one test, in the order of the plan.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    ordered: VecDeque<Ordered>,
}

#[derive(Clone, Debug)]
struct Ordered {
    /// Of the test's steps.
    at: usize,
    key: StepKey,
    agent: Name,
    /// The agent did not take it; it is ordered again in its turn.
    refused: bool,
}

impl Ahead {
    /// Whether the step with this index is the next one here.
    pub(super) fn is_next(&self, at: usize) -> bool {
        self.ordered.front().is_some_and(|next| next.at == at)
    }

    /// Whether its agent begins the step with this index by itself.
    pub(super) fn is_at_its_agent(&self, at: usize) -> bool {
        self.ordered.front().is_some_and(|next| next.at == at && !next.refused)
    }

    /// The turn of this step has come: whether its agent has the order.
    fn take(&mut self, key: &StepKey) -> bool {
        self.ordered.pop_front_if(|next| next.key == *key).is_some_and(|next| !next.refused)
    }

    /// This one was given up before its turn came: its agent has forgotten it, and what is behind it.
    fn forget_from(&mut self, key: &StepKey) {
        let from = self.ordered.iter().position(|ordered| ordered.key == *key);
        self.ordered.truncate(from.unwrap_or(self.ordered.len()));
    }
}

/// Whether a step's own agent, and nobody else, has to do with it.
fn alone(step: &Step) -> Option<&Ask> {
    match &step.does {
        Does::Ask(ask) if ask.apply.is_none() && step.group.is_none() => Some(ask),
        _ => None,
    }
}

fn is_watched(plan: &Plan, test: &Test) -> bool {
    !plan.stubs.is_empty() || !test.always.is_empty() || test.settle.is_some()
}

impl Run {
    fn ahead(&mut self) -> Option<&mut Ahead> {
        match &mut self.phase {
            Phase::Testing(testing) => Some(&mut testing.ahead),
            _ => None,
        }
    }

    /// The step's turn has come; whether its agent has its order already.
    pub(super) fn is_ordered(&mut self, key: &StepKey) -> bool {
        self.ahead().is_some_and(|ahead| ahead.take(key))
    }

    /// Orders what comes after this step, as far as nothing has to be waited for.
    pub(super) fn order_ahead(&mut self, spot: Spot) {
        let plan = Arc::clone(&self.plan);
        let is_held = self.hold.is_held();
        let (Spot::Steps(index, at), Some(ahead)) = (spot, self.ahead()) else { return };
        // many orders at once are few messages
        if is_held || ahead.ordered.len() > STEPS_AHEAD / 2 || is_watched(&plan, &plan.tests[index]) {
            return;
        }
        let first = ahead.ordered.back().map_or(at, |ordered| ordered.at);
        let room = STEPS_AHEAD - ahead.ordered.len();
        for last in first..first + room {
            if !self.order_behind((index, last), &plan) {
                return;
            }
        }
    }

    /// Orders the step behind this one before its turn, if it can be.
    fn order_behind(&mut self, (index, at): (usize, usize), plan: &Plan) -> bool {
        let test = &plan.tests[index];
        let (Some(before), Some(step)) = (test.steps.get(at), test.steps.get(at + 1)) else { return false };
        let (Some(first), Some(ask)) = (alone(before), alone(step)) else { return false };
        if first.at != ask.at || !first.saves.is_empty() {
            return false;
        }
        if step.when.is_some() && !step.is_wanted(&self.scope.seen_from_step(step, Some(&ask.at))) {
            return false;
        }
        let key = tally::key(&test.id, &step.key);
        let Ok(Output::Order { agent, mut order }) = self.orders(step, ask, &key) else { return false };
        order.after = Some(tally::key(&test.id, &before.key));
        if let Some(ahead) = self.ahead() {
            ahead.ordered.push_back(Ordered { at: at + 1, key, agent: agent.clone(), refused: false });
        }
        self.push(Output::Order { agent, order });
        true
    }

    /// An agent says of a step whose turn has not come that it does not take it.
    pub(super) fn ahead_refused(&mut self, key: &StepKey) {
        let Some(ahead) = self.ahead() else { return };
        if let Some(refused) = ahead.ordered.iter_mut().find(|ordered| ordered.key == *key) {
            refused.refused = true;
        }
    }

    /// An agent tells the end of a step whose turn has not come.
    pub(super) fn ahead_given_up(&mut self, key: &StepKey) {
        if let Some(ahead) = self.ahead() {
            ahead.forget_from(key);
        }
    }

    /// The running step has not ended well: its agent has forgotten what is behind it.
    pub(super) fn forget_ahead(&mut self) {
        if let Some(ahead) = self.ahead() {
            ahead.ordered.clear();
        }
    }

    /// The instance that had these orders is gone, and none of them has had its turn.
    pub(super) fn forget_ahead_of(&mut self, agent: &Name) {
        if let Some(ahead) = self.ahead() {
            ahead.ordered.retain(|ordered| ordered.agent != *agent);
        }
    }

    /// No step begins any more. The last ones first, so that none begins in between.
    pub(super) fn cancel_ahead(&mut self) {
        let ordered: Vec<_> = self.ahead().into_iter().flat_map(|ahead| ahead.ordered.iter().rev().cloned()).collect();
        for Ordered { key, agent, .. } in ordered {
            if !self.lost.contains_key(&agent) {
                self.push(Output::Cancel { agent, key });
            }
        }
    }

    /// The step before was not begun, so none of these was.
    pub(super) fn drop_ahead(&mut self) {
        self.cancel_ahead();
        self.forget_ahead();
    }

    /// The step before this one has ended well, so its agent has begun it, though the test goes no further.
    pub(super) fn abandon_step(&mut self, spot: Spot) {
        let plan = Arc::clone(&self.plan);
        let info = self.info(&plan, spot);
        if !self.is_ordered(&info.key) {
            return self.drop_ahead();
        }
        let Some(agent) = info.agent.clone() else { return };
        self.push(Output::Cancel { agent, key: info.key.clone() });
        let until = self.now + CANCEL_GRACE;
        let running = self.begun(spot, info, (until, Wait::Cancelled));
        if let Phase::Testing(testing) = &mut self.phase {
            testing.running.push(running);
        }
    }

    /// The agent is gone, and what was ordered there too.
    pub(super) fn ahead_lost(&mut self, agent: &Name) {
        if self.ahead().is_some_and(|ahead| ahead.ordered.front().is_some_and(|next| next.agent == *agent)) {
            self.ahead_unknown("its agent was lost, it may have happened or not");
        }
    }

    /// How the step before ended is not known, so what was ordered behind it may have happened or not.
    pub(super) fn ahead_unknown(&mut self, why: &str) {
        self.cancel_ahead();
        let Phase::Testing(testing) = &mut self.phase else { return };
        let index = testing.index;
        let plan = Arc::clone(&self.plan);
        for ordered in std::mem::take(&mut testing.ahead.ordered) {
            let spot = Spot::Steps(index, ordered.at);
            let info = self.info(&plan, spot);
            let running = self.begun(spot, info, (self.now, Wait::Cancelled));
            self.end_step(&running, Ending::Unknown, Some(why.to_owned()));
        }
    }
}
