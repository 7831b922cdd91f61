//! Members that share an agent, and what they cannot have: it takes an agent beside whom it is for.

use std::collections::BTreeSet;

use meshproof_proto::id::Name;
use meshproof_proto::order::Action;

use super::super::code::Code;
use super::super::compiled::{Conduct, Does, Fault, Plan, ProcessChange, ProcessStep, Service, Step, Tunnel};
use super::super::diagnostic::Diagnostic;
use super::super::read::Reading;

const ALONE: &str = "leave `per-agent` out: then each member has an agent of its own";

/// What members reach through tunnels they reach through those of their agent. Reports what they cannot have.
pub(super) fn settle(plan: &mut Plan, cx: &Reading<'_>) {
    let guests: BTreeSet<Name> = plan.services.iter().filter(is_guest).map(|guest| guest.name.clone()).collect();
    if guests.is_empty() {
        return;
    }
    let tunnels = std::mem::take(&mut plan.tunnels);
    plan.tunnels =
        tunnels.into_iter().map(|tunnel| Tunnel { at: plan.agent_of(&tunnel.at).clone(), ..tunnel }).collect();
    let services = of_services(plan);
    let steps = plan.tests.iter().flat_map(|test| test.all_steps()).flat_map(|step| of_step(step, plan));
    let stubs = plan.stubs.iter().filter(|stub| guests.contains(&stub.at)).map(|stub| {
        let message = format!("{}, and a stub is played by an agent", shares(&stub.at, plan));
        Diagnostic::new(Code::Unsupported, stub.span, message).help(ALONE)
    });
    let mut problems: Vec<Diagnostic> = services.into_iter().chain(steps).chain(stubs).collect();
    // the rounds of a step that is repeated stand at one place
    problems.dedup();
    problems.into_iter().for_each(|problem| cx.report(problem));
}

fn is_guest(service: &&Service) -> bool {
    *service.agent() != service.name
}

/// What a group says that is done by the agent beside each member. One report a group.
fn of_services(plan: &Plan) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for service in plan.services.iter().filter(is_guest) {
        let Some(member) = service.member.as_ref().filter(|member| seen.insert(member.group.clone())) else { continue };
        let needs = [
            (plan.network.is_some(), "a data network"),
            (!service.ports.is_empty(), "`ports`"),
            (service.ready.is_some(), "`ready`"),
            (service.scrape.is_some(), "`metrics`"),
            (!service.listens.is_empty(), "a log that listens"),
        ];
        let needs = needs.into_iter().filter(|(has, _)| *has);
        problems.extend(needs.map(|(_, what)| {
            let message =
                format!("members of `{}` share agents, and {what} takes one beside each of them", member.group);
            Diagnostic::new(Code::Unsupported, service.span, message).help(ALONE)
        }));
    }
    problems
}

fn of_step(step: &Step, plan: &Plan) -> Vec<Diagnostic> {
    let acts: Vec<&Name> = match &step.does {
        Does::Ask(ask) => {
            let to = match &ask.action {
                Action::ExpectLink { to } => Some(to),
                _ => None,
            };
            std::iter::once(&ask.at).chain(ask.parts.iter().map(|part| &part.at)).chain(to).collect()
        }
        Does::Conduct(Conduct::Process(ProcessStep { service, what: ProcessChange::KillAgent })) => vec![service],
        Does::Fault(fault) => return disturbed(step, [&fault.fault], plan),
        Does::Draw(draw) => return disturbed(step, &draw.faults, plan),
        Does::Value { .. }
        | Does::Heal(_)
        | Does::Collect(_)
        | Does::Say(_)
        | Does::Settle(_)
        | Does::Everywhere(_)
        | Does::Conduct(_) => Vec::new(),
    };
    let guests = acts.into_iter().filter(|name| plan.agent_of(name) != *name);
    let refused = guests.map(|name| {
        let message = format!("{}, so no step acts beside it", shares(name, plan));
        let first = plan.agent_of(name);
        Diagnostic::new(Code::Unsupported, step.verb, message).help(format!("name `{first}`, or {ALONE}"))
    });
    refused.collect()
}

/// What disturbs the traffic of an agent would disturb that of all who share it.
fn disturbed<'f>(step: &Step, faults: impl IntoIterator<Item = &'f Fault>, plan: &Plan) -> Vec<Diagnostic> {
    let ends: BTreeSet<&Name> = faults.into_iter().flat_map(Fault::ends).collect();
    let shared = ends.into_iter().filter(|name| plan.agent_of(name) != *name || plan.guests(name).next().is_some());
    let refused = shared.map(|name| {
        let message = format!("`{name}` shares an agent, and a fault would disturb all who do");
        Diagnostic::new(Code::Unsupported, step.verb, message).help(ALONE)
    });
    refused.collect()
}

fn shares(name: &Name, plan: &Plan) -> String {
    format!("`{name}` shares the agent of `{}`", plan.agent_of(name))
}

#[cfg(test)]
mod tests {
    use crate::plan::{Inputs, check};

    fn checked(group: &str, steps: &str) -> Result<crate::plan::Plan, Vec<String>> {
        let text = format!(
            "meshproof: 1\nplan: p\nservices: {{ shop: {{ exec: {{ argv: [s] }}, ports: {{ http: dynamic }} }} }}\n\
             groups: {{ nodes: {{ count: 5, per-agent: 2, exec: {{ argv: [a] }}{group} }} }}\n\
             tests:\n  - id: t\n    steps: [{steps}]\n"
        );
        let plan = check("plan.yaml", text.as_bytes(), &Inputs::default()).plan;
        plan.map_err(|mistakes| mistakes.found.into_iter().map(|found| found.message).collect())
    }

    #[test]
    fn the_first_of_so_many_has_the_agent_and_reaches_others_for_all_of_them() {
        let group = ", env: { SHOP: \"${{ services.shop.http }}\" }";
        let plan = checked(group, "{ expect: { log: \"*\", count: 0, matches: /panic/ } }").expect("a good plan");
        let agents: Vec<&str> = plan.agents().map(|agent| agent.as_str()).collect();
        assert_eq!(agents, ["shop", "nodes-1", "nodes-3", "nodes-5"]);
        let at: Vec<&str> = plan.tunnels.iter().map(|tunnel| tunnel.at.as_str()).collect();
        assert_eq!(at, ["nodes-1", "nodes-3", "nodes-5"]);
        let first = "nodes-3".parse().expect("a name");
        let guests: Vec<&str> = plan.guests(&first).map(|guest| guest.name.as_str()).collect();
        assert_eq!(guests, ["nodes-4"]);
    }

    #[test]
    fn what_takes_an_agent_beside_each_member_is_refused() {
        let said = |group: &str, steps: &str| checked(group, steps).err().unwrap_or_default();
        let step = "{ at: nodes-2, exec: { argv: [x] } }";
        assert_eq!(said("", step), ["`nodes-2` shares the agent of `nodes-1`, so no step acts beside it"]);
        assert_eq!(said("", "{ at: nodes-1, exec: { argv: [x] } }"), [""; 0]);
        let killed = said("", "{ kill: nodes-2 }, { kill: { agent: nodes-4 } }");
        assert_eq!(killed, ["`nodes-4` shares the agent of `nodes-3`, so no step acts beside it"]);
        let ports = said(", ports: { http: dynamic }", "{ say: hello }");
        assert_eq!(ports, ["members of `nodes` share agents, and `ports` takes one beside each of them"]);
    }
}
