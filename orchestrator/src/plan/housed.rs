//! Where a plan's services are started, and what only the other place can do: this machine, or containers on it.

use super::code::Code;
use super::compile::metrics::SAMPLED;
use super::compiled::{Does, Plan, Service, Step};
use super::diagnostic::{Diagnostic, quote};
use meshproof_proto::order::Action;

impl Plan {
    /// The plan, for services that are programs of this machine.
    ///
    /// # Errors
    /// One of them is an image and nothing else.
    pub fn at_home(self) -> Result<Self, Vec<Diagnostic>> {
        let is_empty = |service: &&Service| service.processes.iter().any(Vec::is_empty);
        let problems = self.services.iter().filter(is_empty).filter_map(|service| {
            let image = service.image.as_ref()?;
            let message = format!("the image {} needs --on podman, docker or kubernetes", quote(&image.value));
            Some(
                Diagnostic::new(Code::Unsupported, image.span, message)
                    .help("or say beside it what is started here: `exec`"),
            )
        });
        refuse_if_any(problems.collect()).map(|()| self)
    }

    /// The plan, for services that are started in containers.
    ///
    /// # Errors
    /// It asks for something that is not done there, or starts no service.
    pub fn contained(self) -> Result<Self, Vec<Diagnostic>> {
        let away = "run the plan without --on";
        let network = self.network.as_ref().map(|network| {
            let message = "a data network is made of namespaces, and containers have their own";
            Diagnostic::new(Code::Unsupported, network.span, message).help(away)
        });
        let direct = self.direct.iter().map(|span| {
            let message =
                "every container has a loopback of its own: there is no address of another service but the mesh's";
            Diagnostic::new(Code::Unsupported, *span, message).help("leave `.direct` away")
        });
        let steps = self.tests.iter().flat_map(|test| test.all_steps()).filter_map(|step| {
            let message = format!("`{}` is not sampled in containers", sampled(step)?);
            Some(Diagnostic::new(Code::Unsupported, step.verb, message).help(away))
        });
        let guests = self.services.iter().filter(|service| *service.agent() != service.name).map(|guest| {
            let message = "members that share an agent find it on their loopback, and containers have their own";
            Diagnostic::new(Code::Unsupported, guest.span, message).help("leave `per-agent` out")
        });
        let replicas = self.services.iter().filter(|service| service.instances.len() > 1).map(|service| {
            let message = "a service in containers has one instance";
            Diagnostic::new(Code::Unsupported, service.span, message)
                .help("leave `replicas` and `zones` away, or run the plan without --on")
        });
        let alone = network.into_iter().chain(direct).chain(guests).chain(replicas);
        let mut problems: Vec<Diagnostic> = alone.chain(steps).collect();
        problems.sort_by_key(|problem| problem.span.start);
        // the rounds of a step that is repeated stand at one place
        problems.dedup();
        refuse_if_any(problems).map(|()| self)
    }
}

fn refuse_if_any(problems: Vec<Diagnostic>) -> Result<(), Vec<Diagnostic>> {
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The figure of a service's processes that a step looks at.
fn sampled(step: &Step) -> Option<&str> {
    let Does::Ask(ask) = &step.does else { return None };
    match &ask.action {
        Action::ExpectMetric { metric, .. } | Action::WatchMetric { metric, .. } => {
            SAMPLED.contains(&metric.as_str()).then_some(metric.as_str())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Inputs, check};

    fn plan(services: &str, steps: &str) -> Plan {
        let text = format!("meshproof: 1\nplan: p\nservices:\n{services}tests:\n  - id: t\n    steps:\n{steps}");
        let checked = check("plan.yaml", text.as_bytes(), &Inputs::default());
        checked.plan.map_err(|mistakes| format!("{mistakes:?}")).expect("a good plan")
    }

    fn told(result: Result<Plan, Vec<Diagnostic>>) -> Vec<String> {
        result.err().unwrap_or_default().into_iter().map(|problem| problem.message).collect()
    }

    const CALL: &str = "      - { to: a, http: { get: / } }\n";

    #[test]
    fn an_image_alone_needs_an_engine_and_beside_a_program_it_does_not() {
        let alone = "  a: { image: shop:1, ports: { http: 80 } }\n";
        assert_eq!(told(plan(alone, CALL).at_home()), ["the image `shop:1` needs --on podman, docker or kubernetes"]);
        assert!(told(plan(alone, CALL).contained()).is_empty());
        let both = "  a: { image: shop:1, exec: { argv: [shop] }, ports: { http: 80 } }\n";
        assert!(told(plan(both, CALL).at_home()).is_empty());
    }

    #[test]
    fn what_is_not_done_in_containers_is_refused_all_at_once() {
        let services = "  a: { exec: { argv: [a] }, env: { B: \"${{ services.b.http.direct }}\" }, ports: { http: dynamic } }\n  \
                        b: { exec: { argv: [b] }, ports: { http: dynamic } }\n";
        let steps = "      - { expect: { metric: a.memory, is: \"< 1GiB\" } }\n      - { to: b, http: { get: / } }\n";
        let shared = "  a: { exec: { argv: [a] }, ports: { http: dynamic } }\ngroups:\n  g: { count: 3, per-agent: 3, exec: { argv: [g] } }\n";
        let refused = told(plan(shared, CALL).contained());
        assert!(refused.len() == 1 && refused[0].starts_with("members that share an agent"), "{refused:?}");
        let told = told(plan(services, steps).contained());
        assert!(told.len() == 2 && told[0].contains("loopback of its own") && told[1].contains("`memory`"), "{told:?}");
    }
}
