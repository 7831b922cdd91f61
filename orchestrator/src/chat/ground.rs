//! What a chat stands on: the plan of the run that goes on. A step of the chat is checked against it as any step of a plan is.

use std::collections::BTreeMap;
use std::path::Path;

use meshproof_proto::id::Name;
use meshproof_proto::order::{Authority, RecordStreamId, StepOrder};
use serde_json::{Value, json};

use super::flow::flow;
use crate::plan::compiled::{Ask, FaultStep, Step, Tunnel};
use crate::plan::orders::{Missing, Occasion};
use crate::plan::{self, Inputs, Look, Plan};

/// The test that the steps of a chat stand in.
const TEST: &str = "chat";

/// How such a plan is called in diagnostics.
const SHOWN: &str = "chat";

/// A plan without its tests, and what it was given.
#[derive(Clone, Debug)]
pub struct Ground {
    head: String,
    inputs: Inputs,
    ids: Ids,
}

/// What a plan has names for, beside what can be read off its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    pub logs: Vec<String>,
    pub tests: Vec<String>,
    pub steps: Vec<String>,
}

impl Ids {
    /// Of a plan that cannot be read without more than is known here, only what every plan has.
    fn of(plan: Option<&Plan>) -> Self {
        let (services, tests) = plan.map_or((&[][..], &[][..]), |plan| (&plan.services[..], &plan.tests[..]));
        let own = services.iter().flat_map(|service| service.logs.keys().chain(service.listens.keys()));
        let steps = tests.iter().flat_map(|test| &test.steps).filter_map(|step| step.id.clone());
        Self {
            logs: ["stdout", "stderr"].map(str::to_owned).into_iter().chain(own.cloned()).collect(),
            tests: tests.iter().map(|test| test.id.clone()).collect(),
            steps: steps.collect(),
        }
    }
}

/// What a step of a chat comes to.
#[derive(Debug)]
pub struct Settled {
    pub plan: Plan,
    pub step: Step,
}

impl Ground {
    /// Of the plan that a run was begun with.
    #[must_use]
    pub fn of(plan: &str, inputs: Inputs) -> Self {
        let ids = Ids::of(plan::check(SHOWN, plan.as_bytes(), &inputs).plan.ok().as_ref());
        Self { head: without_tests(plan), inputs, ids }
    }

    /// Where nobody here knows the plan: each agent has a service, and a port that the agent has to know.
    #[must_use]
    pub fn bare(agents: &[Name]) -> Self {
        let services: String = agents.iter().map(|agent| format!("  {agent}: {{ ports: {{ any: 1 }} }}\n")).collect();
        let head = format!("meshproof: 1\nplan: chat\nservices:\n{services}");
        Self { head, inputs: Inputs::default(), ids: Ids::of(None) }
    }

    /// Where the plan is, if that is known.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        Some(Path::new(&self.inputs.dir)).filter(|dir| dir.is_absolute())
    }

    /// What the run was given.
    #[must_use]
    pub fn params(&self) -> &BTreeMap<String, String> {
        &self.inputs.params
    }

    /// Logs, tests and steps.
    #[must_use]
    pub fn ids(&self) -> Ids {
        self.ids.clone()
    }

    /// The plan with these tests instead of its own.
    #[must_use]
    pub fn with_tests(&self, tests: &str) -> String {
        format!("{}{tests}", self.head)
    }

    /// The step, checked as one of the plan.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn settle(&self, step: &Value) -> Result<Settled, String> {
        let tests = format!("tests:\n  - id: {TEST}\n    steps:\n      - {}\n", flow(step));
        let checked = plan::check(SHOWN, self.with_tests(&tests).as_bytes(), &self.inputs);
        let mut plan = checked.plan.map_err(|mistakes| mistakes.render(&checked.source, Look::Plain))?;
        // Of a matrix the first: which one the run is at is not for a chat to know.
        let first = plan.tests.first_mut().and_then(|test| test.steps.pop());
        let step = first.ok_or("this is no single step")?;
        Ok(Settled { plan, step })
    }

    /// Names that can be written: stubs, and faults with a name.
    #[must_use]
    pub fn names(&self, of: &str) -> Vec<String> {
        let from = self.head.lines().skip_while(|line| line.trim_end() != format!("{of}:")).skip(1);
        let inside = from.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
        let key = |line: &str| {
            let (key, _) = line.strip_prefix("  ")?.split_once(':')?;
            (!key.starts_with([' ', '#', '-'])).then(|| key.trim().to_owned())
        };
        inside.filter_map(key).collect()
    }
}

impl Settled {
    /// The order of a step that an agent does. The agent knows the addresses itself.
    ///
    /// # Errors
    /// Something is named that only the run knows.
    pub fn order(&self, ask: &Ask, authority: &Authority, (console, id): (&str, &str)) -> Result<StepOrder, Missing> {
        let way = |target| (Tunnel { at: ask.at.clone(), to: target }, String::new());
        // the agent has what the run's authority has made
        let named = ask.action.clone().held_mut().into_iter().map(|held| held.name.clone()).collect::<Vec<_>>();
        let of_the_run = named.into_iter().filter(|name| name.starts_with("tls."));
        let occasion = Occasion {
            authority,
            test: console,
            attempt: 1,
            stream: RecordStreamId(0),
            scope: &json!({ "params": self.plan.params }),
            addresses: &ask.target.clone().map(way).into_iter().collect::<BTreeMap<_, _>>(),
            held: &of_the_run.map(|name| (name, String::new())).collect(),
            files: &BTreeMap::new(),
        };
        let mut order = ask.order(&self.step, &occasion)?;
        order.key.step = id.to_owned();
        Ok(order)
    }
}

/// How long a fault of a chat lasts.
#[must_use]
pub fn lease_ms(fault: &FaultStep) -> u64 {
    fault.lasts.map_or(u64::MAX, meshproof_proto::order::millis)
}

/// Everything but the `tests` at the top, and the `build`, which is done.
fn without_tests(plan: &str) -> String {
    let mut is_left_out = false;
    let mut kept = String::with_capacity(plan.len());
    for line in plan.lines() {
        if !line.starts_with([' ', '\t', '#', '-']) && !line.trim().is_empty() {
            is_left_out = line.starts_with("tests:");
        }
        if !is_left_out {
            kept += line;
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use meshproof_proto::id::{Digest, RunId, Term};
    use meshproof_proto::order::Action;

    use super::*;
    use crate::plan::compiled::Does;

    const PLAN: &str = "meshproof: 1\nplan: p\nparams: { card: { type: string, default: \"4242\" } }\nservices:\n  shop:\n    \
        exec: { argv: [shop] }\n    ports: { http: dynamic }\n    env: { LEDGER: \"${{ services.ledger.tcp }}\" }\n  \
        ledger: { exec: { argv: [ledger] }, ports: { tcp: dynamic } }\nstubs:\n  payments: { at: shop, protocol: http, unmatched: 404, routes: [] }\n\
        tests:\n  - id: t\n    steps:\n# a comment at the edge\n      - say: hi\nfaults:\n  cut: { traffic: shop <-> ledger, loss: 100% }\n";

    fn ground() -> Ground {
        Ground::of(PLAN, Inputs::default())
    }

    fn order(step: &Value) -> Result<StepOrder, String> {
        let settled = ground().settle(step)?;
        let Does::Ask(ask) = &settled.step.does else { panic!("{settled:?}") };
        let authority = Authority { run: RunId("r".to_owned()), term: Term(1), plan: Digest([0; 32]) };
        settled.order(ask, &authority, ("console-anna", "t1")).map_err(|missing| missing.to_string())
    }

    #[test]
    fn a_step_of_a_chat_is_an_order_whose_address_its_agent_knows() {
        let order =
            order(&json!({ "to": "shop", "http": { "post": "/orders", "json": { "card": "${{ params.card }}" } } }));
        let order = order.expect("a good step");
        let Action::Http(http) = &order.action else { panic!("{order:?}") };
        assert_eq!((http.target.label.as_str(), http.target.address.as_str()), ("shop.http", ""));
        assert_eq!((order.key.test.as_str(), order.key.step.as_str()), ("console-anna", "t1"));
    }

    #[test]
    fn what_is_wrong_with_a_step_is_told_as_of_any_step_of_the_plan() {
        let nobody = order(&json!({ "to": "shp", "http": { "get": "/" } })).expect_err("nobody");
        assert!(nobody.contains("shp") && nobody.contains("shop"), "{nobody}");
        let path = order(&json!({ "to": "shop", "http": { "get": "orders" } })).expect_err("no path");
        assert!(path.contains("a path begins with `/`"), "{path}");
        let unknown = order(&json!({ "to": "shop", "http": { "get": "/${{ self.dir }}" } }));
        assert!(unknown.is_err(), "{unknown:?}");
    }

    #[test]
    fn a_fault_of_a_chat_is_one_of_the_plan_or_one_on_its_traffic() {
        for step in [
            json!({ "fault": "cut", "for": "5s" }),
            json!({ "fault": { "traffic": "shop -> ledger", "latency": "1s" }, "for": "5s" }),
        ] {
            let settled = ground().settle(&step).expect("a good fault");
            let Does::Fault(fault) = &settled.step.does else { panic!("{settled:?}") };
            assert_eq!((fault.fault.parts.len(), lease_ms(fault)), (1, 5_000));
        }
        let nowhere =
            ground().settle(&json!({ "fault": { "traffic": "ledger -> nobody", "latency": "1s" }, "for": "5s" }));
        assert!(nowhere.expect_err("nobody").contains("nobody"));
    }

    #[test]
    fn the_plan_keeps_everything_but_its_tests_and_its_names_are_known() {
        let text = ground().with_tests("tests: []\n");
        assert!(
            !text.contains("say: hi") && !text.contains("at the edge") && text.contains("faults:\n  cut:"),
            "{text}"
        );
        assert_eq!(ground().names("services"), ["shop", "ledger"]);
        assert_eq!(
            (ground().names("stubs"), ground().names("faults")),
            (vec!["payments".to_owned()], vec!["cut".to_owned()])
        );
        let plan = PLAN
            .replace("- say: hi", "- { id: hello, say: hi }")
            .replace("ports: { tcp", "logs: { audit: { file: audit.log } }, ports: { tcp");
        let Ids { logs, tests, steps } = Ground::of(&plan, Inputs::default()).ids();
        assert_eq!((tests, steps), (vec!["t".to_owned()], vec!["hello".to_owned()]));
        assert!(logs.starts_with(&["stdout".to_owned(), "stderr".to_owned()]) && logs.contains(&"audit".to_owned()));
    }

    #[test]
    fn where_nobody_knows_the_plan_agents_are_asked_all_the_same() {
        let ground = Ground::bare(&["shop".parse().expect("a name")]);
        let settled = ground.settle(&json!({ "to": "shop", "http": { "get": "/" } })).expect("a good step");
        assert!(
            matches!(&settled.step.does, Does::Ask(ask) if ask.target.as_ref().is_some_and(|target| target.port == "any"))
        );
    }
}
