//! Where everything listens, settled before anything is there: a pod's network is its own, so that any number is free in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use meshproof_proto::id::Name;

use crate::plan::Plan;
use crate::plan::compiled::{Service, Tunnel};
use crate::run::{Place, Setting};

/// Below those that kernels give away themselves.
const PORTS: Range<u16> = 20_000..30_000;

/// Where an agent answers machines that ask how it is.
const HEALTH: u16 = 9464;

/// The working directory of a service in its pod, which its agent sees too.
pub const DIR: &str = "/meshproof/service";

/// What the services are started with, and what their agents are told of it.
#[derive(Debug)]
pub struct Allotted {
    pub setting: Setting,
    /// Variables of each agent.
    pub agents: BTreeMap<Name, Vec<(&'static str, String)>>,
}

/// Gives every port a number, in the pod that it is in.
pub fn allot(plan: &Plan) -> Allotted {
    let mut allotted = Allotted { setting: Setting::default(), agents: BTreeMap::new() };
    for service in &plan.services {
        allotted.add(plan, service);
    }
    allotted
}

impl Allotted {
    fn add(&mut self, plan: &Plan, service: &Service) {
        let taken: BTreeSet<u16> = service.ports.iter().filter_map(|port| port.number).chain([HEALTH]).collect();
        let mut free = PORTS.filter(|port| !taken.contains(port));
        // a plan has far fewer ports than there are numbers
        let mut next = || free.next().unwrap_or_default();
        let own = service.ports.iter().map(|port| (port.name.clone(), loopback(port.number.unwrap_or_else(&mut next))));
        let own: BTreeMap<String, String> = own.collect();
        let mut listens = Vec::new();
        for stub in plan.stubs.iter().filter(|stub| stub.at == service.name) {
            let port = next();
            listens.push(format!("{}={port}", stub.order.name));
            self.setting.stubs.insert(stub.order.name.clone(), loopback(port));
        }
        for tunnel in plan.tunnels.iter().filter(|tunnel| tunnel.at == service.name && tunnel.to.service != tunnel.at) {
            let port = next();
            listens.push(format!("{}={port}", tunnel.to));
            let Tunnel { at, to } = tunnel.clone();
            self.setting.addresses.insert(Tunnel { at, to }, loopback(port));
        }
        let pairs = |pairs: &BTreeMap<String, String>| {
            pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
        };
        let logs = service.logs.iter().map(|(log, file)| (log.clone(), format!("{DIR}/{file}"))).collect();
        let labels = plan
            .labels()
            .remove(&service.name)
            .and_then(|labels| labels.first().map(ToString::to_string))
            .unwrap_or_default();
        let variables = [
            ("MESHPROOF_SERVICE", pairs(&own)),
            ("MESHPROOF_LISTEN", listens.join(",")),
            ("MESHPROOF_LOGS", pairs(&logs)),
            ("MESHPROOF_LABELS", labels),
        ];
        let variables = variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        self.agents.insert(service.name.clone(), variables);
        self.setting.places.insert(service.name.clone(), Place { dir: DIR.to_owned(), ports: own });
    }
}

fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
