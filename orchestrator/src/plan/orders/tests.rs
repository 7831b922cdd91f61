use meshproof_proto::id::{Digest, RunId, Term};
use meshproof_proto::order::Says;
use serde_json::json;

use super::*;
use crate::plan::compiled::{Does, Plan};
use crate::plan::{Inputs, check};

const CHECKOUT: &str = include_str!("../../../../testdata/checkout/plan.yaml");

fn plan(text: &str) -> Plan {
    let inputs = Inputs { dir: "/plans".to_owned(), ..Inputs::default() };
    check("plan.yaml", text.as_bytes(), &inputs).plan.expect("the sample plan is valid")
}

fn authority() -> Authority {
    Authority { run: RunId("r1".to_owned()), term: Term(1), plan: Digest::of(b"") }
}

fn addresses(plan: &Plan) -> Addresses {
    let own = plan.services.iter().flat_map(|service| {
        service.ports.iter().map(|port| Endpoint { service: service.name.clone(), port: port.name.clone() })
    });
    let own = own.map(|to| Tunnel { at: to.service.clone(), to });
    own.chain(plan.tunnels.iter().cloned()).zip(7000..).map(|(way, port)| (way, format!("127.0.0.1:{port}"))).collect()
}

fn ask(plan: &Plan, test: usize, step: usize) -> (&Step, &Ask) {
    let step = &plan.tests[test].steps[step];
    match &step.does {
        Does::Ask(ask) => (step, ask),
        other => panic!("step {} does not ask an agent: {other:?}", step.key),
    }
}

#[test]
fn an_order_is_complete_but_for_what_the_agent_knows() {
    let plan = plan(CHECKOUT);
    let (authority, addresses) = (authority(), addresses(&plan));
    let scope = json!({"params": plan.params, "order": "o-1"});
    let occasion = Occasion {
        authority: &authority,
        test: "t",
        attempt: 1,
        stream: RecordStreamId(7),
        scope: &scope,
        addresses: &addresses,
        held: &BTreeMap::new(),
        files: &BTreeMap::new(),
    };
    let (step, post) = ask(&plan, 0, 1);
    let order = post.order(step, &occasion).expect("everything is known");
    let Action::Http(http) = &order.action else { panic!("{order:?}") };
    assert_eq!((http.target.label.as_str(), http.target.address.as_str()), ("shop.http", "127.0.0.1:7000"));
    let Body::Json(json) = &http.body else { panic!("{http:?}") };
    assert_eq!(json.value(&Value::Null), Ok(json!({"sku": "A1", "quantity": 2, "card": "4242"})));
    let fields: Vec<&str> = order.checks.iter().map(|check| check.field.as_str()).collect();
    assert_eq!(fields, ["status", "json", "duration"]);
    assert_eq!((order.within_ms, order.eventually_ms, order.key.to_string()), (30_000, None, "t/1#1".to_owned()));

    let (step, stream) = ask(&plan, 1, 0);
    let Action::Stream(sent) = stream.order(step, &occasion).expect("`index` is the agent's").action else {
        panic!("a stream")
    };
    assert_eq!((sent.stream, sent.to.as_str()), (RecordStreamId(7), "ledger"));
    let receive = stream.part(0, step, &occasion).expect("`record` is the agent's");
    assert_eq!((receive.stream, receive.from.as_str()), (RecordStreamId(7), "shop"));
}

#[test]
fn a_step_that_needs_an_unset_name_names_it() {
    let plan = plan(CHECKOUT);
    let (authority, addresses, scope) = (authority(), addresses(&plan), json!({"params": plan.params}));
    let occasion = Occasion {
        authority: &authority,
        test: "t",
        attempt: 1,
        stream: RecordStreamId(0),
        scope: &scope,
        addresses: &addresses,
        held: &BTreeMap::new(),
        files: &BTreeMap::new(),
    };
    for (at, name) in [(3, "order"), (4, "order")] {
        let (step, ask) = ask(&plan, 0, at);
        assert_eq!(ask.order(step, &occasion).map(drop), Err(Missing(name.to_owned())));
    }
    let nowhere = Addresses::new();
    let (step, post) = ask(&plan, 0, 1);
    let lost = post.order(step, &Occasion { addresses: &nowhere, ..occasion });
    assert_eq!(lost.map(drop), Err(Missing("address of shop.http at shop".to_owned())));
}

#[test]
fn a_stub_keeps_only_what_its_agent_knows() {
    let plan = plan(CHECKOUT);
    let order = plan.stubs[0].resolved(&json!({"params": plan.params}), &BTreeMap::new());
    let route = &order.routes[0];
    let body = Actual::Json(json!({"card": "4242"}));
    assert_eq!(route.when[0].1.check(&body, &Value::Null), Ok(()));
    let Says::Http { body: Body::Json(json), .. } = &route.replies[1].says else { panic!("{route:?}") };
    assert_eq!(json.value(&json!({"call": {"number": 3}})), Ok(json!({"id": "ch_3", "paid": true})));
}

#[test]
fn a_value_is_judged_and_when_is_answered_from_the_same_scope() {
    let plan = plan(
        "meshproof: 1\nplan: p\nparams: { on: { type: bool, default: false } }\ntests:\n  - id: t\n    steps:\n\
         \x20     - expect: { value: \"${{ params.on }}\", is: true }\n        when: \"${{ params.on }}\"\n",
    );
    let step = &plan.tests[0].steps[0];
    let scope = |on: bool| json!({"params": {"on": on}});
    let Does::Value { value, checks } = &step.does else { panic!("{step:?}") };
    assert_eq!(judge(value, checks, &scope(true)), Ok(Vec::new()));
    assert_eq!(judge(value, checks, &scope(false)).map(|failures| failures.len()), Ok(1));
    assert_eq!(
        [step.is_wanted(&scope(true)), step.is_wanted(&scope(false)), step.is_wanted(&Value::Null)],
        [true, false, false]
    );
}
