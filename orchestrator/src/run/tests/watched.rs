//! What holds for a whole test: watches, the steady state, the wait for quiet.

use meshproof_proto::event::{CheckFailure, Fact, Outcome};
use meshproof_proto::matcher::Mismatch;
use meshproof_proto::order::Action;
use meshproof_proto::verdict::{Exit, Verdict};

use super::world::{World, name};
use crate::record::{Ending, Happening, Section};
use crate::run::{Input, Output};

const WATCHED: &str = r#"meshproof: 1
plan: p
services:
  shop: { exec: { argv: [shop] }, ports: { http: dynamic } }
  ledger: { exec: { argv: [ledger] }, ports: { tcp: dynamic } }
tests:
  - id: t
    steps:
      - { id: order, to: shop, http: { post: /orders } }
      - { id: status, to: ledger, tcp: { send: "STATUS\n" } }
      - { say: done }
    after: [{ say: over }]
    always: [{ expect: { log: "*", matches: /panicked/, count: 0 } }]
    steady: [{ to: shop, http: { get: /healthz } }]
    settle: { quiet: 1s, within: 10s }
"#;

fn broken() -> Outcome {
    let mismatch = Mismatch { at: String::new(), expected: "0".to_owned(), actual: "1".to_owned() };
    Outcome::Failed(vec![CheckFailure { check: 1, mismatch }])
}

fn begun(world: &World) -> Vec<String> {
    let steps = world.records.iter().filter_map(|record| match record {
        Happening::StepBegan(step) => Some(step.key.step.clone()),
        _ => None,
    });
    steps.collect()
}

#[test]
fn watches_begin_first_the_steady_state_frames_the_steps_and_quiet_comes_last() {
    let world = World::new(WATCHED).play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let order = ["always.0.ledger", "always.0.shop", "steady.0", "0", "1", "2", "after.0", "steady-after.0", "settle"];
    assert_eq!(begun(&world), order);
    let ended = world.records.iter().rev().find_map(|record| match record {
        Happening::StepEnded { step, .. } => Some(step.section),
        _ => None,
    });
    assert_eq!(ended, Some(Section::Always), "the last look is after everything else");
}

#[test]
fn no_step_begins_before_every_agent_watches() {
    let mut world = World::new(WATCHED);
    world.silent = |output| matches!(output, Output::Order { agent, order, .. } if agent.as_str() == "ledger" && order.key.step.starts_with("always"));
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    assert!(world.blamed()[0].1.contains("did not begin to watch"), "{:?}", world.blamed());
    assert!(!begun(&world).contains(&"steady.0".to_owned()));
}

/// The failure that comes when this watch breaks after that step has begun.
fn broken_at(agent: &str, step: &str) -> World {
    let is_it = |output: &Output| matches!(output, Output::Order { order, .. } if order.key.step == step);
    let mut world = World::new(WATCHED).play_until(is_it);
    world.outcomes.insert(format!("t/always.0.{agent}"), broken());
    let watch = world.outputs.iter().find_map(|output| match output {
        Output::Order { agent: at, order, .. }
            if *at == name(agent) && matches!(order.action, Action::WatchLog { .. }) =>
        {
            Some(order.key.clone())
        }
        _ => None,
    });
    let ended = match &world.answers(&Output::Cancel { agent: name(agent), key: watch.expect("is watched") })[..] {
        [Input::Fact { fact: Fact::StepEnded { key, result }, .. }] => {
            Fact::StepEnded { key: key.clone(), result: result.clone() }
        }
        other => panic!("{other:?}"),
    };
    world.inbox.push_back(Input::Fact { agent: name(agent), fact: ended });
    world.play()
}

#[test]
fn a_broken_watch_fails_the_test_at_once_and_blames_who_asked_that_service_last() {
    for (agent, step, blamed) in
        [("shop", "1", Some("order")), ("ledger", "1", Some("status")), ("shop", "steady-after.0", None)]
    {
        let world = broken_at(agent, step);
        assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)), "{agent} {step}");
        let [failure] = &world.failures()[..] else { panic!("{:?}", world.blamed()) };
        let step = failure.step.as_ref().expect("somebody is to blame");
        assert_eq!(step.id.as_deref(), blamed, "{agent}: {}", failure.title);
        assert_eq!(failure.place.as_ref().map(|place| place.line), Some(13));
        assert_eq!(world.verdict_of("t"), Some(Verdict::Fail));
    }
}

#[test]
fn a_steady_state_that_does_not_hold_before_the_first_step_lets_none_begin() {
    let mut world = World::new(WATCHED);
    world.outcomes.insert("t/steady.0".to_owned(), Outcome::CallFailed { message: "refused".to_owned() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    assert_eq!(begun(&world), ["always.0.ledger", "always.0.shop", "steady.0", "after.0"]);
}

#[test]
fn a_steady_state_that_is_not_there_again_fails_a_test_whose_steps_all_passed() {
    let mut world = World::new(WATCHED);
    world.outcomes.insert("t/steady-after.0".to_owned(), Outcome::CallFailed { message: "ill".to_owned() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    assert_eq!(world.ending("t", "2"), Some(Ending::Pass));
    assert_eq!(world.ending("t", "settle"), None);
}

#[test]
fn quiet_that_is_not_at_the_same_time_everywhere_is_waited_for_again() {
    let mut world = World::new(WATCHED);
    world.activity = [(1, 4), (2, 5), (3, 7), (4, 7)].into();
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let waits = world.outputs.iter().filter_map(|output| match output {
        Output::Order { order, .. } => match order.action {
            Action::Settle { quiet_ms } => Some((order.key.attempt, quiet_ms)),
            _ => None,
        },
        _ => None,
    });
    let twice = [(1, 1_000), (2, 0), (3, 1_000), (4, 0)].map(|wait| [wait, wait]);
    assert_eq!(waits.collect::<Vec<_>>(), twice.concat());
}

#[test]
fn a_service_that_is_never_quiet_fails_the_test_and_is_named() {
    let mut world = World::new(WATCHED);
    let message = "not quiet within 10s: 99 times something more came".to_owned();
    world.outcomes.insert("t/settle.ledger".to_owned(), Outcome::CallFailed { message });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    assert!(world.blamed()[0].1.starts_with("`ledger` was not quiet"), "{:?}", world.blamed());
}

#[test]
fn a_service_that_ends_after_a_good_answer_is_held_against_the_step_that_asked_it() {
    let is_it = |output: &Output| matches!(output, Output::Order { order, .. } if order.key.step == "settle.shop");
    let mut world = World::new(WATCHED).play_until(is_it);
    let ended = Input::ServiceEnded { service: name("ledger"), how: "exit code 101".to_owned(), evidence: Vec::new() };
    world.inbox.push_front(ended);
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    let failure = world.failures()[0];
    assert_eq!(failure.step.as_ref().and_then(|step| step.id.as_deref()), Some("status"), "{}", failure.title);
}
