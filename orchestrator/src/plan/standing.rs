//! A plan whose services run already: in a mesh that stands, a run finds them and starts none.

use meshproof_proto::id::Name;
use meshproof_proto::order::Action;

use super::code::Code;
use super::compile::metrics::SAMPLED;
use super::compiled::{Conduct, Does, Plan, ProcessChange, ProcessStep, Service, StateOf, Step};
use super::diagnostic::Diagnostic;

impl Plan {
    /// The plan for services that are there: what it says of starting them is left out, and so is its build.
    ///
    /// # Errors
    /// It asks for something that only those who started a service can do.
    pub fn standing(mut self) -> Result<Self, Vec<Diagnostic>> {
        let network = self.network.as_ref().map(|network| {
            let message = "a data network is made with the services on it, and here they run already";
            Diagnostic::new(Code::Unsupported, network.span, message).help("run the plan without --mesh")
        });
        let steps = self.tests.iter().flat_map(|test| test.all_steps()).filter_map(of_step);
        let services = self.services.iter().filter_map(of_service);
        let mut problems: Vec<Diagnostic> = network.into_iter().chain(services).chain(steps).collect();
        if !problems.is_empty() {
            problems.sort_by_key(|problem| problem.span.start);
            // the rounds of a step that is repeated stand at one place
            problems.dedup();
            return Err(problems);
        }
        self.build.clear();
        for service in &mut self.services {
            service.processes.clear();
            service.env.clear();
            service.files.clear();
        }
        Ok(self)
    }
}

fn of_service(service: &Service) -> Option<Diagnostic> {
    let name = &service.name;
    let message = if !service.identities.is_empty() {
        format!(
            "the run's certificates stand in the folder of a service that the run starts, and `{name}` runs already"
        )
    } else if !service.listens.is_empty() {
        format!("where its logs go is told a service when the run starts it, and `{name}` runs already")
    } else {
        return None;
    };
    Some(Diagnostic::new(Code::Unsupported, service.span, message).help("run the plan without --mesh"))
}

fn of_step(step: &Step) -> Option<Diagnostic> {
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
        Does::Conduct(_)
        | Does::Value { .. }
        | Does::Fault(_)
        | Does::Heal(_)
        | Does::Collect(_)
        | Does::Say(_)
        | Does::Settle(_)
        | Does::Everywhere(_) => return None,
    };
    Some(unable(&service, what, step))
}

fn unable(service: &Name, what: &str, step: &Step) -> Diagnostic {
    let message = format!("`{service}` runs already in this mesh, so the run cannot {what}");
    Diagnostic::new(Code::Unsupported, step.verb, message).help("run the plan without --mesh, or leave the step out")
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
        let told = |problems: Vec<Diagnostic>| problems.into_iter().map(|problem| problem.message).collect();
        plan.standing().map_err(told)
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
}
