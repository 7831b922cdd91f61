//! A zone is killed: its agents and the services beside them. Where another instance of an agent takes over elsewhere, its service is
//! started anew beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshproof_proto::id::Name;
use meshproof_proto::order::StepKey;
use meshproof_proto::verdict::Verdict;

use super::api::{Output, ProcessOrder};
use super::blame::Blame;
use super::machine::Run;
use super::processes::KILLED;
use super::stepping::{Begun, Running, Wait};
use crate::record::Ending;

/// Services that went with their zone.
#[derive(Debug, Default)]
pub(super) struct Zones {
    /// They wait for an instance of their agent elsewhere. Which step killed them.
    gone: BTreeMap<Name, StepKey>,
    /// They are started, under these keys.
    starting: BTreeMap<StepKey, Name>,
}

impl Run {
    pub(super) fn begin_killing_zone(&mut self, zone: &str, running: Running) -> Begun {
        self.push(Output::KillZone { key: running.info.key.clone(), zone: zone.to_owned() });
        Begun::Waiting(Box::new(Running { wait: Wait::Change, ..running }))
    }

    /// It is done, or not.
    pub(super) fn zone_killed(&mut self, key: &StepKey, services: Vec<Name>, result: Result<(), String>) {
        for service in services.iter().filter(|_| result.is_ok()) {
            self.processes.left(service, KILLED);
            self.sync.lose(service.as_str());
            self.zones.gone.insert(service.clone(), key.clone());
        }
        if let Some(running) = self.take_running(key, |running| running.wait == Wait::Change) {
            match &result {
                Ok(()) => self.end_step(&running, Ending::Pass, None),
                Err(reason) => self.end_badly(&running, Verdict::Error, reason),
            };
        }
        // an instance elsewhere may have been quick
        for service in services {
            if !self.down.contains_key(&service) {
                self.service_moves(&service);
            }
        }
    }

    /// An instance of its agent is there: if the service went with its zone, it is started there.
    pub(super) fn service_moves(&mut self, service: &Name) {
        let Some(killed_by) = self.zones.gone.remove(service).filter(|_| !self.lost.contains_key(service)) else {
            return;
        };
        let plan = Arc::clone(&self.plan);
        let launch = plan.services.iter().find(|known| known.name == *service).map(|known| self.scope.launch(known));
        let key = StepKey { step: format!("{}.{service}", killed_by.step), ..killed_by };
        match launch {
            Some(Ok(launch)) => {
                self.zones.starting.insert(key.clone(), service.clone());
                let what = ProcessOrder::Restart(Box::new(launch));
                self.push(Output::Change { key, service: service.clone(), what });
            }
            Some(Err(unset)) => self.did_not_move(service, &unset.to_string()),
            None => {}
        }
    }

    /// Whether what was done to processes under that key was the start of a service elsewhere.
    pub(super) fn has_moved(&mut self, key: &StepKey, result: &Result<(), String>) -> bool {
        let Some(service) = self.zones.starting.remove(key) else { return false };
        match result {
            Ok(()) => self.processes_anew(&service),
            Err(reason) => self.did_not_move(&service, reason),
        }
        true
    }

    fn did_not_move(&mut self, service: &Name, reason: &str) {
        let title =
            format!("service {service} was killed with its zone and cannot be started in another one: {reason}");
        self.fail(Verdict::Error, Blame::new(None, title));
    }
}
