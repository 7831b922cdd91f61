//! Churn: members of a group go and come back, beside the steps of a test.
//!
//! When one goes, for how long, and which of those that run then, follows from the run's seed and the step's key, so the same seed draws
//! the same again, here and at whoever takes the run over. Who goes is killed and, after its time, started as it was for its test; until
//! then nothing is held against it. The time is dealt out in equal parts, and each absence lies within its own: nobody is pushed behind
//! the end, and one is away at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::id::Name;
use meshproof_proto::order::StepKey;
use meshproof_proto::verdict::Verdict;

use super::api::{Output, ProcessOrder};
use super::blame::Blame;
use super::drawing::{luck, up_to};
use super::limits::LAUNCH_DEADLINE;
use super::machine::{Phase, Run};
use super::processes::KILLED;
use super::stepping::{Begun, Running, Spot};
use crate::plan::compiled::ChurnStep;
use crate::record::{Ending, Happening, StepInfo};

/// Of the test that goes on.
#[derive(Debug, Default)]
pub(super) struct Churning {
    churns: Vec<Churn>,
    away: BTreeMap<Name, Away>,
}

/// What is left of a step's.
#[derive(Debug)]
struct Churn {
    spot: Spot,
    info: StepInfo,
    step: ChurnStep,
    began: Instant,
    /// The next one is the last.
    left: Vec<Absence>,
    gone: u32,
}

/// One absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Absence {
    number: u32,
    /// Since the step's beginning.
    after: Duration,
    /// Among those who are there then.
    pick: u64,
    lasts: Duration,
}

/// A member that comes back.
#[derive(Debug)]
struct Away {
    goes: StepKey,
    comes: StepKey,
    lasts: Duration,
    /// Once its program has ended.
    due: Option<Instant>,
}

/// The next one last.
fn draw(step: &ChurnStep, seed: u64, key: &StepKey) -> Vec<Absence> {
    let mut luck = luck(seed, key);
    let (least, most) = step.away;
    let part = step.over / step.times.max(1);
    let one = |number: u32| {
        let lasts = least + up_to(most.saturating_sub(least), &mut luck);
        let after = part * number + up_to(part.saturating_sub(lasts), &mut luck);
        Absence { number, after, pick: luck.below(u64::MAX), lasts }
    };
    let mut drawn: Vec<Absence> = (0..step.times).map(one).collect();
    drawn.reverse();
    drawn
}

impl Churn {
    fn due(&self) -> Option<Instant> {
        self.left.last().map(|next| self.began + next.after)
    }
}

impl Churning {
    /// Whether nothing is to be held against what becomes of this member's program.
    pub(super) fn is_away(&self, member: &Name) -> bool {
        self.away.contains_key(member)
    }

    /// Its program was ended, or was started again, under that key.
    pub(super) fn moved(&mut self, member: &Name, key: &StepKey, now: Instant) {
        match self.away.get_mut(member) {
            Some(away) if away.goes == *key => away.due = Some(now + away.lasts),
            Some(away) if away.comes == *key => drop(self.away.remove(member)),
            Some(_) | None => {}
        }
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.churns.iter().filter_map(Churn::due).chain(self.away.values().filter_map(|away| away.due)).min()
    }
}

impl Run {
    pub(super) fn begin_churn(&mut self, step: &ChurnStep, running: &Running) -> Begun {
        let seed = self.setup.seed;
        let left = draw(step, seed, &running.info.key);
        let text = format!("churn of `{}`: {} times within {:?}, by seed {seed}", step.group, step.times, step.over);
        self.record(Happening::Noted { text });
        let (spot, info, began) = (running.spot, running.info.clone(), self.now);
        self.churning.churns.push(Churn { spot, info, step: step.clone(), began, left, gone: 0 });
        Begun::Ended(self.end_step(running, Ending::Pass, None))
    }

    pub(super) fn churn_timeout(&mut self) {
        for at in 0..self.churning.churns.len() {
            while self.churning.churns[at].due().is_some_and(|due| due <= self.now) {
                self.one_goes(at);
            }
        }
        let due = |away: &Away| away.due.is_some_and(|due| due <= self.now);
        let back: Vec<(Name, StepKey)> = self
            .churning
            .away
            .iter_mut()
            .filter(|(_, away)| due(away))
            .map(|(member, away)| {
                away.due = None;
                (member.clone(), away.comes.clone())
            })
            .collect();
        back.into_iter().for_each(|(member, key)| self.one_comes(member, key));
    }

    fn one_goes(&mut self, at: usize) {
        let churn = &mut self.churning.churns[at];
        let Some(absence) = churn.left.pop() else { return };
        let is_there = |member: &&Name| self.members.is_running(member) && !self.lost.contains_key(*member);
        let there: Vec<&Name> = churn.step.members.iter().filter(is_there).collect();
        let Some(pick) = absence.pick.checked_rem(there.len() as u64).and_then(|pick| usize::try_from(pick).ok())
        else {
            let text = format!("no member of `{}` is there that could go", churn.step.group);
            return self.record(Happening::Noted { text });
        };
        let (member, test) = (there[pick].clone(), churn.info.key.test.clone());
        churn.gone += 1;
        let name = format!("churn.{}.{}.{}", churn.info.key.step, absence.number, churn.info.key.attempt);
        let key = |attempt| StepKey { test: test.clone(), step: name.clone(), attempt };
        let away = Away { goes: key(1), comes: key(2), lasts: absence.lasts, due: None };
        self.record(Happening::Noted { text: format!("`{member}` goes, for {:?}", absence.lasts) });
        self.processes.left(&member, KILLED);
        self.members.goes(&member, away.goes.clone(), self.now + LAUNCH_DEADLINE);
        let change = Output::Change { key: away.goes.clone(), service: member.clone(), what: ProcessOrder::Kill };
        self.churning.away.insert(member, away);
        self.push(change);
    }

    fn one_comes(&mut self, member: Name, key: StepKey) {
        let plan = Arc::clone(&self.plan);
        let Some(service) = plan.services.iter().find(|service| service.name == member) else { return };
        match self.scope.launch_for(service, &key.test) {
            Ok(launch) => {
                self.record(Happening::Noted { text: format!("`{member}` comes back") });
                self.processes_anew(&member);
                self.members.comes(&member, key.clone(), self.now + LAUNCH_DEADLINE);
                self.push(Output::Change { key, service: member, what: ProcessOrder::Restart(Box::new(launch)) });
            }
            Err(unset) => {
                let title = format!("member `{member}` cannot be started again: {unset}");
                self.fail(Verdict::Error, Blame::new(Some(service.span), title));
            }
        }
    }

    /// The test is over: nobody goes any more, and who is away stays so. One of which nobody went at all has shown nothing.
    pub(super) fn end_churn(&mut self) {
        let completed = matches!(&self.phase, Phase::Testing(testing) if testing.completed);
        for churn in std::mem::take(&mut self.churning).churns {
            let (of, left) = (&churn.step.group, churn.left.len());
            if left > 0 {
                let text = format!(
                    "the test was over when {} of {} absences of `{of}` had begun",
                    churn.gone, churn.step.times
                );
                self.record(Happening::Noted { text });
            }
            if churn.gone == 0 && completed {
                let verb = churn.spot.step(&self.plan).verb;
                let title = format!("no member of `{of}` went before the test was over");
                self.fail(Verdict::Fail, Blame { step: Some(churn.info), ..Blame::new(Some(verb), title) });
            }
        }
    }
}
