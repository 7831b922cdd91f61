//! People who hold a run.

use std::time::Duration;

use meshproof_proto::event::{Fact, Steering};
use meshproof_proto::limits::HELD_AT_MOST;
use meshproof_proto::order::StepKey;
use meshproof_proto::verdict::{Exit, Verdict};

use super::ahead::ROW;
use super::world::{World, name};
use crate::record::Happening;
use crate::run::{Abort, Input, Output};

/// Three steps of two agents, and one behind them; its time is short.
const PLAN: &str = r#"meshproof: 1
plan: p
services:
  shop: { exec: { argv: [shop] }, ports: { http: dynamic } }
  ledger: { exec: { argv: [ledger] }, ports: { http: dynamic } }
tests:
  - id: one
    timeout: 60s
    steps:
      - { to: shop, http: { get: /0 } }
      - { to: ledger, http: { get: /1 } }
      - { to: shop, http: { get: /2 } }
    after:
      - { to: ledger, http: { get: /over } }
"#;

/// What a person has wanted so far, told by one agent.
fn steer(world: &mut World, (number, how): (u64, Steering), given_back: &[&str]) {
    let key = |step: &&str| StepKey { test: "one".to_owned(), step: (*step).to_owned(), attempt: 1 };
    let given_back = given_back.iter().map(key).collect();
    let fact = Fact::Steered { by: name("console-anna"), number, how, given_back };
    world.run.handle(Input::Fact { agent: name("shop"), fact }, world.now);
    settle(world);
}

/// Everything is answered that can be without time passing.
fn settle(world: &mut World) {
    world.collect();
    while !world.inbox.is_empty() {
        world.step();
    }
}

fn began(world: &World) -> Vec<&str> {
    let began = world.records.iter().filter_map(|record| match record {
        Happening::StepBegan(step) => Some(step.key.step.as_str()),
        _ => None,
    });
    began.collect()
}

fn noted(world: &World) -> Vec<&str> {
    let noted = world.records.iter().filter_map(|record| match record {
        Happening::Noted { text } => Some(text.as_str()),
        _ => None,
    });
    noted.collect()
}

/// Held while its first step runs, which has ended since.
fn held(plan: &str) -> World {
    let mut world = World::new(plan);
    world.silent = |output| matches!(output, Output::Order { order, .. } if order.key.step == "0");
    let is_first = |output: &Output| matches!(output, Output::Order { order, .. } if order.key.step == "0");
    let mut world = world.play_until(is_first);
    let ahead = world.outputs.iter().filter_map(|output| match output {
        Output::Order { order, .. } if order.after.is_some() => Some(order.key.step.clone()),
        _ => None,
    });
    let ahead: Vec<String> = ahead.collect();
    steer(&mut world, (1, Steering::Pause), &ahead.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(began(&world), ["0"]);
    let first = world.outputs.iter().find(|output| is_first(output)).cloned().expect("it was ordered");
    let answers = world.answers(&first);
    world.inbox.extend(answers);
    settle(&mut world);
    world.silent = |_| false;
    world
}

#[test]
fn a_held_run_stands_between_steps_and_goes_on_by_one_or_at_all() {
    let mut world = held(PLAN);
    assert_eq!(began(&world), ["0"]);
    assert_eq!(noted(&world).last().copied(), Some("the run stands before 2/3 of one: GET /1 to ledger"));
    steer(&mut world, (2, Steering::Step), &[]);
    // the same, from another agent
    steer(&mut world, (2, Steering::Step), &[]);
    assert_eq!(began(&world), ["0", "1"]);
    steer(&mut world, (3, Steering::Step), &[]);
    assert_eq!(began(&world), ["0", "1", "2"]);
    assert_eq!(noted(&world).last().copied(), Some("the run stands before 1/1 of one: GET /over to ledger"));
    steer(&mut world, (4, Steering::Resume), &[]);
    let world = world.play();
    assert_eq!((world.finished, began(&world).len()), (Some((Verdict::Pass, Exit::Passed)), 4));
}

#[test]
fn what_is_told_late_or_again_counts_once() {
    let mut world = held(PLAN);
    steer(&mut world, (2, Steering::Resume), &[]);
    // by an agent whose link was away
    steer(&mut world, (1, Steering::Pause), &[]);
    assert_eq!(world.play().finished, Some((Verdict::Pass, Exit::Passed)));
}

#[test]
fn the_time_in_which_a_run_stands_is_not_its_tests_and_has_an_end() {
    let mut world = held(PLAN);
    let since = world.now;
    let world = {
        world.step();
        assert_eq!(world.now - since, HELD_AT_MOST);
        world.play()
    };
    assert_eq!((world.finished, began(&world).len()), (Some((Verdict::Pass, Exit::Passed)), 4));
    assert!(noted(&world).iter().any(|text| text.starts_with("the run goes on: nobody has said more")));
}

#[test]
fn a_held_run_whose_end_is_wanted_ends() {
    let mut world = held(PLAN);
    world.inbox.push_back(Input::Abort(Abort::Interrupted));
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Unknown, Exit::Interrupted)));
    assert_eq!(began(&world), ["0", "after.0"]);
}

#[test]
fn steps_that_an_agent_was_told_before_their_turn_are_given_back_and_ordered_in_it() {
    let mut world = World::new(ROW);
    world.silent = |output| matches!(output, Output::Order { .. });
    let mut world = world.play_until(|output| matches!(output, Output::Order { order, .. } if order.key.step == "2"));
    // the agent is at the first and knows of the second and the third
    steer(&mut world, (1, Steering::Pause), &["1", "2"]);
    world.silent = |_| false;
    let orders = |world: &World, step: &str| {
        let of = |output: &&Output| matches!(output, Output::Order { order, .. } if order.key.step == step);
        world.outputs.iter().filter(of).count()
    };
    let first = world.outputs.iter().find(|output| matches!(output, Output::Order { .. })).cloned().expect("ordered");
    let answers = world.answers(&first);
    world.inbox.extend(answers);
    settle(&mut world);
    assert_eq!((began(&world), orders(&world, "1")), (vec!["0"], 1));
    steer(&mut world, (2, Steering::Step), &[]);
    assert_eq!((began(&world), orders(&world, "1"), orders(&world, "2")), (vec!["0", "1"], 2, 1));
    steer(&mut world, (3, Steering::Resume), &[]);
    assert_eq!(world.play().finished, Some((Verdict::Pass, Exit::Passed)));
}

#[test]
fn what_an_agent_had_begun_by_itself_when_it_was_told_takes_its_turn() {
    let mut world = World::new(ROW);
    world.silent = |output| matches!(output, Output::Order { .. });
    let mut world = world.play_until(|output| matches!(output, Output::Order { order, .. } if order.key.step == "2"));
    let orders: Vec<Output> =
        world.outputs.iter().filter(|output| matches!(output, Output::Order { .. })).cloned().collect();
    let ends: Vec<Vec<Input>> = orders.iter().map(|order| world.answers(order)).collect();
    steer(&mut world, (1, Steering::Pause), &["2"]);
    world.silent = |_| false;
    world.inbox.extend(ends[0].clone());
    settle(&mut world);
    assert_eq!(began(&world), ["0", "1"]);
    world.inbox.extend(ends[1].clone());
    settle(&mut world);
    assert_eq!(began(&world), ["0", "1"]);
    steer(&mut world, (2, Steering::Resume), &[]);
    assert_eq!(world.play().finished, Some((Verdict::Pass, Exit::Passed)));
}

#[test]
fn branches_side_by_side_are_held_too_and_begin_one_by_one() {
    let branches = "      - parallel:\n          - [{ to: shop, http: { get: /a } }]\n          - [{ to: ledger, http: { get: /b } }]\n    after:";
    let mut world = held(&PLAN.replace("    after:", branches));
    for (number, begun) in [(2, 2), (3, 3), (4, 4), (5, 5)] {
        steer(&mut world, (number, Steering::Step), &[]);
        assert_eq!(began(&world).len(), begun, "{:?}", began(&world));
    }
    steer(&mut world, (6, Steering::Resume), &[]);
    assert_eq!(world.play().finished, Some((Verdict::Pass, Exit::Passed)));
}

#[test]
fn a_pause_of_the_plan_ends_when_somebody_lets_the_run_go_on() {
    let plan = PLAN.replace("      - { to: ledger, http: { get: /1 } }", "      - pause: look");
    let mut world = World::new(&plan);
    world.silent = |output| matches!(output, Output::Pause { .. });
    let mut world = world.play_until(|output| matches!(output, Output::Pause { .. }));
    world.now += Duration::from_secs(120);
    steer(&mut world, (1, Steering::Resume), &[]);
    assert_eq!(world.play().finished, Some((Verdict::Pass, Exit::Passed)));
}
