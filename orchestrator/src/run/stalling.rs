//! Disks that are full. An agent whose disk is full begins no step: what is done must be known to whoever comes after it. That time is neither the step's nor
//! the test's, as long as somebody may still make room.

use std::time::{Duration, Instant};

use meshproof_proto::id::Name;

use super::limits::{RESULT_MARGIN, STALLED_AT_MOST};
use super::machine::{Phase, Run};
use super::respawned::bound;
use super::stepping::{Course, Running, Wait};
use crate::record::Happening;

impl Run {
    pub(super) fn agent_stalled(&mut self, agent: &Name) {
        if self.stalled.insert(agent.clone(), self.now).is_some() {
            return;
        }
        let until = self.now + STALLED_AT_MOST;
        self.each_ordered_at(agent, |running| running.until = running.until.max(until));
        if let Phase::Testing(testing) = &mut self.phase {
            testing.excuse(STALLED_AT_MOST);
        }
    }

    /// It has space again, or another instance is in its place and will say so if it has none.
    pub(super) fn agent_goes_on(&mut self, agent: &Name) {
        let Some(since) = self.stalled.remove(agent) else { return };
        let (plan, now) = (std::sync::Arc::clone(&self.plan), self.now);
        self.each_ordered_at(agent, |running| running.until = now + bound(running.spot.step(&plan)) + RESULT_MARGIN);
        let unused = STALLED_AT_MOST.saturating_sub(now.saturating_duration_since(since));
        if let Phase::Testing(testing) = &mut self.phase {
            testing.excuse_no_more(unused);
        }
    }

    /// Nothing was heard or ordered for so long, and nobody is late for it.
    pub(super) fn stood_still(&mut self, lasted: Duration) {
        self.record(Happening::Noted {
            text: format!("the run stood still for {:.1} s: there was no space for its journal", lasted.as_secs_f64()),
        });
        self.each_running(|running| running.until += lasted);
        if let Phase::Testing(testing) = &mut self.phase {
            testing.stood_still(lasted);
        }
    }

    /// Until when a step that begins now is waited for.
    pub(super) fn excused(&self, agent: Option<&Name>, until: Instant) -> Instant {
        let since = agent.and_then(|agent| self.stalled.get(agent));
        since.map_or(until, |since| until.max(*since + STALLED_AT_MOST))
    }

    /// Those that the agent was told to do and has not begun.
    fn each_ordered_at(&mut self, agent: &Name, mut each: impl FnMut(&mut Running)) {
        self.each_running(|running| {
            let waits = matches!(&running.wait, Wait::Result { agent: owes, .. } if owes == agent);
            if waits && running.course == Course::Ordered {
                each(running);
            }
        });
    }
}
