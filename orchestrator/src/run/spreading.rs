//! Work that is addressed to a group: who of its members does it.
//!
//! Members take turns; passed over is whose agent is gone, or whose program does not run. A step that may be repeated moves off an agent
//! that is gone. Any other one waits for the next instance of that agent, as it may have been done. Who has a step stands in the run's own
//! copy of its plan, so that whoever takes the run over, and sees the same, chooses the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshproof_proto::id::Name;

use super::limits::RESULT_MARGIN;
use super::machine::Run;
use super::respawned::{bound, may_be_repeated};
use super::stepping::{Course, Spot, Wait};
use crate::plan::compiled::{Ask, Does, Spread};
use crate::record::Happening;

/// Whose turn it is, by group.
pub(super) type Turns = BTreeMap<String, usize>;

impl Run {
    /// The step is about to begin.
    pub(super) fn choose_member(&mut self, spot: Spot) {
        let Some(spread) = spot.step(&self.plan).spread.clone() else { return };
        let turn = self.turns.get(&spread.group).copied().unwrap_or_default();
        // with nobody who is well the step says what is wrong with one
        let chosen = self.next_well(&spread, turn).unwrap_or(turn % spread.asks.len().max(1));
        self.give_to(spot, (&spread, chosen));
    }

    fn next_well(&self, spread: &Spread, turn: usize) -> Option<usize> {
        let members = spread.asks.len();
        (turn..turn + members).map(|at| at % members).find(|at| self.is_well(&spread.asks[*at]))
    }

    /// Whether its agent is there, and the program that is meant runs.
    fn is_well(&self, ask: &Ask) -> bool {
        let service = ask.target.as_ref().map_or(&ask.at, |target| &target.service);
        let is_there = |agent: &Name| !self.lost.contains_key(agent) && !self.down.contains_key(agent);
        is_there(&ask.at) && is_there(service) && !self.dead.contains(service) && self.processes.run(service)
    }

    fn give_to(&mut self, spot: Spot, (spread, chosen): (&Spread, usize)) {
        let Some(ask) = spread.asks.get(chosen) else { return };
        self.turns.insert(spread.group.clone(), chosen + 1);
        spot.step_mut(Arc::make_mut(&mut self.plan)).does = Does::Ask(Box::new(ask.clone()));
    }

    /// This agent is gone: others do what may be done twice.
    pub(super) fn move_off(&mut self, agent: &Name) {
        for (key, spot) in self.steps_at(agent) {
            let step = spot.step(&self.plan);
            let (Some(spread), Does::Ask(ask)) = (step.spread.clone(), &step.does) else { continue };
            let turn = self.turns.get(&spread.group).copied().unwrap_or_default();
            let Some(chosen) = self.next_well(&spread, turn).filter(|_| may_be_repeated(spot, step, ask)) else {
                continue;
            };
            let until = self.now + bound(step) + RESULT_MARGIN;
            self.give_to(spot, (&spread, chosen));
            let next = spread.asks[chosen].at.clone();
            self.each_running(|running| {
                if running.info.key == key {
                    running.info.agent = Some(next.clone());
                    running.wait = Wait::Result { agent: next.clone(), helpers: Vec::new() };
                    (running.course, running.until) = (Course::Ordered, until);
                }
            });
            let text = format!("step {} moves to `{next}`: agent `{agent}` is gone", key.step);
            self.record(Happening::Noted { text });
            if let Err(unset) = self.order_now(spot, &key) {
                self.step_refused(&key, &unset.to_string());
            }
        }
    }
}
