//! Which agents keep links: pairs, from the first to the last in the order of the file.

use std::collections::BTreeSet;

use meshproof_proto::id::Name;

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::limits::MAX_LINKS;
use super::super::model::{Document, Service, Topology, TopologyKind, Word};
use super::Compiler;

/// Two agents, the one whose name is lower first.
type Link = (Name, Name);

impl Compiler<'_> {
    /// The links that agents make before anybody needs them.
    pub(super) fn links(&self, document: &Document) -> BTreeSet<Link> {
        let Some(topology) = &document.topology else { return BTreeSet::new() };
        let agents = agents(document);
        let links = match topology.kind.value {
            TopologyKind::Full => regular(&agents, agents.len().saturating_sub(1)),
            TopologyKind::Ring => regular(&agents, 2.min(agents.len().saturating_sub(1))),
            TopologyKind::Regular => {
                self.degree(topology, agents.len()).map_or_else(BTreeSet::new, |degree| regular(&agents, degree))
            }
            TopologyKind::Star => {
                let center = topology.center.as_ref().and_then(|center| self.names.service_name(center));
                let center = center.map(|center| agent_of(&center, document));
                center
                    .into_iter()
                    .flat_map(|center| agents.iter().filter_map(move |other| link(&center, other)))
                    .collect()
            }
            TopologyKind::Explicit => topology.links.iter().flat_map(|ends| self.between(ends, document)).collect(),
        };
        if links.len() > MAX_LINKS {
            let message = format!("these are {} links, and more than {MAX_LINKS} are not made", links.len());
            let problem = Diagnostic::new(Code::OutOfRange, topology.span, message);
            self.cx.report(problem.help("links are made when they are needed; `regular` keeps a few for each agent"));
            return BTreeSet::new();
        }
        links
    }

    /// How many links each has, if that can be.
    fn degree(&self, topology: &Topology, agents: usize) -> Option<usize> {
        let asked = topology.degree.as_ref()?;
        let degree = usize::try_from(self.settled.count(asked)?).ok()?;
        // an odd number of ends is no number of links
        if degree == 0 || degree >= agents || degree * agents % 2 == 1 {
            let message = format!("{agents} agents cannot have {degree} links each");
            self.cx.report(Diagnostic::new(Code::OutOfRange, asked.span, message));
            return None;
        }
        Some(degree)
    }

    fn between(&self, (one, other): &(Word, Word), document: &Document) -> Vec<Link> {
        let agents = |word: &Word| -> Vec<Name> {
            self.names.members(word).iter().map(|member| agent_of(member, document)).collect()
        };
        let (ones, others) = (agents(one), agents(other));
        ones.iter().flat_map(|one| others.iter().filter_map(move |other| link(one, other))).collect()
    }
}

/// Those that take part: of the members of groups, or of all services where there are no groups.
fn agents(document: &Document) -> Vec<Name> {
    let has_groups = document.services.iter().any(|service| service.member.is_some());
    let takes_part = |service: &&Service| match &service.member {
        Some(member) => member.shares.is_none(),
        None => !has_groups,
    };
    let services = document.services.iter().filter(takes_part);
    services.filter_map(|service| super::name(&service.name.value)).collect()
}

fn agent_of(name: &Name, document: &Document) -> Name {
    let service = document.services.iter().find(|service| service.name.value == name.as_str());
    let shares = service.and_then(|service| service.member.as_ref()?.shares.as_ref());
    shares.and_then(|first| super::name(&first.value)).unwrap_or_else(|| name.clone())
}

fn link(one: &Name, other: &Name) -> Option<Link> {
    match one.cmp(other) {
        std::cmp::Ordering::Less => Some((one.clone(), other.clone())),
        std::cmp::Ordering::Greater => Some((other.clone(), one.clone())),
        std::cmp::Ordering::Equal => None,
    }
}

/// In a circle, each with those next to it on both sides; of an odd degree also with the one across.
fn regular(agents: &[Name], degree: usize) -> BTreeSet<Link> {
    let count = agents.len();
    let across = (degree % 2 == 1).then_some(count / 2);
    let steps: Vec<usize> = (1..=degree / 2).chain(across).collect();
    let ends = (0..count).flat_map(|at| steps.iter().map(move |step| (at, (at + step) % count)));
    ends.filter_map(|(one, other)| link(&agents[one], &agents[other])).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn names(count: usize) -> Vec<Name> {
        (1..=count).map(|number| format!("n{number}").parse().expect("a name")).collect()
    }

    #[test]
    fn in_a_regular_topology_each_has_as_many_links_as_it_says_and_nobody_is_apart() {
        for count in 2..40 {
            for degree in (1..count).filter(|degree| degree * count % 2 == 0) {
                let links = regular(&names(count), degree);
                let mut of: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
                for (one, other) in &links {
                    of.entry(one).or_default().insert(other);
                    of.entry(other).or_default().insert(one);
                }
                assert!(of.len() == count && of.values().all(|others| others.len() == degree), "{count}, {degree}");
                let (mut reached, mut left) = (BTreeSet::new(), vec![&links.first().expect("a link").0]);
                while let Some(name) = left.pop() {
                    if reached.insert(name) {
                        left.extend(&of[name]);
                    }
                }
                assert!(degree == 1 || reached.len() == count, "{count}, {degree}");
            }
        }
    }
}
