//! The requests that are answered at once: ports, starting a service, signals.

use std::collections::BTreeMap;

use meshproof_proto::id::Name;

use super::groups::Scope;
use super::keeping::{Keeper, failed};
use super::protocol::{Answer, Disturbance, How, PortWish, StartService, Target, What};
use super::spawn;

impl Keeper {
    /// Reserves ports for services.
    pub(super) fn allot(&mut self, wishes: BTreeMap<Name, BTreeMap<String, PortWish>>) -> Answer {
        let mut ports = BTreeMap::new();
        // Fixed ones first, so that no dynamic one takes their place.
        for is_turn_of in [is_fixed as fn(PortWish) -> bool, |wish| !is_fixed(wish)] {
            for (service, wishes) in &wishes {
                let given: &mut BTreeMap<String, u16> = ports.entry(service.clone()).or_default();
                for (name, wish) in wishes.iter().filter(|(_, wish)| is_turn_of(**wish)) {
                    match self.ports.allot(*wish) {
                        Ok(port) => given.insert(name.clone(), port),
                        Err(error) => return failed(format!("service {service}, port `{name}`: {error}")),
                    };
                }
            }
        }
        Answer::Allotted { ports }
    }

    /// Writes a service's files and starts its processes: all of them, or none.
    pub(super) fn start_service(&mut self, start: &StartService) -> Answer {
        let scope = Scope::Service(&start.name);
        if self.groups.any_left(scope) {
            return failed(format!("service {} runs already", start.name));
        }
        if !self.folder.service(&start.name).is_dir() {
            return failed(format!("there is no service {} in this run", start.name));
        }
        self.groups.forget_ended(scope);
        if let Err(error) = spawn::write_files(&self.folder, &start.name, &start.files) {
            return failed(error);
        }
        let mut pids = Vec::new();
        for process in 0..start.processes.len() {
            match spawn::service(&self.folder, (start, process), self.home(&start.name)) {
                Ok(pid) => {
                    self.groups.add(What::Service { name: start.name.clone(), process }, pid, start.stop);
                    pids.extend(self.groups.seen(&start.name, pid));
                }
                Err(error) => {
                    self.groups.stop(scope, How::AtOnce);
                    return failed(error);
                }
            }
        }
        *self.starts.entry(start.name.clone()).or_default() += 1;
        Answer::Started { pids }
    }

    /// Disturbs processes on order.
    pub(super) fn signal(&mut self, target: &Target, disturbance: Disturbance) -> Answer {
        if self.groups.disturb(Scope::from(target), disturbance) {
            if let (Target::Agent(name, _), Disturbance::Kill) = (target, disturbance) {
                *self.kills.entry(name.clone()).or_default() += 1;
            }
            Answer::Signalled
        } else {
            failed(format!("nothing of {target:?} runs"))
        }
    }
}

fn is_fixed(wish: PortWish) -> bool {
    matches!(wish, PortWish::Fixed(_))
}
