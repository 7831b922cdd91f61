//! People who hold a run: no step begins until somebody lets one begin, or the run go on. What has begun goes on to its end, leases of
//! faults run out as they do, and the time in which the run stands is not its test's.
//!
//! A run that ends is not held: `--deadline`, Ctrl-C and a lost agent lead to its teardown as ever.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use meshproof_proto::event::Steering;
use meshproof_proto::id::Name;
use meshproof_proto::limits::HELD_AT_MOST;
use meshproof_proto::order::StepKey;

use super::machine::{Phase, Run};
use super::stepping::{Running, Spot, Wait};
use crate::record::{Ending, Happening, StepInfo};

/// Whether somebody holds the run.
#[derive(Debug, Default)]
pub(super) struct Hold {
    state: State,
    /// The last that each person wanted: several agents may tell it.
    heard: BTreeMap<Name, u64>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Free,
    Held {
        /// Then it goes on by itself.
        until: Instant,
        /// So many steps may begin all the same.
        steps: u32,
    },
}

impl Hold {
    /// Whether a step whose turn has come has to wait.
    pub(super) fn holds(&self) -> bool {
        matches!(self.state, State::Held { steps: 0, .. })
    }

    /// Whether steps begin one by one, if at all.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.state, State::Held { .. })
    }

    /// A step begins.
    pub(super) fn begins(&mut self) {
        if let State::Held { steps, .. } = &mut self.state {
            *steps = steps.saturating_sub(1);
        }
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        match self.state {
            State::Free => None,
            State::Held { until, .. } => Some(until),
        }
    }

    /// Whether this person has not wanted this before.
    fn is_news(&mut self, (by, number): (&Name, u64)) -> bool {
        let last = self.heard.entry(by.clone()).or_default();
        std::mem::replace(last, number.max(*last)) < number
    }
}

impl Run {
    /// A person wants this; an agent has told it, and gives back what it would have begun by itself.
    pub(super) fn steered(&mut self, told: (&Name, u64), how: Steering, given_back: &[StepKey]) {
        given_back.iter().for_each(|key| self.ahead_refused(key));
        if !self.hold.is_news(told) || matches!(self.phase, Phase::Closing { .. } | Phase::Over) {
            return;
        }
        let until = self.now + HELD_AT_MOST;
        let text = match how {
            Steering::Pause => "holds the run: no step begins until `/step` or `/resume`",
            Steering::Step => "lets one step begin",
            Steering::Resume => "lets the run go on",
        };
        self.record(Happening::Noted { text: format!("{} {text}", told.0) });
        if how != Steering::Pause {
            self.end_pauses();
        }
        self.hold.state = match how {
            Steering::Pause => State::Held { until, steps: 0 },
            Steering::Step => State::Held { until, steps: 1 },
            Steering::Resume => State::Free,
        };
        self.stand_no_more();
    }

    /// Steps of the plan that wait for a person have one.
    fn end_pauses(&mut self) {
        let waits = |running: &Running| running.wait == Wait::Person;
        while let Phase::Testing(testing) = &mut self.phase
            && let Some(running) = testing.take_running(waits)
        {
            testing.excuse(self.now.saturating_duration_since(running.began));
            self.end_step(&running, Ending::Pass, None);
        }
    }

    /// This step would begin, and is held.
    pub(super) fn stand(&mut self, spot: Spot) {
        let info = self.info(&Arc::clone(&self.plan), spot);
        let Phase::Testing(testing) = &mut self.phase else { return };
        let since = testing.stands.map_or(self.now, |(since, _)| since);
        let before = testing.stands.replace((since, spot));
        if before != testing.stands {
            let StepInfo { key, number, of, title, .. } = info;
            let text = format!("the run stands before {number}/{of} of {}: {title}", key.test);
            self.record(Happening::Noted { text });
        }
    }

    /// The time in which it stood is not the test's.
    pub(super) fn stand_no_more(&mut self) {
        let now = self.now;
        if let Phase::Testing(testing) = &mut self.phase
            && let Some((since, _)) = testing.stands.take()
        {
            testing.excuse(now.saturating_duration_since(since));
        }
    }

    pub(super) fn hold_timeout(&mut self) {
        if self.hold.timeout().is_some_and(|until| until <= self.now) {
            let minutes = HELD_AT_MOST.as_secs() / 60;
            self.record(Happening::Noted { text: format!("the run goes on: nobody has said more for {minutes} min") });
            self.hold.state = State::Free;
            self.stand_no_more();
        }
    }
}
