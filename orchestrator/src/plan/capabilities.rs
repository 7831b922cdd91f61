//! What a run of a plan takes of its agents, and of the orchestrator that commands them: no token of the run grants more.

use std::collections::BTreeSet;

use meshproof_proto::identity::Capability;
use meshproof_proto::order::FaultTarget;

use super::compiled::{Conduct, Does, Plan, ProcessChange, ProcessStep, Step};

impl Plan {
    /// All that any step, stub, tunnel or log of it takes.
    #[must_use]
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        // what services print is always kept, and `meshproof bench` measures the links of every run
        let mut needed = BTreeSet::from([Capability::Logs, Capability::Stream]);
        let parts = [
            (!self.stubs.is_empty(), Capability::Stub),
            (!self.tunnels.is_empty(), Capability::Tunnel),
            (self.services.iter().any(|service| service.scrape.is_some()), Capability::Http),
        ];
        needed.extend(parts.iter().filter(|(asked, _)| *asked).map(|(_, capability)| *capability));
        let ready = self.services.iter().filter_map(|service| service.ready.as_ref());
        let steps = self.tests.iter().flat_map(|test| test.all_steps()).chain(ready);
        needed.extend(steps.flat_map(of_step));
        needed
    }
}

fn of_step(step: &Step) -> Vec<Capability> {
    match &step.does {
        Does::Ask(ask) => {
            let apply = ask.apply.as_ref().map(|apply| apply.action.capability());
            apply.into_iter().chain([ask.action.capability()]).collect()
        }
        Does::Fault(fault) => fault.fault.parts.values().map(FaultTarget::capability).collect(),
        Does::Conduct(Conduct::Process(ProcessStep { what: ProcessChange::Restart(Some(ready)), .. })) => {
            of_step(ready)
        }
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
}
