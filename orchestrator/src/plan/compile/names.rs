//! The names of a plan, and how they are looked up.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_proto::id::Name;
use meshproof_proto::order::Transport;

use super::super::code::Code;
use super::super::compiled::Endpoint;
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::model::{Document, Fault, FaultUse, Port, Service, Step, Stub, StubUse, Verb, Word};
use super::super::parse::all_steps;
use super::super::read::Reading;
use super::super::source::Span;

pub(super) struct Names<'d> {
    cx: &'d Reading<'d>,
    pub(super) params: Vec<&'d str>,
    /// `None`: whatever is looked up is one.
    pub(super) secrets: Option<Vec<&'d str>>,
    services: BTreeMap<&'d str, &'d Service>,
    groups: BTreeMap<&'d str, Vec<Name>>,
    stubs: BTreeMap<&'d str, &'d Stub>,
    faults: BTreeMap<&'d str, Option<&'d Fault>>,
    /// Ids of steps that begin a fault written in place.
    fault_steps: Vec<&'d str>,
    stub_uses: Vec<&'d StubUse>,
}

impl<'d> Names<'d> {
    pub(super) fn of(document: &'d Document, cx: &'d Reading<'d>) -> Self {
        let steps = document.tests.iter().flat_map(|test| all_steps(test.steps.iter().chain(&test.after)));
        let names = Self {
            cx,
            params: document.params.iter().map(|param| param.name.value.as_str()).collect(),
            secrets: document.secrets.as_ref().map(|all| all.iter().map(|secret| secret.name.value.as_str()).collect()),
            services: document.services.iter().map(|service| (service.name.value.as_str(), service)).collect(),
            groups: members(document),
            stubs: document.stubs.iter().map(|stub| (stub.name.value.as_str(), stub)).collect(),
            faults: document.faults.iter().map(|(name, fault)| (name.value.as_str(), fault.as_ref())).collect(),
            fault_steps: steps.clone().filter_map(inline_fault).collect(),
            stub_uses: steps.filter_map(stub_use).collect(),
        };
        names.no_circle(document);
        names
    }

    /// A service by name; an unknown one is reported.
    pub(super) fn service(&self, word: &Word) -> Option<&'d Service> {
        // An empty name stands for one that was reported.
        if word.value.is_empty() {
            return None;
        }
        self.services.get(word.value.as_str()).copied().or_else(|| {
            self.unknown(Noun::Service, word, self.services.keys().copied());
            None
        })
    }

    /// Every group and its members.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&str, &[Name])> {
        self.groups.iter().map(|(name, members)| (*name, members.as_slice()))
    }

    /// The members of a group; an unknown one is reported.
    pub(super) fn group(&self, word: &Word) -> Option<&[Name]> {
        let found = self.groups.get(word.value.as_str()).map(Vec::as_slice);
        if found.is_none() {
            self.unknown(Noun::Group, word, self.groups.keys().copied());
        }
        found
    }

    /// Whether some service has an instance in that zone; an unknown one is reported.
    pub(super) fn zone(&self, word: &Word) -> bool {
        let zones = self.services.values().flat_map(|service| &service.zones).map(|zone| zone.value.as_str());
        let zones: BTreeSet<&str> = zones.collect();
        let is_known = zones.contains(word.value.as_str());
        if !is_known {
            self.unknown(Noun::Zone, word, zones.iter().copied());
        }
        is_known
    }

    /// The members of a group, or the service of that name; an unknown one is reported.
    pub(super) fn members(&self, word: &Word) -> Vec<Name> {
        match self.groups.get(word.value.as_str()) {
            Some(members) => members.clone(),
            None => self.service_name(word).into_iter().collect(),
        }
    }

    /// Members of a group that have an agent of their own.
    pub(super) fn with_agents<'n>(&'n self, group: &str) -> impl Iterator<Item = &'n Name> {
        let shares = |name: &Name| {
            let member = self.services.get(name.as_str()).and_then(|service| service.member.as_ref());
            member.is_some_and(|member| member.shares.is_some())
        };
        self.groups.get(group).into_iter().flatten().filter(move |name| !shares(name))
    }

    /// Whether that is a group.
    pub(super) fn is_group(&self, name: &str) -> bool {
        self.groups.contains_key(name)
    }

    /// A service by name, and no report where there is none.
    pub(super) fn known(&self, name: &str) -> Option<&'d Service> {
        self.services.get(name).copied()
    }

    /// Whether that is a service.
    pub(super) fn is_service(&self, name: &str) -> bool {
        self.services.contains_key(name)
    }

    /// The names of all services that have a good one.
    pub(super) fn services(&self) -> impl Iterator<Item = Name> {
        self.services.keys().filter_map(|name| super::name(name))
    }

    /// Those of them that have an agent of their own.
    pub(super) fn agents(&self) -> impl Iterator<Item = Name> {
        let shares = |service: &Service| service.member.as_ref().is_some_and(|member| member.shares.is_some());
        self.services.iter().filter(move |(_, service)| !shares(service)).filter_map(|(name, _)| super::name(name))
    }

    /// The name of a service; an unknown one is reported.
    pub(super) fn service_name(&self, word: &Word) -> Option<Name> {
        self.service(word).and_then(|service| super::name(&service.name.value))
    }

    pub(super) fn stub(&self, word: &Word) -> Option<&'d Stub> {
        self.stubs.get(word.value.as_str()).copied().or_else(|| {
            self.unknown(Noun::Stub, word, self.stubs.keys().copied());
            None
        })
    }

    /// The ids of all routes that the stub ever has, those that steps give it included.
    pub(super) fn routes(&self, stub: &'d Stub) -> Vec<&'d str> {
        let given = self.stub_uses.iter().filter(|used| used.stub.value == stub.name.value);
        let given = given.filter_map(|used| used.routes.as_ref()).flatten();
        let upstreams = stub.upstreams.iter().flatten().map(|upstream| &upstream.id);
        let ids = stub.routes.iter().chain(given).map(|route| &route.id).chain(upstreams);
        let mut ids: Vec<&str> = ids.map(|id| id.value.as_str()).collect();
        ids.dedup();
        ids
    }

    /// A fault by name. `None` after a report, here or where it is written.
    pub(super) fn fault(&self, word: &Word) -> Option<&'d Fault> {
        self.faults.get(word.value.as_str()).copied().unwrap_or_else(|| {
            self.unknown(Noun::Fault, word, self.faults.keys().copied());
            None
        })
    }

    /// Whether `heal` can name this.
    pub(super) fn heals(&self, word: &Word) -> bool {
        self.is_fault(word, &["all"])
    }

    /// Whether a fault of this name ever begins; an unknown one is reported.
    pub(super) fn begins(&self, word: &Word) -> bool {
        self.is_fault(word, &[])
    }

    /// Whether a fault or a step that begins one has this name; an unknown one is reported, with what else could stand there.
    fn is_fault(&self, word: &Word, others: &[&'static str]) -> bool {
        let known = self.faults.keys().chain(&self.fault_steps).copied();
        let found = known.clone().any(|name| name == word.value);
        if !found {
            self.unknown(Noun::Fault, word, known.chain(others.iter().copied()));
        }
        found
    }

    /// `shop`, which means the port named like the verb, else the only one; or `shop.admin`.
    pub(super) fn endpoint(&self, to: &Word, verb: &str) -> Option<Endpoint> {
        let (service_name, wanted) = match to.value.split_once('.') {
            Some((service, port)) => (service, Some(port)),
            None => (to.value.as_str(), None),
        };
        let service = self.service(&Word::new(service_name.to_owned(), to.span))?;
        let ports: Vec<&str> = service.ports.iter().map(|port| port.name.value.as_str()).collect();
        let found = match (wanted, ports.as_slice()) {
            (Some(wanted), ports) => ports.iter().find(|port| **port == wanted),
            (None, [only]) => Some(only),
            (None, ports) => ports.iter().find(|port| **port == verb),
        };
        let Some(port) = found else {
            let message = match wanted {
                Some(wanted) => format!("`{service_name}` has no port {}", quote(wanted)),
                None if ports.is_empty() => format!("`{service_name}` has no ports"),
                None => format!("`{service_name}` has several ports, and none is named `{verb}`"),
            };
            let full: Vec<String> = ports.iter().map(|port| format!("{service_name}.{port}")).collect();
            let problem = Diagnostic::new(Code::UnknownPort, to.span, message).label(service.name.span, "this service");
            let expected = one_of(full.iter().map(String::as_str));
            let none = "a service with `ports`, such as `{ http: dynamic }`".to_owned();
            self.cx.report(problem.expected(if ports.is_empty() { none } else { expected }));
            return None;
        };
        let is_udp = |found: &&Port| found.name.value == **port && found.transport == Transport::Udp;
        if let Some(udp) = service.ports.iter().find(is_udp) {
            let message = format!("`{service_name}.{port}` takes datagrams, and `{verb}` makes a connection");
            let problem = Diagnostic::new(Code::UnknownPort, to.span, message).label(udp.name.span, "this port");
            self.cx.report(problem.help("have a program speak to it: `exec` with the address in its arguments"));
            return None;
        }
        Some(Endpoint { service: super::name(service_name)?, port: (*port).to_owned() })
    }

    /// A name in an expression: the same look-up, for the place of the expression.
    pub(super) fn service_at(&self, name: &str, span: Span) -> Option<&'d Service> {
        self.service(&Word::new(name.to_owned(), span))
    }

    fn unknown<'k>(&self, noun: Noun, word: &Word, known: impl Iterator<Item = &'k str> + Clone) {
        let (code, noun) = noun.parts();
        let message = format!("there is no {noun} {}", quote(&word.value));
        let expected = match known.clone().next() {
            Some(_) => one_of(known.clone()),
            None => format!("a {noun}, but the plan has none"),
        };
        self.cx.report(Diagnostic::new(code, word.span, message).expected(expected).did_you_mean(&word.value, known));
    }

    /// Services that need each other in a circle could never start. Walked without recursion: a chain of needs may be as
    /// long as a plan.
    fn no_circle(&self, document: &'d Document) {
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for service in &document.services {
            let mut path: Vec<(&Service, std::slice::Iter<'_, Word>)> = vec![(service, service.needs.iter())];
            let mut on_path: BTreeSet<&str> = BTreeSet::from([service.name.value.as_str()]);
            if done.contains(service.name.value.as_str()) {
                continue;
            }
            while let Some((current, needs)) = path.last_mut() {
                let Some(need) = needs.next() else {
                    on_path.remove(current.name.value.as_str());
                    done.insert(&current.name.value);
                    path.pop();
                    continue;
                };
                let Some(needed) = self.service(need) else { continue };
                if on_path.contains(need.value.as_str()) {
                    let names = path.iter().map(|(service, _)| service.name.value.as_str());
                    self.circle(need, names.skip_while(|name| *name != need.value));
                } else if !done.contains(need.value.as_str()) {
                    on_path.insert(&needed.name.value);
                    path.push((needed, needed.needs.iter()));
                }
            }
        }
    }

    fn circle<'s>(&self, need: &'s Word, path: impl Iterator<Item = &'s str>) {
        const MOST_SHOWN: usize = 8;
        let mut circle: Vec<&str> = path.collect();
        if circle.len() > MOST_SHOWN {
            circle.splice(MOST_SHOWN / 2..circle.len() - MOST_SHOWN / 2, ["…"]);
        }
        circle.push(&need.value);
        let message = format!("services need each other in a circle: {}", circle.join(" -> "));
        let problem = Diagnostic::new(Code::Cycle, need.span, message);
        self.cx.report(problem.help("addresses need no order; leave one `needs` out"));
    }
}

/// What can be named.
#[derive(Clone, Copy)]
enum Noun {
    Service,
    Stub,
    Fault,
    Group,
    Zone,
}

impl Noun {
    fn parts(self) -> (Code, &'static str) {
        match self {
            Self::Service => (Code::UnknownService, "service"),
            Self::Stub => (Code::UnknownStub, "stub"),
            Self::Fault => (Code::UnknownFault, "fault"),
            Self::Group => (Code::UnknownName, "group"),
            Self::Zone => (Code::UnknownName, "zone"),
        }
    }
}

fn members(document: &Document) -> BTreeMap<&str, Vec<Name>> {
    let mut groups: BTreeMap<&str, Vec<Name>> = BTreeMap::new();
    for service in &document.services {
        if let (Some(member), Some(name)) = (&service.member, super::name(&service.name.value)) {
            groups.entry(&member.group.value).or_default().push(name);
        }
    }
    groups
}

fn stub_use(step: &Step) -> Option<&StubUse> {
    match &step.verb.value {
        Verb::Stub(used) => Some(used),
        _ => None,
    }
}

fn inline_fault(step: &Step) -> Option<&str> {
    match &step.verb.value {
        Verb::Fault(FaultUse::Inline(_) | FaultUse::Drawn(_)) => step.id.as_ref().map(|id| id.value.as_str()),
        Verb::Fault(FaultUse::Named(_))
        | Verb::Http(_)
        | Verb::Tcp(_)
        | Verb::Exec(_)
        | Verb::Grpc(_)
        | Verb::Ws(_)
        | Verb::Stream(_)
        | Verb::Load(_)
        | Verb::Expect(_)
        | Verb::Heal(_)
        | Verb::Collect(_)
        | Verb::Say(_)
        | Verb::Stub(_)
        | Verb::Conduct(_) => None,
    }
}
