//! A schedule of faults that is drawn: which of them begin, when, and for how long. All of it follows from the run's seed and the
//! step's key, so the same seed draws the same schedule, here and at whoever takes the run over.
//!
//! The time is dealt out to the disturbances in equal parts, and each lies somewhere within its own: so no two of a schedule are there
//! at the same time, and however many are drawn, none is pushed behind the end.

use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::id::Digest;
use meshproof_proto::order::{StepKey, millis};
use meshproof_proto::seed::Seed;
use meshproof_proto::verdict::Verdict;

use super::blame::Blame;
use super::disturbing::judge;
use super::faults::{Over, Schedule};
use super::machine::Run;
use super::stepping::{Begun, Running};
use crate::plan::Span;
use crate::plan::compiled::{DrawStep, Fault, FaultStep};
use crate::record::{DrawnFault, Ending, Happening};

/// One disturbance of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drawn {
    /// Since the schedule's beginning.
    pub(super) after: Duration,
    /// Its number among the faults that it was drawn from.
    pub(super) which: usize,
    pub(super) lasts: Duration,
}

/// What is drawn for this step.
pub(super) fn draw(step: &DrawStep, seed: u64, key: &StepKey) -> Vec<Drawn> {
    let mut luck = luck(seed, key);
    let (least, most) = step.lasting;
    let part = step.over / step.times.max(1);
    let one = |number: u32| {
        let which = usize::try_from(luck.below(step.faults.len() as u64)).unwrap_or_default();
        let lasts = least + up_to(most.saturating_sub(least), &mut luck);
        let after = part * number + up_to(part.saturating_sub(lasts), &mut luck);
        Drawn { after, which, lasts }
    };
    (0..step.times).map(one).collect()
}

/// In whole milliseconds, both ends included.
/// That of the step.
pub(super) fn luck(seed: u64, key: &StepKey) -> Seed {
    let [a, b, c, d, e, f, g, h, ..] = Digest::of(format!("{}\0{}", key.test, key.step).as_bytes()).0;
    Seed::new(seed ^ u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}

pub(super) fn up_to(most: Duration, luck: &mut Seed) -> Duration {
    Duration::from_millis(luck.below(millis(most).saturating_add(1)))
}

/// The disturbance as a step of its own. Its name says whose it is, and is no other's.
fn begun_by(step: &DrawStep, number: usize, drawn: &Drawn) -> Option<FaultStep> {
    let fault = step.faults.get(drawn.which)?;
    let name = format!("{}.{}.{}", step.name, number + 1, fault.name);
    let fault = Fault { name, ..fault.clone() };
    Some(FaultStep { fault, lasts: Some(drawn.lasts), prove: step.prove.clone() })
}

impl Run {
    pub(super) fn begin_draw(&mut self, step: &DrawStep, running: Running) -> Begun {
        if self.faults.course(&step.name) != "ended" {
            let title = format!("the schedule `{}` goes on already", step.name);
            return Begun::Ended(self.end_badly(&running, Verdict::Error, &title));
        }
        let key = running.info.key.clone();
        let drawn = draw(step, self.setup.seed, &key);
        let told = |drawn: &Drawn| DrawnFault {
            fault: step.faults.get(drawn.which).map(|fault| fault.name.clone()).unwrap_or_default(),
            after_ms: millis(drawn.after),
            lasts_ms: millis(drawn.lasts),
        };
        let faults = drawn.iter().map(told).collect();
        self.record(Happening::FaultsDrawn { schedule: step.name.clone(), seed: self.setup.seed, faults });
        let began = self.now;
        let steps = drawn
            .iter()
            .enumerate()
            .filter_map(|(number, drawn)| Some((began + drawn.after, Arc::new(begun_by(step, number, drawn)?))));
        self.faults.schedules.push(Schedule {
            name: step.name.clone(),
            spot: running.spot,
            info: running.info.clone(),
            left: steps.collect(),
            given_up: 0,
        });
        Begun::Ended(self.end_step(&running, Ending::Pass, None))
    }

    /// Begins what is due of the schedules.
    pub(super) fn drawn_timeout(&mut self) {
        for (opening, step) in self.faults.take_due(self.now) {
            let lost = step.fault.parts.keys().find(|agent| self.lost.contains_key(*agent));
            if let Some(lost) = lost {
                let text = format!("the fault `{}` does not begin: agent `{lost}` is lost", step.fault.name);
                self.record(Happening::Noted { text });
                continue;
            }
            self.open_fault(step, opening);
        }
    }

    /// An agent did not begin one that was drawn. The step that drew it ended long ago.
    pub(super) fn drawn_refused(&mut self, serial: u64, title: String) {
        let Some(fault) = self.faults.active.get(&serial).filter(|fault| fault.schedule.is_some()) else { return };
        let (verb, step) = (fault.spot.step(&self.plan).verb, Some(fault.info.clone()));
        self.fail(Verdict::Error, Blame { step, ..Blame::new(Some(verb), title) });
    }

    /// The test is over: a schedule of which nothing disturbed anything is as a fault that did nothing.
    pub(super) fn judge_schedule(&mut self, schedule: &Schedule, over: &[&Over], verb: Span) {
        let begun = over.len();
        let judged: Vec<&Over> = over.iter().copied().filter(|over| over.whole && over.report.healed).collect();
        let effective: Vec<&Over> = judged.iter().copied().filter(|over| over.report.effective).collect();
        if schedule.given_up > 0 {
            let text = format!(
                "the test was over when {begun} of the {} faults of `{}` had begun",
                begun + schedule.given_up,
                schedule.name
            );
            self.record(Happening::Noted { text });
        }
        if effective.is_empty() && judged.len() == begun {
            let title = match begun {
                0 => format!("no fault of the schedule `{}` began before the test was over", schedule.name),
                begun => format!("none of the {begun} faults of the schedule `{}` did anything", schedule.name),
            };
            let blame = Blame { step: Some(schedule.info.clone()), ..Blame::new(Some(verb), title) };
            return self.fail(Verdict::Fail, blame);
        }
        for over in effective {
            if let Some((verdict, blame)) = judge(over, verb) {
                self.fail(verdict, Blame { step: Some(schedule.info.clone()), ..blame });
            }
        }
    }
}
