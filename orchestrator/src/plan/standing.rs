//! A plan whose services run already, or are started by others: in a mesh that stands, or in a cluster, a run starts and ends none.

use meshproof_proto::id::Name;
use meshproof_proto::order::Action;

use super::code::Code;
use super::compile::metrics::SAMPLED;
use super::compiled::{Conduct, Does, Plan, ProcessChange, ProcessStep, Service, StateOf, Step};
use super::diagnostic::Diagnostic;

/// Who has started the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    Mesh,
    Cluster,
}

impl Host {
    /// What is so of a service there.
    fn is(self) -> &'static str {
        match self {
            Self::Mesh => "runs already in this mesh",
            Self::Cluster => "is Kubernetes' to run",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Self::Mesh => "--mesh",
            Self::Cluster => "--on kubernetes",
        }
    }

    fn away(self) -> String {
        format!("run the plan without {}", self.option())
    }

    fn refuses(self, span: super::source::Span, message: &str) -> Diagnostic {
        Diagnostic::new(Code::Unsupported, span, message).help(self.away())
    }
}

impl Plan {
    /// The plan for services that are there: what it says of starting them is left out, and so is its build.
    ///
    /// # Errors
    /// It asks for something that only those who started a service can do.
    pub fn standing(self) -> Result<Self, Vec<Diagnostic>> {
        refuse_if_any(self.problems(Host::Mesh))?;
        Ok(self.started_by_others())
    }

    /// The same for services that a cluster starts as this plan says.
    ///
    /// # Errors
    /// It asks for something that is not done there.
    pub fn clustered(self) -> Result<Self, Vec<Diagnostic>> {
        let host = Host::Cluster;
        let mut problems = self.problems(host);
        let direct = "every pod has a loopback of its own: there is no address of another service but the mesh's";
        problems.extend(self.direct.iter().map(|span| host.refuses(*span, direct)));
        let members = self.services.iter().filter(|service| service.member.is_some());
        let member = "the programs of a group are started with each test, and pods once";
        problems.extend(members.map(|service| host.refuses(service.span, member)));
        let replicated = self.services.iter().filter(|service| service.instances.len() > 1);
        let alone = "each service has one pod, and its agent no disk that another one could go on with";
        problems.extend(replicated.map(|service| host.refuses(service.span, alone)));
        refuse_if_any(problems)?;
        Ok(self.started_by_others())
    }

    fn problems(&self, host: Host) -> Vec<Diagnostic> {
        let network = self.network.as_ref().map(|network| {
            host.refuses(
                network.span,
                "a data network is made with the services on it, and here they are others' to start",
            )
        });
        let steps = self.tests.iter().flat_map(|test| test.all_steps()).filter_map(|step| of_step(step, host));
        let services = self.services.iter().filter_map(|service| of_service(service, host));
        network.into_iter().chain(services).chain(steps).collect()
    }

    fn started_by_others(mut self) -> Self {
        self.build.clear();
        for service in &mut self.services {
            service.processes.clear();
            service.env.clear();
            service.files.clear();
        }
        self
    }
}

fn refuse_if_any(mut problems: Vec<Diagnostic>) -> Result<(), Vec<Diagnostic>> {
    problems.sort_by_key(|problem| problem.span.start);
    // the rounds of a step that is repeated stand at one place
    problems.dedup();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn of_service(service: &Service, host: Host) -> Option<Diagnostic> {
    let (name, is) = (&service.name, host.is());
    let message = if !service.identities.is_empty() {
        format!("the run's certificates stand in the folder of a service that the run starts, and `{name}` {is}")
    } else if !service.listens.is_empty() {
        format!("where its logs go is told a service when the run starts it, and `{name}` {is}")
    } else {
        return None;
    };
    Some(host.refuses(service.span, &message))
}

fn of_step(step: &Step, host: Host) -> Option<Diagnostic> {
    let (service, what) = match &step.does {
        Does::Conduct(Conduct::Process(ProcessStep { service, what })) => (service.clone(), done_by(what)),
        Does::Conduct(Conduct::State { of: StateOf::Service(service), .. }) => (service.clone(), "know its processes"),
        Does::Ask(ask) => match &ask.action {
            Action::ExpectMetric { metric, .. } | Action::WatchMetric { metric, .. }
                if SAMPLED.contains(&metric.as_str()) =>
            {
                (ask.at.clone(), "sample its processes")
            }
            _ => return None,
        },
        Does::Conduct(Conduct::Churn(churn)) => {
            let message =
                format!("the programs of `{}` are not this run's, so nobody goes and comes back", churn.group);
            return Some(host.refuses(step.verb, &message));
        }
        Does::Conduct(Conduct::KillZone(zone)) => {
            let message = format!("the zone `{zone}` is not this run's, so the run cannot kill it");
            return Some(host.refuses(step.verb, &message));
        }
        Does::Conduct(_)
        | Does::Value { .. }
        | Does::Fault(_)
        | Does::Draw(_)
        | Does::Heal(_)
        | Does::Collect(_)
        | Does::Say(_)
        | Does::Settle(_)
        | Does::Everywhere(_) => return None,
    };
    Some(unable((&service, host), what, step))
}

fn unable((service, host): (&Name, Host), what: &str, step: &Step) -> Diagnostic {
    let message = format!("`{service}` {}, so the run cannot {what}", host.is());
    Diagnostic::new(Code::Unsupported, step.verb, message).help(format!("{}, or leave the step out", host.away()))
}

fn done_by(what: &ProcessChange) -> &'static str {
    match what {
        ProcessChange::Kill => "kill it",
        ProcessChange::KillAgent => "kill its agent",
        ProcessChange::Freeze(_) => "freeze it",
        ProcessChange::Thaw => "thaw it",
        ProcessChange::Restart(_) => "restart it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Inputs, check};

    fn standing(services: &str, steps: &str) -> Result<Plan, Vec<String>> {
        let text = format!("meshproof: 1\nplan: p\nservices:\n{services}tests:\n  - id: t\n    steps:\n{steps}");
        let checked = check("plan.yaml", text.as_bytes(), &Inputs::default());
        let plan = checked.plan.map_err(|mistakes| format!("{mistakes:?}")).expect("a good plan");
        plan.standing().map_err(told)
    }

    fn told(problems: Vec<Diagnostic>) -> Vec<String> {
        problems.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn a_plan_that_starts_services_finds_them_instead() {
        let services =
            "  a: { exec: { argv: [a] }, env: { A: b }, ports: { http: dynamic }, ready: { http: { get: / } } }\n";
        let plan = standing(services, "      - { to: a, http: { get: / } }\n").expect("it only calls");
        let service = &plan.services[0];
        assert!(service.processes.is_empty() && service.env.is_empty());
        assert!(service.ready.is_some(), "it is waited for all the same");
    }

    #[test]
    fn what_only_those_can_who_started_a_service_is_refused_all_at_once() {
        let services = "  a: { exec: { argv: [a] }, ports: { http: dynamic } }\n";
        let steps = "      - { freeze: a, for: 1s }\n      - { kill: a }\n      - { expect: { metric: a.memory, \
                     is: \"< 1GiB\" } }\n      - { expect: { process: a, is: running } }\n";
        let told = standing(services, steps).expect_err("none of it can be done");
        let begin = "`a` runs already in this mesh, so the run cannot";
        let ends = ["freeze it", "kill it", "sample its processes", "know its processes"];
        assert_eq!(told, ends.map(|end| format!("{begin} {end}")));
    }

    #[test]
    fn what_a_cluster_does_not_do_is_refused_all_at_once() {
        let text = "meshproof: 1\nplan: p\nservices:\n  a: { exec: { argv: [a] }, env: { B: \"${{ services.b.http.direct }}\" }, \
                    ports: { http: dynamic } }\n  b: { exec: { argv: [b] }, ports: { http: dynamic } }\ntests:\n  - id: t\n    \
                    steps:\n      - { kill: a }\n";
        let checked = check("plan.yaml", text.as_bytes(), &Inputs::default());
        let plan = checked.plan.map_err(|mistakes| format!("{mistakes:?}")).expect("a good plan");
        let told = told(plan.clustered().expect_err("none of it can be done"));
        assert!(told.len() == 2 && told[0].contains("loopback of its own"), "{told:?}");
        assert_eq!(told[1], "`a` is Kubernetes' to run, so the run cannot kill it");
    }
}
