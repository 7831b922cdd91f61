//! Runs without accidents.

use meshproof_proto::event::{CheckFailure, Fact, Outcome, StubCall};
use meshproof_proto::matcher::Mismatch;
use meshproof_proto::order::Action;
use meshproof_proto::verdict::{Exit, Verdict};

use super::world::{PLAN, World, line, name};
use crate::record::{Ending, Happening};
use crate::run::{Input, Output};

fn failed(check: u32, at: &str) -> Outcome {
    let mismatch = Mismatch { at: at.to_owned(), expected: "202".to_owned(), actual: "200".to_owned() };
    Outcome::Failed(vec![CheckFailure { check, mismatch }])
}

#[test]
fn a_run_in_which_everything_holds_passes_and_says_first_what_it_expects() {
    let world = World::new(PLAN).play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    assert!(matches!(&world.records[0], Happening::RunBegan { .. }));
    let Happening::Expected { steps, tests } = &world.records[1] else { panic!("{:?}", world.records[1]) };
    assert_eq!((steps.len(), tests.len()), (9, 2));
    let ended = world.records.iter().filter(|record| matches!(record, Happening::StepEnded { .. })).count();
    assert_eq!(ended, 9);
    assert_eq!(world.outputs.last(), Some(&Output::TearDown));
}

#[test]
fn services_are_launched_with_their_addresses_before_they_are_waited_for() {
    let world = World::new(PLAN).play();
    let Output::Launch(shop) = &world.outputs[0] else { panic!("{:?}", world.outputs[0]) };
    assert_eq!(shop.processes, [["shop", "127.0.0.1:8000", "7000", "http://127.0.0.1:9000"]]);
    let Output::Launch(ledger) = &world.outputs[1] else { panic!("{:?}", world.outputs[1]) };
    assert_eq!(ledger.service, name("ledger"));
    let Output::Order { agent, order, .. } = &world.outputs[2] else { panic!("{:?}", world.outputs[2]) };
    assert_eq!((agent, order.key.step.as_str(), order.eventually_ms), (&name("shop"), "ready.shop", Some(30_000)));
}

#[test]
fn a_service_that_needs_another_starts_when_that_is_ready() {
    let text = "meshproof: 1\nplan: p\nservices:\n  a: { exec: { argv: [a] }, needs: [b] }\n  b:\n    exec: { argv: [b] }\n    ports: { http: dynamic }\n    ready: { http: { get: / } }\ntests: [{ id: t, steps: [{ say: hi }] }]\n";
    let world = World::new(text).play();
    let kinds = world.outputs.iter().map(|output| match output {
        Output::Launch(launch) => launch.service.to_string(),
        Output::Order { order, .. } => order.key.step.clone(),
        other => format!("{other:?}"),
    });
    assert_eq!(kinds.collect::<Vec<_>>(), ["b", "ready.b", "a", "TearDown"]);
}

#[test]
fn what_a_step_saves_stands_in_the_orders_after_it_and_a_stream_has_both_parts() {
    let world = World::new(PLAN).play();
    let sent = world.outputs.iter().find_map(|output| match output {
        Output::Order { order, .. } if order.key.step == "3" => Some(order.clone()),
        _ => None,
    });
    let Some(Action::Tcp(tcp)) = sent.map(|order| order.action) else { panic!("step 3 is tcp") };
    assert_eq!((tcp.send.to_string().as_str(), tcp.target.address.as_str()), ("STATUS o-1\n", "127.0.0.1:7001"));
    let stream = world.outputs.iter().find_map(|output| match output {
        Output::Together(orders) => Some(orders),
        _ => None,
    });
    let stream = stream.expect("test two streams");
    assert_eq!((&stream.leader, &stream.parts[0].0), (&name("shop"), &name("ledger")));
    let Action::Stream(action) = &stream.order.action else { panic!("{stream:?}") };
    assert_eq!(action.stream, stream.parts[0].1.stream);
}

fn begins(output: &Output, id: &str) -> bool {
    matches!(output, Output::BeginTest { agent, test } if *agent == name("shop") && test == id)
}

#[test]
fn stubs_start_anew_with_each_test_before_its_first_step() {
    let world = World::new(PLAN).play();
    let at = |wanted: &dyn Fn(&Output) -> bool| world.outputs.iter().position(wanted).expect("was ordered");
    let stream = at(&|output| matches!(output, Output::Together(_)));
    let fault = at(&|output| matches!(output, Output::BeginFault { .. }));
    let (one, two) = (at(&|output| begins(output, "one")), at(&|output| begins(output, "two")));
    assert!(one < fault && fault < two && two < stream, "{:?}", world.outputs);
    let times = world.outputs.iter().filter(|output| matches!(output, Output::BeginTest { .. })).count();
    assert_eq!(times, 2);
}

#[test]
fn no_step_begins_until_the_stubs_have_started_anew() {
    let mut world = World::new(PLAN);
    world.silent = |output| begins(output, "one");
    let mut world = world.play_until(|output| begins(output, "one"));
    assert!(!world.outputs.iter().any(|output| matches!(output, Output::BeginFault { .. })));
    // Of another test, so it says nothing.
    world.inbox.push_back(Input::TestBegun { agent: name("shop"), test: "two".to_owned() });
    world.step();
    assert!(!world.outputs.iter().any(|output| matches!(output, Output::BeginFault { .. })));
    world.inbox.push_back(Input::TestBegun { agent: name("shop"), test: "one".to_owned() });
    assert_eq!(world.play().finished, Some((Verdict::Pass, Exit::Passed)));
}

#[test]
fn a_failed_check_ends_the_steps_and_points_at_what_did_not_hold_and_after_still_runs() {
    let mut world = World::new(PLAN);
    world.outcomes.insert("one/1".to_owned(), failed(1, "$.state"));
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    assert_eq!(world.blamed(), [(line("expect: { status"), "`json` at `$.state` is not as expected")]);
    let failure = world.failures()[0];
    let place = failure.place.as_ref().expect("a place");
    assert_eq!(&PLAN[place.span.0..place.span.1], "$.state: pending");
    assert_eq!(world.ending("one", "2"), None);
    // Its name was never saved, so it is skipped, aloud.
    assert_eq!(world.ending("one", "after.1"), Some(Ending::Skipped));
    assert_eq!(world.ending("one", "after.2"), Some(Ending::Pass));
    assert_eq!((world.verdict_of("one"), world.verdict_of("two")), (Some(Verdict::Fail), Some(Verdict::Pass)));
}

#[test]
fn outcomes_that_are_no_failed_check_keep_their_own_verdict() {
    let message = || "reset".to_owned();
    for (outcome, verdict, exit) in [
        (Outcome::CallFailed { message: message() }, Verdict::Fail, Exit::Failed),
        (Outcome::Unknown { message: message() }, Verdict::Unknown, Exit::MeshFailed),
        (Outcome::Error { message: message() }, Verdict::Error, Exit::MeshFailed),
        (Outcome::Failed(Vec::new()), Verdict::Error, Exit::MeshFailed),
    ] {
        let mut world = World::new(PLAN);
        world.outcomes.insert("one/1".to_owned(), outcome);
        let world = world.play();
        assert_eq!((world.finished, world.verdict_of("one")), (Some((verdict, exit)), Some(verdict)));
        assert_eq!(world.blamed()[0].0, line("http: { post"));
    }
}

#[test]
fn a_refusal_by_a_service_that_nobody_waits_for_says_so_and_by_another_does_not() {
    for (step, said) in [("one/3", true), ("one/1", false)] {
        let mut world = World::new(PLAN);
        let message = "connecting failed: Connection refused (os error 111)".to_owned();
        world.outcomes.insert(step.to_owned(), Outcome::CallFailed { message });
        let world = world.play();
        let [failure, ..] = world.failures()[..] else { panic!("it failed") };
        let hint = failure.evidence.iter().find(|evidence| evidence.title == "what may help");
        assert_eq!(hint.is_some_and(|hint| hint.text.contains("`ledger: { ready: … }`")), said, "{failure:#?}");
    }
}

#[test]
fn an_optional_step_is_told_and_fails_nothing() {
    let text = PLAN.replace("      - id: order\n", "      - id: order\n        optional: true\n");
    let mut world = World::new(&text);
    world.outcomes.insert("one/1".to_owned(), failed(0, ""));
    // Without the saved name the fourth step cannot be ordered; that is an error of its own.
    let world = world.play();
    assert_eq!(world.ending("one", "1"), Some(Ending::Fail));
    assert_eq!(
        (world.ending("one", "3"), world.finished),
        (Some(Ending::Error), Some((Verdict::Error, Exit::MeshFailed)))
    );
    assert_eq!(world.failures().len(), 1);
}

#[test]
fn a_call_that_no_route_matches_fails_the_test_where_the_stub_forbids_it_and_once() {
    let is_post = |output: &Output| matches!(output, Output::Order { order, .. } if order.key.step == "1");
    let mut world = World::new(PLAN);
    world.silent = |output| matches!(output, Output::Order { order, .. } if order.key.step == "1");
    let mut world = world.play_until(is_post);
    let call = StubCall {
        stub: "pay".to_owned(),
        route: None,
        number: 1,
        request: "GET /nowhere".to_owned(),
        status: 404,
        took_ms: 1.0,
        unexpected: true,
    };
    let fact = || Input::Fact { agent: name("shop"), fact: Fact::StubCalled(call.clone()) };
    world.inbox.extend([fact(), fact()]);
    let world = world.play();
    assert_eq!(world.blamed(), [(line("unmatched: fail"), "the stub `pay` got a call that no route matches")]);
    assert!(world.outputs.iter().any(|output| matches!(output, Output::Cancel { .. })));
    assert_eq!(world.ending("one", "1"), Some(Ending::Unknown));
    assert_eq!((world.verdict_of("one"), world.verdict_of("two")), (Some(Verdict::Fail), Some(Verdict::Pass)));
}

#[test]
fn a_service_that_does_not_become_ready_ends_the_run_before_its_tests() {
    let mut world = World::new(PLAN);
    world.outcomes.insert("/ready.shop".to_owned(), Outcome::CallFailed { message: "refused".to_owned() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    assert_eq!(world.blamed(), [(line("ready:"), "refused")]);
    let not_run = world.records.iter().filter(|record| matches!(record, Happening::TestNotRun { .. })).count();
    assert_eq!((not_run, world.verdict_of("one")), (2, None));
}

#[test]
fn what_does_not_end_as_it_should_fails_a_run_that_had_passed() {
    let mut world = World::new(PLAN);
    world.silent = |output| matches!(output, Output::TearDown);
    let mut world = world.play_until(|output| matches!(output, Output::TearDown));
    let killed = (Verdict::Fail, "service `shop` had to be killed".to_owned());
    world.inbox.push_back(Input::TornDown { problems: vec![killed] });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
}
