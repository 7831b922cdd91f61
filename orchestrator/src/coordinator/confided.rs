//! What nobody gets to see, and which agent has to know it.
//!
//! Every agent gets the plan's secrets: what one service was told another may log, and only who knows a secret can take it out
//! before a text is cut. A private key never travels between services, so it goes to agents that use it.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_proto::id::Name;
use meshproof_proto::secrets::Secrets;

use crate::plan::Plan;
use crate::plan::compiled::Step;

/// The private keys among the texts that the run's authority has made: `tls.NAME.key`.
pub(super) fn keys(held: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    let keys = held.iter().filter(|(name, _)| is_key(name));
    keys.map(|(name, text)| (name.as_str(), text.as_str()))
}

/// What anybody may see of what the run's authority has made.
pub(super) fn certificates(held: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let certificates = held.iter().filter(|(name, _)| name.starts_with("tls.") && !is_key(name));
    certificates.map(|(name, text)| (name.clone(), text.clone())).collect()
}

/// What that agent has to know.
pub(super) fn to(agent: &Name, plan: &Plan, confided: &Secrets) -> Secrets {
    let used = identities(agent, plan);
    let mut its_own = Secrets::default();
    for (name, value) in confided.iter().filter(|(name, _)| !is_key(name) || used.contains(*name)) {
        its_own.insert(name, value);
    }
    its_own
}

/// A secret's name has no dot.
pub(super) fn is_key(name: &str) -> bool {
    name.starts_with("tls.") && name.ends_with(".key")
}

/// The texts of identities that stand beside the agent's service, or that its steps use.
fn identities(agent: &Name, plan: &Plan) -> BTreeSet<String> {
    let services = || plan.services.iter();
    let beside = services().filter(|service| service.agent() == agent).flat_map(|service| &service.identities);
    let beside = beside.map(|identity| format!("tls.{identity}.key"));
    let ready = services().filter_map(|service| service.ready.as_ref());
    let steps = plan.tests.iter().flat_map(|test| test.all_steps()).chain(ready);
    // What stubs show as theirs, and what they sign with.
    let stubs = plan.stubs.iter().filter(|stub| stub.at == *agent);
    let stubs = stubs.flat_map(|stub| stub.order.clone().held_mut().map(|held| held.name.clone()).collect::<Vec<_>>());
    let stubs = stubs.filter(|name| is_key(name));
    beside.chain(steps.flat_map(|step| named(agent, step))).chain(stubs).collect()
}

fn named(agent: &Name, step: &Step) -> Vec<String> {
    let mut actions = Vec::new();
    for ask in step.asks() {
        if ask.at == *agent {
            actions.push(ask.action.clone());
        }
        actions.extend(ask.parts.iter().filter(|part| part.at == *agent).map(|part| part.action.clone()));
    }
    actions.iter_mut().flat_map(|action| action.held_mut()).map(|held| held.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Inputs, SecretInputs, check};

    #[test]
    fn secrets_go_to_every_agent_and_a_private_key_to_those_that_use_it() {
        let text = "meshproof: 1\nplan: p\nservices:\n  a: { exec: { argv: [a] }, tls: run, ports: { http: dynamic } }\n  b: { exec: { argv: [b, \"${{ secrets.token }}\"] } }\ntests:\n  - id: t\n    steps:\n      - { at: b, to: a, http: { get: /, tls: { as: client } } }\n";
        let given = BTreeMap::from([("token".to_owned(), "hunter2hunter2".to_owned())]);
        let inputs = Inputs { secrets: SecretInputs { given, ..Default::default() }, ..Inputs::default() };
        let plan = check("plan.yaml", text.as_bytes(), &inputs).plan.expect("a good plan");
        let held = ["tls.ca", "tls.a.cert", "tls.a.key", "tls.client.key"];
        let held = held.map(|name| (name.to_owned(), "PEM".to_owned())).into();
        let mut confided = plan.secrets.clone();
        keys(&held).for_each(|(name, key)| confided.insert(name, key));
        let names = |agent: &str| {
            let its_own = to(&agent.parse().expect("a name"), &plan, &confided);
            its_own.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names("a"), ["tls.a.key", "token"]);
        assert_eq!(names("b"), ["tls.client.key", "token"]);
    }
}
