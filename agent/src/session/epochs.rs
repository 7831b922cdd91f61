//! The zone of this agent counts, or another one does: then it takes part in no run.

use meshproof_proto::epoch::Epoch;
use meshproof_proto::rpc::Refusal;

use super::Session;

impl Session {
    /// The epoch by which this agent's zone does not count.
    fn against(&self) -> Option<Epoch> {
        self.mesh.epochs().against(&self.standing.labels).cloned()
    }

    /// Another zone counts now, perhaps. A run that goes on here is for an agent of that zone from now on: whatever this one would still
    /// do or tell of it, it does not.
    pub(super) fn heed_epochs(&mut self) {
        let Some(epoch) = self.against() else { return };
        tracing::warn!("this agent takes part in no runs: {epoch}");
        if let Some(run) = self.run.as_ref().filter(|run| !run.is_closed()) {
            tracing::warn!(run = %run.authority.run, "the run goes on without this agent");
            self.outdated = true;
        }
    }

    /// Whether a run may begin here, or go on.
    pub(super) fn counts(&self) -> Result<(), Refusal> {
        self.against().map_or(Ok(()), |epoch| Err(Refusal::OtherZone(epoch.to_string())))
    }
}
