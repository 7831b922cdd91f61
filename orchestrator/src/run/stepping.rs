//! One step from its begin to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use meshproof_proto::event::{Outcome, StepResult};
use meshproof_proto::id::Name;
use meshproof_proto::order::{RecordStreamId, StepKey};
use meshproof_proto::sync::WaiterId;
use meshproof_proto::verdict::Verdict;

use super::api::{OrdersTogether, Output};
use super::blame::{Blame, Judged};
use super::everywhere::{self, Counting};
use super::limits::{CANCEL_GRACE, RESULT_MARGIN};
use super::machine::{Phase, Run};
use super::respawned::bound;
use super::scope::text as text_of;
use super::settling::{self, Settling};
use super::tally::{self, Counts};
use super::watching::Watch;
use crate::plan::Plan;
use crate::plan::compiled::{Ask, Does, Step};
use crate::plan::orders::{Missing, Occasion, judge};
use crate::record::{Ending, Happening, Section, StepInfo};

/// Where a step stands in the plan: indices of services, tests, steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    Ready(usize),
    Steps(usize, usize),
    After(usize, usize),
    Always(usize, usize),
    Steady(usize, usize),
    SteadyAfter(usize, usize),
    Settle(usize),
}

/// A step that has begun.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) spot: Spot,
    pub(super) info: StepInfo,
    pub(super) began: Instant,
    pub(super) until: Instant,
    pub(super) wait: Wait,
    pub(super) course: Course,
    /// An agent that it has to do with was gone meanwhile.
    pub(super) shaken: Option<Name>,
}

/// Whether an agent has told that it has begun a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Ordered,
    /// Before its turn, of which another agent tells its own. If by then nobody has told that it began, it is ordered again.
    Awaited {
        until: Instant,
    },
    Begun,
}

/// What a step waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The result of the first; the others take part.
    Result {
        agent: Name,
        helpers: Vec<Name>,
    },
    /// All parts of this fault are active.
    Active(u64),
    /// These faults are over.
    Over(BTreeSet<u64>),
    Collected,
    /// What it looks at breaks, or it is told to end.
    Watch(Watch),
    Quiet(Settling),
    /// What every agent counts.
    Counted(Box<Counting>),
    /// Something is done to processes.
    Change,
    /// A service's processes are not as they should be; so many looks so far.
    State {
        tries: u32,
    },
    Sync(WaiterId),
    Person,
    /// It was told to end, and what is held against its test is said already.
    Cancelled,
}

/// How a step ended, in full.
pub(super) struct End {
    pub(super) ending: Ending,
    pub(super) why: Option<String>,
    pub(super) duration_ms: f64,
    pub(super) tries: u32,
}

impl End {
    /// As the orchestrator's own clock has it.
    pub(super) fn of(running: &Running, now: Instant) -> Self {
        let duration_ms = now.saturating_duration_since(running.began).as_secs_f64() * 1000.0;
        Self { ending: Ending::Pass, why: None, duration_ms, tries: 1 }
    }
}

/// What came of beginning a step.
pub(super) enum Begun {
    Waiting(Box<Running>),
    /// It had an end at once.
    Ended(Ending),
}

impl Spot {
    pub(super) fn step(self, plan: &Plan) -> &Step {
        match self {
            Self::Ready(service) => {
                plan.services[service].ready.as_ref().expect("only services with a ready step have such a spot")
            }
            Self::Steps(test, step) => &plan.tests[test].steps[step],
            Self::After(test, step) => &plan.tests[test].after[step],
            Self::Always(test, step) => &plan.tests[test].always[step],
            Self::Steady(test, step) => &plan.tests[test].steady[step],
            Self::SteadyAfter(test, step) => &plan.tests[test].steady_after[step],
            Self::Settle(test) => plan.tests[test].settle.as_ref().expect("only tests that settle have such a spot"),
        }
    }

    pub(super) fn step_mut(self, plan: &mut Plan) -> &mut Step {
        match self {
            Self::Ready(service) => {
                plan.services[service].ready.as_mut().expect("only services with a ready step have such a spot")
            }
            Self::Steps(test, step) => &mut plan.tests[test].steps[step],
            Self::After(test, step) => &mut plan.tests[test].after[step],
            Self::Always(test, step) => &mut plan.tests[test].always[step],
            Self::Steady(test, step) => &mut plan.tests[test].steady[step],
            Self::SteadyAfter(test, step) => &mut plan.tests[test].steady_after[step],
            Self::Settle(test) => plan.tests[test].settle.as_mut().expect("only tests that settle have such a spot"),
        }
    }

    fn section(self) -> Section {
        match self {
            Self::Ready(_) => Section::Ready,
            Self::Steps(..) => Section::Steps,
            Self::After(..) => Section::After,
            Self::Always(..) => Section::Always,
            Self::Steady(..) => Section::Steady,
            Self::SteadyAfter(..) => Section::SteadyAfter,
            Self::Settle(_) => Section::Settle,
        }
    }
}

impl Running {
    pub(super) fn waits_for(&self, agent: &Name) -> bool {
        match &self.wait {
            Wait::Result { agent: waited, helpers } => waited == agent || helpers.contains(agent),
            Wait::Counted(counting) => counting.waits_for(agent),
            _ => false,
        }
    }
}

impl Run {
    /// Begins a step and everything that can be done about it at once.
    pub(super) fn begin_step(&mut self, spot: Spot) -> Begun {
        self.choose_member(spot);
        let plan = Arc::clone(&self.plan);
        let step = spot.step(&plan);
        let info = self.info(&plan, spot);
        let scope = self.scope.seen_from_step(step, info.agent.as_ref());
        if !step.is_wanted(&scope) {
            return Begun::Ended(self.skip(&info, "its `when` says no"));
        }
        if let Some(lost) = self.lost_among(step) {
            return Begun::Ended(self.skip(&info, &format!("agent `{lost}` is lost")));
        }
        let running = self.begun(spot, info, (self.now + bound(step) + RESULT_MARGIN, Wait::Cancelled));
        match &step.does {
            Does::Ask(ask) => self.ask(ask, running),
            Does::Value { value, checks } => {
                let judged = judge(value, checks, &scope).map(|failures| match failures.is_empty() {
                    true => Outcome::Ok,
                    false => Outcome::Failed(failures),
                });
                self.known_at_once(running, judged)
            }
            Does::Say(text) => {
                let said = text_of(text, &scope).map(|text| self.record(Happening::Said { text }));
                self.known_at_once(running, said.map(|()| Outcome::Ok))
            }
            Does::Settle(settle) => self.begin_settle(settle, running),
            Does::Everywhere(everywhere) => self.begin_everywhere(everywhere, running),
            Does::Conduct(conduct) => self.begin_conduct(step, conduct, (running, &scope)),
            Does::Fault(fault) => self.begin_fault(fault, running),
            Does::Draw(draw) => self.begin_draw(draw, running),
            Does::Heal(heal) => self.begin_heal(heal, running),
            Does::Collect(artefacts) => {
                let key = running.info.key.clone();
                self.push(Output::Collect { key, artefacts: artefacts.clone() });
                Begun::Waiting(Box::new(Running { wait: Wait::Collected, ..running }))
            }
        }
    }

    /// Writes down that a step begins.
    pub(super) fn begun(&mut self, spot: Spot, info: StepInfo, (until, wait): (Instant, Wait)) -> Running {
        self.record(Happening::StepBegan(info.clone()));
        let until = self.excused(info.agent.as_ref(), until);
        Running { spot, info, began: self.now, until, wait, course: Course::Ordered, shaken: None }
    }

    fn ask(&mut self, ask: &Ask, running: Running) -> Begun {
        if !self.is_ordered(&running.info.key)
            && let Err(unset) = self.order_now(running.spot, &running.info.key)
        {
            return self.known_at_once(running, Err(unset));
        }
        self.step_ordered(ask, &running.info);
        self.order_ahead(running.spot);
        let helpers = ask.parts.iter().map(|part| part.at.clone()).collect();
        Begun::Waiting(Box::new(Running { wait: Wait::Result { agent: ask.at.clone(), helpers }, ..running }))
    }

    /// Orders a step whose turn it is.
    pub(super) fn order_now(&mut self, spot: Spot, key: &StepKey) -> Result<(), Missing> {
        let plan = Arc::clone(&self.plan);
        let step = spot.step(&plan);
        let Does::Ask(ask) = &step.does else { return Ok(()) };
        let mut output = self.orders(step, ask, key)?;
        if let Output::Order { turn, .. } = &mut output {
            turn.next = self.agent_behind(spot);
        }
        self.push(output);
        Ok(())
    }

    pub(super) fn orders(&mut self, step: &Step, ask: &Ask, key: &StepKey) -> Result<Output, Missing> {
        let sender = self.scope.seen_from_step(step, Some(&ask.at));
        let occasion = Occasion {
            authority: &self.setup.authority,
            test: &key.test,
            attempt: key.attempt,
            stream: RecordStreamId(self.streams),
            scope: &sender,
            addresses: self.scope.addresses(),
            held: self.scope.held(),
            files: self.scope.files(),
        };
        let order = ask.order(step, &occasion)?;
        if ask.parts.is_empty() {
            return Ok(Output::order(ask.at.clone(), order));
        }
        let mut parts = Vec::new();
        for (nth, part) in ask.parts.iter().enumerate() {
            let scope = self.scope.seen_from_step(step, Some(&part.at));
            let stream = RecordStreamId(self.streams + nth as u64);
            parts.push((part.at.clone(), ask.part(nth, step, &Occasion { scope: &scope, stream, ..occasion })?));
        }
        self.streams += parts.len() as u64;
        Ok(Output::Together(Box::new(OrdersTogether { parts, leader: ask.at.clone(), order, again: false })))
    }

    /// Ends a step whose outcome nobody has to be asked for. A name that is not set skips an optional step and those of
    /// `after`, and is an error in any other.
    pub(super) fn known_at_once(&mut self, running: Running, outcome: Result<Outcome, Missing>) -> Begun {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(unset) if running.info.optional || running.info.section == Section::After => {
                return Begun::Ended(self.skip(&running.info, &unset.to_string()));
            }
            Err(unset) => Outcome::Error { message: unset.to_string() },
        };
        let result = StepResult {
            outcome,
            duration_ms: 0.0,
            tries: 1,
            saved: std::collections::BTreeMap::new(),
            evidence: Vec::new(),
        };
        let judged = Judged::of(running.spot.step(&Arc::clone(&self.plan)), &result);
        let ending = self.end_step(&running, judged.ending, judged.why.clone());
        self.fail_step(&running.info, judged);
        Begun::Ended(ending)
    }

    pub(super) fn skip(&mut self, info: &StepInfo, why: &str) -> Ending {
        self.tally.ended(&info.key, Ending::Skipped, Counts::No);
        self.record(Happening::StepEnded {
            step: info.clone(),
            ending: Ending::Skipped,
            duration_ms: 0.0,
            tries: 0,
            why: Some(why.to_owned()),
        });
        Ending::Skipped
    }

    /// Writes down how a step ended. What is held against the test was said before.
    pub(super) fn end_step(&mut self, running: &Running, ending: Ending, why: Option<String>) -> Ending {
        self.write_end(running, End { ending, why, ..End::of(running, self.now) })
    }

    pub(super) fn write_end(&mut self, running: &Running, end: End) -> Ending {
        let End { ending, why, duration_ms, tries } = end;
        let counts = if running.info.optional { Counts::No } else { Counts::Yes };
        self.tally.ended(&running.info.key, ending, counts);
        self.record(Happening::StepEnded { step: running.info.clone(), ending, duration_ms, tries, why });
        ending
    }

    /// Ends a step with a failure that is not the agent's own word.
    pub(super) fn end_badly(&mut self, running: &Running, verdict: Verdict, title: &str) -> Ending {
        let verb = running.spot.step(&self.plan).verb;
        let ending = self.end_step(running, Ending::from(verdict), Some(title.to_owned()));
        self.fail(verdict, Blame { step: Some(running.info.clone()), ..Blame::new(Some(verb), title) });
        ending
    }

    /// An agent says what came of a step. Of steps that are over nothing is heard any more.
    pub(super) fn step_reported(&mut self, agent: &Name, key: &StepKey, result: StepResult) {
        if settling::is_part(key) {
            return self.settle_reported(agent, key, &result);
        }
        if everywhere::is_part(key) {
            return self.lines_counted(agent, key, &result);
        }
        if let Some(watch) = self.take_watch(|watch| watch.info.key == *key && watch.info.agent.as_ref() == Some(agent))
        {
            return self.watch_reported(&watch, &result);
        }
        let Some(running) = self.take_running(key, |running| {
            running.wait == Wait::Cancelled
                || matches!(&running.wait, Wait::Result { agent: actor, .. } if actor == agent)
        }) else {
            return self.ahead_ended(agent, key, result);
        };
        let result = Self::shaken(&running, result);
        if result.outcome != Outcome::Ok {
            self.forget_ahead();
        }
        let result = match self.save(&result) {
            Ok(()) => result,
            Err(message) => StepResult { outcome: Outcome::Error { message }, ..result },
        };
        let measured = |ending, why| End { ending, why, duration_ms: result.duration_ms, tries: result.tries };
        let plan = Arc::clone(&self.plan);
        let mut judged = Judged::of(running.spot.step(&plan), &result);
        self.not_waited_for(running.spot.step(&plan), &mut judged);
        let ending = match (&running.wait, judged.ending) {
            (Wait::Cancelled, Ending::Pass) => self.write_end(&running, measured(Ending::Pass, None)),
            (Wait::Cancelled, _) => self.end_step(&running, Ending::Unknown, Some("given up".to_owned())),
            _ => {
                let ending = self.write_end(&running, measured(judged.ending, judged.why.clone()));
                self.fail_step(&running.info, judged);
                ending
            }
        };
        self.after_step(&running, ending);
    }

    fn save(&mut self, result: &StepResult) -> Result<(), String> {
        if result.outcome != Outcome::Ok {
            return Ok(());
        }
        for (name, text) in &result.saved {
            let value =
                serde_json::from_str(text).map_err(|error| format!("the saved `{name}` is not JSON: {error}"))?;
            self.scope.save(name, value);
        }
        Ok(())
    }

    pub(super) fn step_refused(&mut self, key: &StepKey, reason: &str) {
        if settling::is_part(key) {
            return self.settle_refused(key, reason);
        }
        if everywhere::is_part(key) {
            return self.count_refused(key, reason);
        }
        if let Some(watch) = self.take_watch(|watch| watch.info.key == *key) {
            self.end_badly(&watch, Verdict::Error, &format!("the agent does not watch: {reason}"));
            return;
        }
        let Some(running) =
            self.take_running(key, |running| matches!(running.wait, Wait::Result { .. } | Wait::Cancelled))
        else {
            return self.ahead_refused(key);
        };
        if running.turn_awaited().is_some() {
            return self.order_awaited(running);
        }
        self.drop_ahead();
        let ending = match (&running.wait, &running.info.agent) {
            (Wait::Cancelled, _) => self.end_step(&running, Ending::Unknown, Some("given up".to_owned())),
            (_, agent) => {
                let who = agent.as_ref().map(ToString::to_string).unwrap_or_default();
                self.end_badly(&running, Verdict::Error, &format!("agent `{who}` did not take this step: {reason}"))
            }
        };
        self.after_step(&running, ending);
    }

    pub(super) fn collected(&mut self, key: &StepKey, files: Result<Vec<String>, String>) {
        let Some(running) = self.take_running(key, |running| running.wait == Wait::Collected) else { return };
        let ending = match files {
            Ok(files) => {
                self.record(Happening::Collected { files });
                self.end_step(&running, Ending::Pass, None)
            }
            Err(reason) => self.end_badly(&running, Verdict::Error, &format!("could not collect: {reason}")),
        };
        self.after_step(&running, ending);
    }

    /// Tells the steps of a test to end. Those of `after` are left alone: they have to run.
    pub(super) fn cancel_step(&mut self, why: &str) {
        self.cancel_ahead();
        let Phase::Testing(testing) = &mut self.phase else { return };
        let (cancelled, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut testing.running)
            .into_iter()
            .partition(|running| running.info.section != Section::After && running.wait != Wait::Cancelled);
        testing.running = kept;
        for mut running in cancelled {
            if let Wait::Result { agent, .. } = &running.wait
                && !self.lost.contains_key(agent)
            {
                let (agent, key) = (agent.clone(), running.info.key.clone());
                running.wait = Wait::Cancelled;
                running.until = self.now + CANCEL_GRACE;
                self.push(Output::Cancel { agent, key });
                if let Phase::Testing(testing) = &mut self.phase {
                    testing.running.push(running);
                }
            } else {
                // Nobody has to be told, so nothing has to be waited for.
                self.stop_waiting(&running);
                let ending = self.end_step(&running, Ending::Unknown, Some(why.to_owned()));
                self.after_step(&running, ending);
            }
        }
    }

    /// The step's time is over and its result is not there.
    pub(super) fn step_overdue(&mut self, running: &Running) -> Ending {
        let waited = self.now.saturating_duration_since(running.began);
        let ending = match &running.wait {
            Wait::Cancelled => self.end_step(running, Ending::Unknown, Some("given up".to_owned())),
            Wait::Result { agent, .. } => {
                self.push(Output::Cancel { agent: agent.clone(), key: running.info.key.clone() });
                self.end_badly(running, Verdict::Error, &format!("no result from agent `{agent}` after {waited:.0?}"))
            }
            Wait::Active(serial) => {
                let missing = self.faults.missing(*serial);
                self.end_badly(
                    running,
                    Verdict::Error,
                    &format!("after {waited:.0?} the fault is not active at {missing}"),
                )
            }
            Wait::Over(_) => self.end_badly(running, Verdict::Error, &format!("not healed after {waited:.0?}")),
            Wait::Collected => {
                self.end_badly(running, Verdict::Error, &format!("nothing collected after {waited:.0?}"))
            }
            Wait::State { tries } => self.state_overdue(running, *tries),
            Wait::Person => {
                self.end_badly(running, Verdict::Error, &format!("nobody said within {waited:.0?} that it goes on"))
            }
            Wait::Change => self.end_badly(running, Verdict::Error, &format!("not done after {waited:.0?}")),
            Wait::Watch(_) | Wait::Quiet(_) | Wait::Sync(_) | Wait::Counted(_) => {
                self.stop_waiting(running);
                self.end_badly(running, Verdict::Error, &format!("no word about it after {waited:.0?}"))
            }
        };
        self.ahead_unknown("how the step before it ended is not known, it may have happened or not");
        ending
    }

    fn lost_among(&self, step: &Step) -> Option<Name> {
        let needed: Vec<&Name> = match &step.does {
            Does::Ask(ask) => std::iter::once(&ask.at).chain(ask.parts.iter().map(|part| &part.at)).collect(),
            Does::Everywhere(everywhere) => everywhere.agents.iter().collect(),
            _ => return None,
        };
        needed.into_iter().find(|agent| self.lost.contains_key(*agent)).cloned()
    }

    pub(super) fn info(&self, plan: &Plan, spot: Spot) -> StepInfo {
        let step = spot.step(plan);
        let (test, number, of) = match spot {
            Spot::Ready(_) => ("", 1, 1),
            Spot::Steps(test, at) => (plan.tests[test].id.as_str(), at + 1, plan.tests[test].steps.len()),
            Spot::After(test, at) => (plan.tests[test].id.as_str(), at + 1, plan.tests[test].after.len()),
            Spot::Always(test, at) => (plan.tests[test].id.as_str(), at + 1, plan.tests[test].always.len()),
            Spot::Steady(test, at) | Spot::SteadyAfter(test, at) => {
                (plan.tests[test].id.as_str(), at + 1, plan.tests[test].steady.len())
            }
            Spot::Settle(test) => (plan.tests[test].id.as_str(), 1, 1),
        };
        StepInfo {
            key: tally::key(test, &step.key),
            section: spot.section(),
            number,
            of,
            id: step.id.clone(),
            title: step.title.clone(),
            agent: match &step.does {
                Does::Ask(ask) => Some(ask.at.clone()),
                Does::Value { .. }
                | Does::Fault(_)
                | Does::Draw(_)
                | Does::Heal(_)
                | Does::Collect(_)
                | Does::Say(_)
                | Does::Settle(_)
                | Does::Everywhere(_)
                | Does::Conduct(_) => None,
            },
            line: self.source.position(step.verb.start).line,
            optional: step.optional,
        }
    }
}
