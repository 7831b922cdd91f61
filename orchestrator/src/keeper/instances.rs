//! The instances of an agent: those that stand by, and the zones that they are in.

use meshproof_proto::id::Name;

use super::groups::Scope;
use super::keeping::{Keeper, State, failed};
use super::protocol::{Answer, Disturbance, How, What};

impl Keeper {
    /// Starts those that stand by, unless they run, or their zone was killed.
    pub(super) fn stand_by(&mut self) -> Answer {
        let mut pids = Vec::new();
        for what in self.standbys() {
            let (What::Agent { name, number }, State::Open(opened)) = (&what, &mut self.state) else { continue };
            let (place, kept) = ((&self.folder, &self.setup), (&mut self.groups, &mut self.respawns));
            match opened.start_agent(place, kept, (name, *number)) {
                Ok(pid) => pids.push(pid),
                Err(error) => return failed(error),
            }
        }
        Answer::Started { pids }
    }

    fn standbys(&self) -> Vec<What> {
        let all = self.setup.agents();
        let all = all
            .flat_map(|name| (2..=self.setup.instances(name)).map(|number| What::Agent { name: name.clone(), number }));
        all.filter(|what| !self.is_there(what) && !self.respawns.is_due(what) && !self.is_in_a_killed_zone(what))
            .collect()
    }

    /// Everything there ends now, and agents stay away; gives these.
    pub(super) fn kill_zone(&mut self, zone: String, services: &[Name]) -> Vec<What> {
        self.down.insert(zone);
        let there: Vec<What> = self.instances().filter(|what| self.is_in_a_killed_zone(what)).collect();
        for what in &there {
            if let What::Agent { name, number } = what {
                self.respawns.forget(what);
                self.groups.disturb(Scope::Agent(name, *number), Disturbance::Kill);
            }
        }
        services.iter().for_each(|service| self.groups.stop(Scope::Service(service), How::AtOnce));
        there
    }

    /// An agent ended in a zone that was killed.
    pub(super) fn zone_is_gone(&mut self, what: &What) {
        self.give_up(what, "its zone was killed, and no instance of it is in another one");
    }

    pub(super) fn is_in_a_killed_zone(&self, what: &What) -> bool {
        let What::Agent { name, number } = what else { return false };
        self.setup.zone_of(name, *number).is_some_and(|zone| self.down.contains(zone))
    }

    /// Whether another instance of the agent runs, or is about to.
    pub(super) fn has_another(&self, what: &What) -> bool {
        let What::Agent { name: of, .. } = what else { return false };
        let others =
            self.instances().filter(|other| matches!(other, What::Agent { name, .. } if name == of) && other != what);
        others.into_iter().any(|other| self.is_there(&other) || self.respawns.is_due(&other))
    }

    fn instances(&self) -> impl Iterator<Item = What> {
        let all = self.setup.agents();
        all.flat_map(|name| (1..=self.setup.instances(name)).map(|number| What::Agent { name: name.clone(), number }))
    }

    pub(super) fn is_there(&self, what: &What) -> bool {
        matches!(what, What::Agent { name, number } if self.groups.any_left(Scope::Agent(name, *number)))
    }
}
