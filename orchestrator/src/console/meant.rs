//! Which agents a word of a person means.

use std::collections::BTreeMap;

use meshproof_proto::id::Name;
use meshproof_proto::labels::{Labels, Selector};

/// Of these, in order: all of them, the one of that name, those that a pattern covers, or the members of a group of the plan.
pub fn meant<'a, T>(wanted: &str, agents: impl IntoIterator<Item = (&'a Name, T)>) -> Vec<(Name, T)> {
    let mut agents: Vec<(Name, T)> = agents.into_iter().map(|(name, agent)| (name.clone(), agent)).collect();
    agents.sort_by(|left, right| left.0.cmp(&right.0));
    let is_covered = |name: &str| wanted == "all" || meshproof_proto::glob::matches(wanted, name);
    let are_named = agents.iter().any(|(name, _)| is_covered(name.as_str()));
    agents.retain(|(name, _)| match are_named {
        true => is_covered(name.as_str()),
        false => group(name.as_str()) == Some(wanted),
    });
    agents
}

/// Of these, in order, those that the labels choose.
#[must_use]
pub fn labelled<T>(selector: &Selector, agents: impl IntoIterator<Item = (Name, Labels, T)>) -> Vec<(Name, T)> {
    let chosen = agents.into_iter().filter(|(_, labels, _)| selector.chooses(labels));
    let mut chosen: Vec<(Name, T)> = chosen.map(|(name, _, agent)| (name, agent)).collect();
    chosen.sort_by(|left, right| left.0.cmp(&right.0));
    chosen
}

/// Each label with those who have it: `tier=db (ledger), zone=eu (ledger, shop)`.
#[must_use]
pub fn holders<'a>(agents: impl IntoIterator<Item = (&'a Name, &'a Labels)>) -> String {
    let mut held: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, labels) in agents {
        for (key, value) in labels.iter() {
            held.entry(format!("{key}={value}")).or_default().push(name.as_str());
        }
    }
    let held: Vec<String> = held.into_iter().map(|(label, names)| format!("{label} ({})", names.join(", "))).collect();
    held.join(", ")
}

/// The group of which an agent of such a name is a member: `nodes` of `nodes-3`.
#[must_use]
pub fn group(name: &str) -> Option<&str> {
    let (group, number) = name.rsplit_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then_some(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_a_pattern_a_group_and_all_are_understood() {
        let names: Vec<Name> =
            ["nodes-2", "nodes-1", "seeds-1", "shop", "shop-1"].map(|name| name.parse().expect("a name")).into();
        let of = |wanted: &str| {
            let agents = meant(wanted, names.iter().map(|name| (name, ())));
            agents.into_iter().map(|(name, ())| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of("nodes"), ["nodes-1", "nodes-2"]);
        assert_eq!(of("nodes-1"), ["nodes-1"]);
        assert_eq!(of("shop"), ["shop"], "an agent's name comes first");
        assert_eq!(of("s*"), ["seeds-1", "shop", "shop-1"]);
        assert_eq!(of("all").len(), 5);
        assert!(of("node").is_empty() && group("nodes-").is_none() && group("a-b").is_none());
    }

    #[test]
    fn labels_choose_agents_and_are_told_with_those_who_have_them() {
        let agents = [("shop", "zone=eu"), ("ledger", "zone=eu,tier=db"), ("audit", "")];
        let agents = agents.map(|(name, labels)| -> (Name, Labels) {
            (name.parse().expect("a name"), labels.parse().expect("labels"))
        });
        let of = |wanted: &str| {
            let selector = Selector::parse(wanted).expect("labels").expect("good ones");
            let chosen = labelled(&selector, agents.clone().map(|(name, labels)| (name, labels, ())));
            chosen.into_iter().map(|(name, ())| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of("zone=eu"), ["ledger", "shop"]);
        assert_eq!(of("zone=e*,tier=db"), ["ledger"]);
        assert!(of("zone=us").is_empty());
        let told = holders(agents.iter().map(|(name, labels)| (name, labels)));
        assert_eq!(told, "tier=db (ledger), zone=eu (shop, ledger)");
    }
}
