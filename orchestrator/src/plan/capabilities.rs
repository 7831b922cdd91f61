//! What a run of a plan takes of its agents, and of the orchestrator that commands them: no token of the run grants more.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_proto::id::Name;
use meshproof_proto::identity::Capability;

use super::compiled::{Conduct, Does, Plan, ProcessChange, ProcessStep, Step};

/// What services print is always kept, and `meshproof bench` measures the links of every run.
const ALWAYS: [Capability; 2] = [Capability::Logs, Capability::Stream];

impl Plan {
    /// All that any step, stub, tunnel or log of it takes.
    #[must_use]
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        ALWAYS.into_iter().chain(self.capabilities_by_agent().into_values().flatten()).collect()
    }

    /// The same, of the agent beside each service.
    #[must_use]
    pub fn capabilities_by_agent(&self) -> BTreeMap<Name, BTreeSet<Capability>> {
        let mut needed: BTreeMap<Name, BTreeSet<Capability>> =
            self.services.iter().map(|service| (service.name.clone(), ALWAYS.into())).collect();
        let scraped = self.services.iter().filter(|service| service.scrape.is_some());
        let stubs = self.stubs.iter().map(|stub| (stub.at.clone(), Capability::Stub));
        let ends = self.tunnels.iter().flat_map(|tunnel| [tunnel.at.clone(), tunnel.to.service.clone()]);
        // its packets, and what probes its paths
        let networked = self.network.iter().flat_map(|network| network.addresses.keys());
        let networked = networked.flat_map(|name| [Capability::Tun, Capability::Tunnel].map(|one| (name.clone(), one)));
        let ready = self.services.iter().filter_map(|service| service.ready.as_ref());
        let steps = self.tests.iter().flat_map(|test| test.all_steps()).chain(ready);
        let parts = scraped
            .map(|service| (service.name.clone(), Capability::Http))
            .chain(stubs)
            .chain(networked)
            .chain(ends.map(|end| (end, Capability::Tunnel)))
            .chain(steps.flat_map(of_step));
        for (agent, capability) in parts {
            needed.entry(agent).or_default().insert(capability);
        }
        needed
    }
}

/// Who has to be able to do what for it.
fn of_step(step: &Step) -> Vec<(Name, Capability)> {
    match &step.does {
        Does::Ask(_) => {
            let parts = step.asks().flat_map(|ask| &ask.parts).map(|part| (part.at.clone(), part.action.capability()));
            parts.chain(step.asks().map(|ask| (ask.at.clone(), ask.action.capability()))).collect()
        }
        Does::Fault(fault) => {
            fault.fault.parts.iter().map(|(agent, target)| (agent.clone(), target.capability())).collect()
        }
        Does::Draw(draw) => {
            let parts = draw.faults.iter().flat_map(|fault| &fault.parts);
            parts.map(|(agent, target)| (agent.clone(), target.capability())).collect()
        }
        Does::Conduct(Conduct::Process(ProcessStep { what: ProcessChange::Restart(Some(ready)), .. })) => {
            of_step(ready)
        }
        Does::Everywhere(_) => Vec::new(),
        Does::Value { .. } | Does::Heal(_) | Does::Collect(_) | Does::Say(_) | Does::Settle(_) | Does::Conduct(_) => {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use Capability::{Exec, Http, Logs, Stream, Stub, Tcp, Tunnel};

    use super::*;
    use crate::plan::{Inputs, check};

    fn needed(rest: &str) -> Vec<Capability> {
        let text = format!("meshproof: 1\nplan: p\n{rest}");
        let plan = check("plan.yaml", text.as_bytes(), &Inputs::default()).plan;
        plan.expect("a good plan").capabilities().into_iter().collect()
    }

    #[test]
    fn a_plan_takes_what_its_parts_take_and_nothing_more() {
        let say = "tests: [{ id: t, steps: [{ say: hi }] }]\n";
        let service = "services:\n  a: { exec: { argv: [a] }, ports: { tcp: dynamic }";
        assert_eq!(needed(&format!("{service} }}\n{say}")), [Stream, Logs]);
        let metrics = ", metrics: { path: /metrics }";
        assert_eq!(needed(&format!("{service}{metrics} }}\n{say}")), [Http, Stream, Logs]);
        assert_eq!(needed(&format!("{service}, ready: {{ tcp: {{}} }} }}\n{say}")), [Tcp, Stream, Logs]);
        let stub = "stubs: { bank: { at: a, protocol: http, unmatched: 404, routes: [] } }\n";
        assert_eq!(needed(&format!("{service} }}\n{stub}{say}")), [Stub, Stream, Logs]);
        let after = "tests: [{ id: t, steps: [{ say: hi }], after: [{ at: a, exec: { argv: [date] } }] }]\n";
        assert_eq!(needed(&format!("{service} }}\n{after}")), [Exec, Stream, Logs]);
        let far = "  b: { exec: { argv: [b] } }\ntests: [{ id: t, steps: [{ at: b, to: a, tcp: { send: x } }] }]\n";
        assert_eq!(needed(&format!("{service} }}\n{far}")), [Tcp, Tunnel, Stream, Logs]);
    }

    #[test]
    fn each_agent_is_asked_for_what_is_done_beside_its_service() {
        let text = "meshproof: 1\nplan: p\nservices:\n  a: { exec: { argv: [a] }, ports: { tcp: dynamic } }\n  b: { exec: { argv: [b] } }\n\
             tests: [{ id: t, steps: [{ to: a, tcp: { send: x } }, { at: b, exec: { argv: [date] } }] }]\n";
        let plan = check("plan.yaml", text.as_bytes(), &Inputs::default()).plan.expect("a good plan");
        let needed: Vec<(String, Vec<Capability>)> = plan
            .capabilities_by_agent()
            .into_iter()
            .map(|(agent, needed)| (agent.to_string(), needed.into_iter().collect()))
            .collect();
        let expected = [("a", vec![Tcp, Stream, Logs]), ("b", vec![Exec, Stream, Logs])];
        assert_eq!(needed, expected.map(|(agent, needed)| (agent.to_owned(), needed)));
    }
}
