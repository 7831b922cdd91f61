//! Lines in the logs of all services: `expect: { log: "*" }` in a step.
//!
//! Every agent counts the lines beside it, and the sum is judged here. While it does not hold and there is time, each agent is
//! asked again, to answer once its number is another one: nobody asks in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::event::{CheckFailure, Evidence, Outcome, StepResult};
use meshproof_proto::id::Name;
use meshproof_proto::matcher::{Actual, Mismatch};
use meshproof_proto::order::{Action, COUNTED, StepKey, StepOrder, millis};
use meshproof_proto::verdict::Verdict;
use serde_json::Value;

use super::api::Output;
use super::blame::Judged;
use super::limits::RESULT_MARGIN;
use super::machine::{Phase, Run};
use super::respawned::bound;
use super::stepping::{Begun, End, Running, Wait};
use crate::plan::compiled::{Does, Everywhere, Step};
use crate::plan::orders::{Missing, judge_fields, ordered_checks};
use crate::record::Ending;

/// Every key of an agent's part begins so; the agent's name and the step's own key follow.
const PART: &str = "everywhere.";

/// What is known of the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counting {
    /// How often each agent was asked.
    asked: BTreeMap<Name, u32>,
    waiting: BTreeSet<Name>,
    counted: BTreeMap<Name, u64>,
    evidence: BTreeMap<Name, Vec<Evidence>>,
}

impl Counting {
    pub(super) fn waits_for(&self, agent: &Name) -> bool {
        self.waiting.contains(agent)
    }

    fn tries(&self) -> u32 {
        self.asked.values().copied().max().unwrap_or(1)
    }
}

/// Whether this is an agent's part of such a step.
pub(super) fn is_part(key: &StepKey) -> bool {
    key.step.starts_with(PART)
}

fn part(agent: &Name, of: &StepKey, attempt: u32) -> StepKey {
    StepKey { test: of.test.clone(), step: format!("{PART}{agent}/{}", of.step), attempt }
}

fn is_of(key: &StepKey, running: &Running) -> bool {
    let step = key.step.split_once('/').map(|(_, step)| step);
    key.test == running.info.key.test && step == Some(running.info.key.step.as_str())
}

/// What does not hold of a number of lines.
fn failures(everywhere: &Everywhere, lines: u64, scope: &Value) -> Result<Vec<CheckFailure>, Missing> {
    let of_number = everywhere.checks.iter().zip(0..).filter(|(check, _)| check.field == "count");
    let mut failures = Vec::new();
    let mut is_asked = false;
    for (check, at) in of_number {
        is_asked = true;
        let failed = judge_fields(std::slice::from_ref(check), scope, |_| Some(Actual::Json(lines.into())))?;
        failures.extend(failed.into_iter().map(|failure| CheckFailure { check: at, ..failure }));
    }
    if !is_asked && lines == 0 {
        let wanted: Vec<String> = everywhere.checks.iter().map(|check| check.matcher.describe(scope)).collect();
        let expected = format!("a line in the logs of all services: {}", wanted.join(" and "));
        let mismatch = Mismatch { at: String::new(), expected, actual: "no such line".to_owned() };
        failures.push(CheckFailure { check: 0, mismatch });
    }
    Ok(failures)
}

/// How many an agent counted; what it came to where it did not.
fn lines_of(result: &StepResult) -> Result<u64, Outcome> {
    if result.outcome != Outcome::Ok {
        return Err(result.outcome.clone());
    }
    let counted = result.saved.get(COUNTED);
    counted.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let said = counted.map_or_else(|| "nothing".to_owned(), |text| format!("`{text}`"));
        Outcome::Error { message: format!("asked for the number of lines and said {said}") }
    })
}

impl Run {
    pub(super) fn begin_everywhere(&mut self, everywhere: &Everywhere, mut running: Running) -> Begun {
        let mut counting = Counting::default();
        if let Err(unset) = self.ask_everywhere(everywhere, &running, &mut counting) {
            return self.known_at_once(running, Err(unset));
        }
        running.wait = Wait::Counted(Box::new(counting));
        Begun::Waiting(Box::new(running))
    }

    /// Asks every agent that is not being asked.
    fn ask_everywhere(
        &mut self,
        everywhere: &Everywhere,
        running: &Running,
        counting: &mut Counting,
    ) -> Result<(), Missing> {
        let scope = self.scope.seen_from_step(running.spot.step(&self.plan), None);
        failures(everywhere, 0, &scope)?;
        for agent in everywhere.agents.iter().filter(|agent| !counting.waiting.contains(agent)) {
            *counting.asked.entry(agent.clone()).or_default() += 1;
            let order = self.part_order(agent, (everywhere, running), counting)?;
            self.push(Output::order(agent.clone(), order));
        }
        counting.waiting.extend(everywhere.agents.iter().cloned());
        Ok(())
    }

    fn part_order(
        &self,
        agent: &Name,
        (everywhere, running): (&Everywhere, &Running),
        counting: &Counting,
    ) -> Result<StepOrder, Missing> {
        let step = running.spot.step(&self.plan);
        let scope = self.scope.seen_from_step(step, None);
        let on_lines = everywhere.checks.iter().filter(|check| check.field != "count");
        let past = counting.counted.get(agent).copied();
        Ok(StepOrder {
            authority: self.setup.authority.clone(),
            key: part(agent, &running.info.key, counting.asked.get(agent).copied().unwrap_or_default()),
            action: Action::CountLog { log: "*".to_owned(), past },
            checks: ordered_checks(on_lines, &scope)?,
            saves: Vec::new(),
            within_ms: millis(step.within),
            // the first time they only say how many there are
            eventually_ms: past.and(self.left(running)).map(millis),
            after: None,
        })
    }

    /// Another instance of the agent is there: what the one before was asked for it has not counted.
    pub(super) fn count_again(&mut self, agent: &Name) {
        let plan = Arc::clone(&self.plan);
        let Phase::Testing(testing) = &mut self.phase else { return };
        let until = |step: &Step| self.now + bound(step) + RESULT_MARGIN;
        let mut asked = Vec::new();
        for running in &mut testing.running {
            if matches!(&running.wait, Wait::Counted(counting) if counting.waits_for(agent)) {
                running.until = until(running.spot.step(&plan));
                asked.push(running.clone());
            }
        }
        for running in asked {
            let (Wait::Counted(counting), Does::Everywhere(everywhere)) =
                (&running.wait, &running.spot.step(&plan).does)
            else {
                continue;
            };
            // The names that it needs were set when it was ordered first.
            if let Ok(order) = self.part_order(agent, (everywhere, &running), counting) {
                self.push(Output::OrderAgain { agent: agent.clone(), order: Box::new(order) });
            }
        }
    }

    /// What is left of the step's `eventually`.
    fn left(&self, running: &Running) -> Option<Duration> {
        let eventually = running.spot.step(&self.plan).eventually.as_ref()?.value;
        let left = (running.began + eventually).saturating_duration_since(self.now);
        (left >= Duration::from_millis(1)).then_some(left)
    }

    /// An agent has counted.
    pub(super) fn lines_counted(&mut self, agent: &Name, key: &StepKey, result: &StepResult) {
        let waits = |running: &Running| match &running.wait {
            Wait::Counted(counting) => {
                is_of(key, running) && counting.waits_for(agent) && counting.asked.get(agent) == Some(&key.attempt)
            }
            _ => false,
        };
        let Phase::Testing(testing) = &mut self.phase else { return };
        let Some(mut running) = testing.take_running(waits) else { return };
        let plan = Arc::clone(&self.plan);
        let step = running.spot.step(&plan);
        let (Does::Everywhere(everywhere), Wait::Counted(mut counting)) = (&step.does, running.wait.clone()) else {
            return;
        };
        counting.waiting.remove(agent);
        running.wait = Wait::Counted(counting.clone());
        let lines = match lines_of(result) {
            Ok(lines) => lines,
            Err(outcome) => {
                let result = StepResult { outcome, ..result.clone() };
                let mut judged = Judged::of(step, &result);
                judged.of_agent(agent);
                return self.end_counting(&running, judged);
            }
        };
        counting.counted.insert(agent.clone(), lines);
        counting.evidence.insert(agent.clone(), result.evidence.clone());
        if counting.counted.len() < everywhere.agents.len() {
            return self.go_on_counting(Running { wait: Wait::Counted(counting), ..running });
        }
        let scope = self.scope.seen_from_step(step, None);
        let outcome = match failures(everywhere, counting.counted.values().sum(), &scope) {
            Ok(failures) if failures.is_empty() => Outcome::Ok,
            Ok(failures) => Outcome::Failed(failures),
            Err(unset) => Outcome::Error { message: unset.to_string() },
        };
        if matches!(outcome, Outcome::Failed(_)) {
            let more =
                self.left(&running).is_some() && self.ask_everywhere(everywhere, &running, &mut counting).is_ok();
            if more || !counting.waiting.is_empty() {
                return self.go_on_counting(Running { wait: Wait::Counted(counting), ..running });
            }
        }
        let evidence = if outcome == Outcome::Ok { Vec::new() } else { shown(&counting) };
        let result = StepResult { outcome, evidence, ..result.clone() };
        running.wait = Wait::Counted(counting);
        let judged = Judged::of(step, &result);
        self.end_counting(&running, judged);
    }

    fn go_on_counting(&mut self, running: Running) {
        if let Phase::Testing(testing) = &mut self.phase {
            testing.running.push(running);
        }
    }

    fn end_counting(&mut self, running: &Running, judged: Judged) {
        self.stop_waiting(running);
        let tries = match &running.wait {
            Wait::Counted(counting) => counting.tries(),
            _ => 1,
        };
        let end = End { ending: judged.ending, why: judged.why.clone(), tries, ..End::of(running, self.now) };
        let ending = self.write_end(running, end);
        self.fail_step(&running.info, judged);
        self.after_step(running, ending);
    }

    /// Nobody needs these numbers any more.
    pub(super) fn stop_counting(&mut self, running: &Running, counting: &Counting) {
        for agent in counting.waiting.iter().filter(|agent| !self.lost.contains_key(agent)).cloned().collect::<Vec<_>>()
        {
            let attempt = counting.asked.get(&agent).copied().unwrap_or_default();
            let key = part(&agent, &running.info.key, attempt);
            self.push(Output::Cancel { agent, key });
        }
    }

    /// An agent did not take its part.
    pub(super) fn count_refused(&mut self, key: &StepKey, reason: &str) {
        let waits = |running: &Running| matches!(running.wait, Wait::Counted(_)) && is_of(key, running);
        let Phase::Testing(testing) = &mut self.phase else { return };
        let Some(running) = testing.take_running(waits) else { return };
        let who = key.step.trim_start_matches(PART).split('/').next().unwrap_or_default();
        self.stop_waiting(&running);
        let title = format!("agent `{who}` did not count lines: {reason}");
        let ending: Ending = self.end_badly(&running, Verdict::Error, &title);
        self.after_step(&running, ending);
    }
}

/// What each agent saw, by its name.
fn shown(counting: &Counting) -> Vec<Evidence> {
    let of = |(agent, evidence): (&Name, &Vec<Evidence>)| {
        let titled = |item: &Evidence| Evidence { title: format!("{agent}: {}", item.title), ..item.clone() };
        evidence.iter().map(titled).collect::<Vec<_>>()
    };
    counting.evidence.iter().flat_map(of).collect()
}
