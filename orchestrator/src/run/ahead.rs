//! Steps that are ordered before their turn, so that their agents begin each as soon as the one before it has ended well.
//!
//! They are steps in a row between which nothing else happens: nothing is saved that the next one may need, nobody watches whose word
//! could fail the test in between, no stub's calls have to be counted against a step. Where the next one is another agent's, the agent
//! of the first tells it; so what comes of the next may be heard of before the end of the first, and waits here for its turn. For the
//! journal such a step begins when the one before it is known to have ended; what was ordered and is not known to have ended then is
//! never called well.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use meshproof_proto::event::{Outcome, StepResult};
use meshproof_proto::id::Name;
use meshproof_proto::limits::STEPS_AHEAD;
use meshproof_proto::order::{StepKey, Turn};

use super::api::Output;
use super::limits::{CANCEL_GRACE, TURN_HEARD};
use super::machine::{Phase, Run};
use super::stepping::{Course, Running, Spot, Wait};
use super::tally;
use crate::plan::Plan;
use crate::plan::compiled::{Ask, Does, Step, Test};
use crate::record::Ending;

/// Those of one test, in the order of the plan.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    ordered: VecDeque<Ordered>,
    /// Whose turn has just come.
    turn: Option<Ordered>,
}

#[derive(Clone, Debug)]
struct Ordered {
    /// Of the test's steps.
    at: usize,
    key: StepKey,
    agent: Name,
    /// The agent did not take it; it is ordered again in its turn.
    refused: bool,
    /// Another agent has the step before it.
    behind_another: bool,
    told: Told,
}

impl Ordered {
    /// Its agent has no order of it, as far as is known: one whose word was lost may have begun it all the same.
    fn is_to_be_ordered(&self) -> bool {
        self.refused && matches!(self.told, Told::Nothing)
    }
}

/// What its agent told of a step before its turn.
#[derive(Clone, Debug)]
enum Told {
    Nothing,
    Begun,
    Ended(Box<StepResult>),
    /// The instance that had begun it is gone; how.
    Interrupted(String),
}

impl Ahead {
    /// Whether the step with this index is the next one here.
    pub(super) fn is_next(&self, at: usize) -> bool {
        self.ordered.front().is_some_and(|next| next.at == at)
    }

    /// Whether its agent has begun the step with this index by itself, or does: another agent's word may have come too late for that.
    pub(super) fn is_at_its_agent(&self, at: usize) -> bool {
        let waits = |next: &Ordered| next.behind_another && matches!(next.told, Told::Nothing);
        self.ordered.front().is_some_and(|next| next.at == at && !next.is_to_be_ordered() && !waits(next))
    }

    /// The turn of this step has come: whether its agent has the order.
    fn take(&mut self, key: &StepKey) -> bool {
        self.turn = self.ordered.pop_front_if(|next| next.key == *key).filter(|next| !next.is_to_be_ordered());
        self.turn.is_some()
    }

    fn of(&mut self, agent: &Name, key: &StepKey) -> Option<&mut Ordered> {
        self.ordered.iter_mut().find(|ordered| ordered.key == *key && ordered.agent == *agent)
    }

    /// This one was given up before its turn came: its agent has forgotten it, and what is behind it.
    fn forget_from(&mut self, key: &StepKey) {
        let from = self.ordered.iter().position(|ordered| ordered.key == *key);
        self.ordered.truncate(from.unwrap_or(self.ordered.len()));
    }
}

/// Whether a step's own agent, which is known before its turn, and nobody else, has to do with it.
fn alone(step: &Step) -> Option<&Ask> {
    match &step.does {
        Does::Ask(ask) if ask.parts.is_empty() && step.group.is_none() && step.spread.is_none() => Some(ask),
        _ => None,
    }
}

/// Whether the second may begin as soon as the first has ended well: then both, as they are asked for.
fn in_a_row<'p>(first: Option<&'p Step>, second: Option<&'p Step>) -> Option<(&'p Ask, &'p Ask)> {
    let (first, second) = (alone(first?)?, alone(second?)?);
    first.saves.is_empty().then_some((first, second))
}

fn is_watched(plan: &Plan, test: &Test) -> bool {
    !plan.stubs.is_empty() || !test.always.is_empty() || test.settle.is_some()
}

impl Running {
    /// Until when another agent's word should have begun it.
    pub(super) fn turn_awaited(&self) -> Option<Instant> {
        match self.course {
            Course::Awaited { until } if matches!(self.wait, Wait::Result { .. }) => Some(until),
            Course::Awaited { .. } | Course::Ordered | Course::Begun => None,
        }
    }
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
        let Some((first, ask)) = in_a_row(Some(before), Some(step)) else { return false };
        let behind_another = first.at != ask.at;
        if behind_another && (self.lost.contains_key(&ask.at) || self.down.contains_key(&ask.at)) {
            return false;
        }
        if step.when.is_some() && !step.is_wanted(&self.scope.seen_from_step(step, Some(&ask.at))) {
            return false;
        }
        let key = tally::key(&test.id, &step.key);
        let Ok(Output::Order { agent, mut order, .. }) = self.orders(step, ask, &key) else { return false };
        order.after = Some(tally::key(&test.id, &before.key));
        let turn = Turn {
            before: behind_another.then(|| first.at.clone()),
            next: self.agent_behind(Spot::Steps(index, at + 1)),
        };
        if let Some(ahead) = self.ahead() {
            let (agent, told) = (agent.clone(), Told::Nothing);
            ahead.ordered.push_back(Ordered { at: at + 1, key, agent, refused: false, behind_another, told });
        }
        self.push(Output::Order { agent, order, turn });
        true
    }

    /// Another agent, whose step may begin as soon as this one has ended well.
    pub(super) fn agent_behind(&self, spot: Spot) -> Option<Name> {
        let Spot::Steps(index, at) = spot else { return None };
        let test = &self.plan.tests[index];
        if is_watched(&self.plan, test) {
            return None;
        }
        let (first, second) = in_a_row(test.steps.get(at), test.steps.get(at + 1))?;
        (first.at != second.at).then(|| second.at.clone())
    }

    /// An agent says of a step whose turn has not come that it does not take it.
    pub(super) fn ahead_refused(&mut self, key: &StepKey) {
        let Some(ahead) = self.ahead() else { return };
        if let Some(refused) = ahead.ordered.iter_mut().find(|ordered| ordered.key == *key) {
            refused.refused = true;
        }
    }

    /// An agent has begun a step whose turn has not come.
    pub(super) fn ahead_begun(&mut self, agent: &Name, key: &StepKey) {
        if let Some(ordered) = self.ahead().and_then(|ahead| ahead.of(agent, key)) {
            ordered.told = Told::Begun;
        }
    }

    /// An agent tells the end of a step whose turn has not come.
    pub(super) fn ahead_ended(&mut self, agent: &Name, key: &StepKey, result: StepResult) {
        let Some(ahead) = self.ahead() else { return };
        let never_begun = result.tries == 0 && matches!(result.outcome, Outcome::Unknown { .. });
        if never_begun {
            ahead.forget_from(key);
        } else if let Some(ordered) = ahead.of(agent, key) {
            ordered.told = Told::Ended(Box::new(result));
        }
    }

    /// The step whose turn has come is under way: what was told of it before counts now.
    pub(super) fn catch_up(&mut self) {
        let Some(Ordered { at, key, agent, behind_another, told, .. }) =
            self.ahead().and_then(|ahead| ahead.turn.take())
        else {
            return;
        };
        match told {
            Told::Nothing if behind_another => {
                let until = self.now + TURN_HEARD;
                self.each_running(|running| {
                    if running.info.key == key {
                        running.course = Course::Awaited { until };
                    }
                });
            }
            Told::Nothing => {}
            Told::Begun => self.step_started(&agent, &key),
            Told::Ended(result) => {
                self.step_started(&agent, &key);
                self.step_reported(&agent, &key, *result);
            }
            Told::Interrupted(how) => {
                self.has_begun(&key);
                if let Phase::Testing(testing) = &self.phase {
                    self.go_on_with_step(&key, Spot::Steps(testing.index, at), &how);
                }
            }
        }
    }

    /// Its agent was not told that its turn has come, or did not take the order: it is ordered in its turn.
    pub(super) fn order_awaited(&mut self, running: Box<Running>) {
        let (spot, key) = (running.spot, running.info.key.clone());
        if let Phase::Testing(testing) = &mut self.phase {
            testing.running.push(Running { course: Course::Ordered, ..*running });
        }
        // the names that it needs were set when it was ordered first
        let _ = self.order_now(spot, &key);
    }

    pub(super) fn turn_not_heard(&mut self) {
        let now = self.now;
        let Phase::Testing(testing) = &mut self.phase else { return };
        let late = testing.take_running(|running| running.turn_awaited().is_some_and(|until| until <= now));
        if let Some(running) = late {
            self.order_awaited(Box::new(running));
        }
    }

    /// The running step has not ended well: its agent has forgotten what is behind it.
    pub(super) fn forget_ahead(&mut self) {
        if let Some(ahead) = self.ahead() {
            ahead.ordered.clear();
        }
    }

    /// The instance that had these orders is gone, and everything that it told was heard.
    pub(super) fn ahead_interrupted(&mut self, agent: &Name, how: &str) {
        let Some(ahead) = self.ahead() else { return };
        let was_told_nothing = |ordered: &mut Ordered| ordered.agent == *agent && matches!(ordered.told, Told::Nothing);
        while ahead.ordered.pop_back_if(was_told_nothing).is_some() {}
        for ordered in ahead.ordered.iter_mut().filter(|ordered| ordered.agent == *agent) {
            match ordered.told {
                // others wait behind it: it keeps its place, and is ordered in its turn
                Told::Nothing => ordered.refused = true,
                Told::Begun => ordered.told = Told::Interrupted(how.to_owned()),
                Told::Ended(_) | Told::Interrupted(_) => {}
            }
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
        let told = self.ahead().and_then(|ahead| ahead.turn.take()).map_or(Told::Nothing, |turn| turn.told);
        let is_gone = self.lost.contains_key(&agent) || matches!(told, Told::Interrupted(_));
        let until = if is_gone { self.now } else { self.now + CANCEL_GRACE };
        let key = info.key.clone();
        let running = self.begun(spot, info, (until, Wait::Cancelled));
        if let Phase::Testing(testing) = &mut self.phase {
            testing.running.push(running);
        }
        match told {
            Told::Ended(result) => self.step_reported(&agent, &key, *result),
            Told::Nothing | Told::Begun if !is_gone => self.push(Output::Cancel { agent, key }),
            Told::Nothing | Told::Begun | Told::Interrupted(_) => {}
        }
    }

    /// How the step before ended is not known, so what was ordered behind it may have happened or not.
    pub(super) fn ahead_unknown(&mut self, why: &str) {
        self.cancel_ahead();
        let Phase::Testing(testing) = &mut self.phase else { return };
        let index = testing.index;
        let plan = Arc::clone(&self.plan);
        for ordered in std::mem::take(&mut testing.ahead.ordered) {
            // neither it nor what is behind it was begun
            if ordered.is_to_be_ordered() {
                return;
            }
            let Ordered { at, key, agent, told, .. } = ordered;
            let spot = Spot::Steps(index, at);
            let info = self.info(&plan, spot);
            let running = self.begun(spot, info, (self.now, Wait::Cancelled));
            let Told::Ended(result) = told else {
                self.end_step(&running, Ending::Unknown, Some(why.to_owned()));
                continue;
            };
            let well = result.outcome == Outcome::Ok;
            if let Phase::Testing(testing) = &mut self.phase {
                testing.running.push(running);
            }
            self.step_reported(&agent, &key, *result);
            if !well {
                return;
            }
        }
    }
}
