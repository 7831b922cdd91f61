//! Another orchestrator goes on with the run.

use std::time::Instant;

use meshproof_proto::id::Name;

use super::machine::Run;

impl Run {
    /// Nobody has renewed a lease for a while: all of them are due.
    pub fn go_on(&mut self, now: Instant) {
        self.faults.renew_at(now);
        self.processes.renew_at(now);
    }

    /// Whether another instance of that agent is waited for.
    #[must_use]
    pub fn is_down(&self, agent: &Name) -> bool {
        self.down.contains_key(agent)
    }
}
