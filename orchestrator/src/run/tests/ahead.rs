//! Steps that are ordered before their turn.

use meshproof_proto::event::{CheckFailure, Fact, Outcome, StepResult};
use meshproof_proto::limits::STEPS_AHEAD;
use meshproof_proto::matcher::Mismatch;
use meshproof_proto::order::StepKey;
use meshproof_proto::verdict::{Exit, Verdict};

use super::world::{World, name};
use crate::record::{Ending, Happening};
use crate::run::{Abort, Input, Output};

/// Steps in a row of two agents, cut by one that saves, and by one that the orchestrator answers itself.
pub(super) const ROW: &str = r#"meshproof: 1
plan: row
services:
  shop: { exec: { argv: [shop] }, ports: { http: dynamic } }
  ledger: { exec: { argv: [ledger] }, ports: { http: dynamic } }
tests:
  - id: one
    timeout: 90s
    steps:
      - { to: shop, http: { get: /0 } }
      - { to: shop, http: { get: /1 } }
      - { to: shop, http: { get: /2 }, save: { order: $.id } }
      - { to: shop, http: { get: "/3/${{ order }}" } }
      - { to: shop, http: { get: /4 } }
      - { to: ledger, http: { get: /5 } }
      - { to: ledger, http: { get: /6 }, when: "${{ order }}" }
      - { expect: { value: "${{ order }}", is: o-1 } }
      - { to: ledger, http: { get: /8 } }
      - { to: ledger, http: { get: /9 } }
    after:
      - { to: shop, http: { get: /over } }
      - { to: shop, http: { get: /over } }
"#;

/// Each step's key with that of the one that it waits for, as they were ordered.
fn orders(world: &World) -> Vec<(String, Option<String>)> {
    let orders = world.outputs.iter().filter_map(|output| match output {
        Output::Order { order, .. } => Some((order.key.step.clone(), order.after.clone().map(|key| key.step))),
        _ => None,
    });
    orders.collect()
}

fn endings(world: &World) -> Vec<(String, Ending)> {
    let endings = world.records.iter().filter_map(|record| match record {
        Happening::StepEnded { step, ending, .. } => Some((step.key.step.clone(), *ending)),
        _ => None,
    });
    endings.collect()
}

fn failed() -> Outcome {
    let mismatch = Mismatch { at: String::new(), expected: "200".to_owned(), actual: "500".to_owned() };
    Outcome::Failed(vec![CheckFailure { check: 0, mismatch }])
}

/// Its agents do not answer for these steps.
fn silent_from_1(output: &Output) -> bool {
    matches!(output, Output::Order { order, .. } if order.key.test == "one" && ["1", "2"].contains(&&*order.key.step))
}

fn key(step: &str) -> StepKey {
    StepKey { test: "one".to_owned(), step: step.to_owned(), attempt: 1 }
}

fn ended(step: &str, outcome: Outcome) -> Input {
    ended_at(("shop", step), outcome, 1)
}

fn ended_at((agent, step): (&str, &str), outcome: Outcome, tries: u32) -> Input {
    let saved = [("order".to_owned(), "\"o-1\"".to_owned())].into();
    let result = StepResult { outcome, duration_ms: 1.0, tries, saved, evidence: Vec::new() };
    Input::Fact { agent: name(agent), fact: Fact::StepEnded { key: key(step), result } }
}

/// An agent's word on a step that it has not begun.
fn never_begun(agent: &str, step: &str) -> Input {
    ended_at((agent, step), Outcome::Unknown { message: "its turn never came".to_owned() }, 0)
}

/// Where the second step is under way and the third waits behind it.
fn at_the_second() -> World {
    let mut world = World::new(ROW);
    world.silent = silent_from_1;
    let mut world = world.play_until(|output| matches!(output, Output::Order { order, .. } if order.key.step == "0"));
    let began = |world: &World| {
        world.records.iter().any(|record| matches!(record, Happening::StepBegan(step) if step.key == key("1")))
    };
    while !began(&world) {
        world.step();
    }
    world
}

fn cancelled(world: &World) -> Vec<&str> {
    let keys = world.outputs.iter().filter_map(|output| match output {
        Output::Cancel { key, .. } => Some(key.step.as_str()),
        _ => None,
    });
    keys.collect()
}

#[test]
fn steps_in_a_row_are_ordered_before_their_turn_up_to_one_that_saves() {
    let world = World::new(ROW).play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let wanted = [
        ("0", None),
        ("1", Some("0")),
        ("2", Some("1")),
        ("3", None),
        ("4", Some("3")),
        ("5", Some("4")),
        ("6", Some("5")),
        ("8", None),
        ("9", Some("8")),
        ("after.0", None),
        ("after.1", None),
    ];
    let wanted = wanted.map(|(step, after)| (step.to_owned(), after.map(str::to_owned)));
    assert_eq!(orders(&world), wanted);
}

#[test]
fn no_more_are_ordered_than_an_agent_takes() {
    let steps = "\n      - { to: shop, http: { get: / } }".repeat(3 * STEPS_AHEAD);
    let head = "meshproof: 1\nplan: row\nservices: { shop: { exec: { argv: [shop] }, ports: { http: dynamic } } }\n";
    let plan = format!("{head}tests:\n  - id: one\n    steps:{steps}\n");
    let mut world = World::new(&plan);
    let (mut ordered, mut over, mut most) = (0_usize, 0, 0);
    while world.finished.is_none() {
        world.step();
        ordered = orders(&world).len().max(ordered);
        over = endings(&world).len();
        most = most.max(ordered - over);
    }
    assert_eq!((ordered, over), (3 * STEPS_AHEAD, 3 * STEPS_AHEAD));
    assert!(most > STEPS_AHEAD / 2 && most <= STEPS_AHEAD + 1, "{most}");
}

#[test]
fn nothing_is_ordered_before_its_turn_while_somebody_watches() {
    for watched in ["always: [{ expect: { log: shop, contains: x, count: 0 } }]", "settle: { quiet: 1s, within: 10s }"]
    {
        let plan = ROW.replace("    timeout: 90s\n", &format!("    timeout: 90s\n    {watched}\n"));
        let world = World::new(&plan).play();
        assert!(orders(&world).iter().all(|(_, after)| after.is_none()), "{watched}: {:?}", orders(&world));
    }
}

#[test]
fn what_is_ordered_behind_a_step_that_fails_never_begins() {
    let mut world = World::new(ROW);
    world.outcomes.insert("one/1".to_owned(), failed());
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    let wanted = [("0", Ending::Pass), ("1", Ending::Fail), ("after.0", Ending::Pass), ("after.1", Ending::Pass)];
    assert_eq!(endings(&world), wanted.map(|(step, ending)| (step.to_owned(), ending)));
}

#[test]
fn behind_an_optional_step_that_fails_it_is_ordered_again() {
    let mut world = World::new(&ROW.replace("get: /1 }", "get: /1 }, optional: true"));
    world.outcomes.insert("one/1".to_owned(), failed());
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let of_2: Vec<_> = orders(&world).into_iter().filter(|(step, _)| step == "2").collect();
    assert_eq!(of_2, [("2".to_owned(), Some("1".to_owned())), ("2".to_owned(), None)]);
}

#[test]
fn a_run_that_is_interrupted_gives_up_what_is_ordered_and_tells_of_what_had_begun() {
    let mut world = at_the_second();
    world.inbox.push_back(Input::Abort(Abort::Interrupted));
    // it ended just before it could be given up, so that the one behind it began
    world.inbox.push_back(ended("1", Outcome::Ok));
    world.inbox.push_back(ended("2", Outcome::Unknown { message: "given up".to_owned() }));
    let world = world.play();
    assert_eq!(cancelled(&world), ["2", "1", "2"], "the last one first, so that it does not begin in between");
    let of_steps: Vec<_> = endings(&world).into_iter().filter(|(step, _)| !step.starts_with("after")).collect();
    let wanted = [("0", Ending::Pass), ("1", Ending::Pass), ("2", Ending::Unknown)];
    assert_eq!(of_steps, wanted.map(|(step, ending)| (step.to_owned(), ending)));
    assert_eq!(world.finished.map(|(_, exit)| exit), Some(Exit::Interrupted));
}

#[test]
fn what_was_given_up_before_its_turn_came_is_not_told_of() {
    let mut world = at_the_second();
    world.inbox.push_back(Input::Abort(Abort::Interrupted));
    world.inbox.push_back(never_begun("shop", "2"));
    world.inbox.push_back(ended("1", Outcome::Unknown { message: "given up".to_owned() }));
    let world = world.play();
    assert_eq!(world.ending("one", "2"), None);
    assert_eq!(world.ending("one", "1"), Some(Ending::Unknown));
}

#[test]
fn what_was_ordered_at_an_agent_that_is_lost_is_unknown() {
    let mut world = at_the_second();
    world.inbox.push_back(Input::AgentLost { agent: name("shop"), reason: "its process ended".to_owned() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    assert_eq!(world.ending("one", "1"), Some(Ending::Unknown));
    assert_eq!(world.ending("one", "2"), Some(Ending::Unknown), "the one before it may have ended well");
}

#[test]
fn what_the_agent_does_not_take_before_its_turn_is_ordered_again_in_its_turn() {
    let mut world = at_the_second();
    world.inbox.push_back(Input::StepRefused { key: key("2"), reason: "no room".to_owned() });
    world.inbox.push_back(ended("1", Outcome::Ok));
    world.silent = |_| false;
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let of_2: Vec<_> = orders(&world).into_iter().filter(|(step, _)| step == "2").collect();
    assert_eq!(of_2, [("2".to_owned(), Some("1".to_owned())), ("2".to_owned(), None)]);
}

/// Steps in a row, in turns of two agents.
pub(super) const TURNS: &str = r#"meshproof: 1
plan: turns
services:
  shop: { exec: { argv: [shop] }, ports: { http: dynamic } }
  ledger: { exec: { argv: [ledger] }, ports: { http: dynamic } }
tests:
  - id: one
    steps:
      - { to: shop, http: { get: /0 } }
      - { to: ledger, http: { get: /1 } }
      - { to: shop, http: { get: /2 } }
      - { to: ledger, http: { get: /3 }, save: { order: $.id } }
      - { to: shop, http: { get: "/4/${{ order }}" } }
"#;

fn begun(agent: &str, step: &str) -> Input {
    Input::Fact { agent: name(agent), fact: Fact::StepStarted { key: key(step) } }
}

/// Where the first step is under way, and the next three wait behind it. Nobody answers these orders; those in their turn are answered.
fn in_turns() -> World {
    let mut world = World::new(TURNS);
    world.silent =
        |output| matches!(output, Output::Order { order, .. } if order.after.is_some() || order.key.step == "0");
    world.play_until(|output| matches!(output, Output::Order { order, .. } if order.key.step == "3"))
}

fn hears(mut world: World, told: impl IntoIterator<Item = Input>) -> World {
    let told: Vec<_> = told.into_iter().collect();
    let heard = told.len();
    world.inbox.extend(told);
    (0..heard).for_each(|_| world.step());
    world
}

fn steps_of(world: &World) -> Vec<(String, Ending)> {
    endings(world).into_iter().filter(|(step, _)| !step.starts_with("after")).collect()
}

fn steps(wanted: &[(&str, Ending)]) -> Vec<(String, Ending)> {
    wanted.iter().map(|(step, ending)| ((*step).to_owned(), *ending)).collect()
}

#[test]
fn each_agent_is_told_who_has_the_step_before_and_who_the_next() {
    let world = in_turns();
    let turns = world.outputs.iter().filter_map(|output| match output {
        Output::Order { agent, order, turn } => {
            let name =
                |of: &Option<meshproof_proto::id::Name>| of.as_ref().map(ToString::to_string).unwrap_or_default();
            Some(format!("{} at {agent} after `{}` before `{}`", order.key.step, name(&turn.before), name(&turn.next)))
        }
        _ => None,
    });
    let wanted = [
        "0 at shop after `` before `ledger`",
        "1 at ledger after `shop` before `shop`",
        "2 at shop after `ledger` before `ledger`",
        "3 at ledger after `shop` before ``",
    ];
    assert_eq!(turns.collect::<Vec<_>>(), wanted);
}

#[test]
fn what_is_told_of_a_step_before_its_turn_counts_when_its_turn_comes() {
    let ok = |agent, step| [begun(agent, step), ended_at((agent, step), Outcome::Ok, 1)];
    let world = hears(in_turns(), [ok("ledger", "1"), ok("ledger", "3"), ok("shop", "0")].concat());
    assert_eq!(steps_of(&world), steps(&[("0", Ending::Pass), ("1", Ending::Pass)]));
    let world = hears(world, ok("shop", "2")).play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let all = ["0", "1", "2", "3", "4"].map(|step| (step, Ending::Pass));
    assert_eq!(endings(&world), steps(&all));
    assert_eq!(orders(&world).len(), 5, "nothing is ordered twice");
}

#[test]
fn whose_agent_was_not_told_of_its_turn_is_ordered_in_its_turn() {
    let mut world = hears(in_turns(), [ended("0", Outcome::Ok)]);
    let ordered = orders(&world).len();
    // nothing but time passes
    world.step();
    assert_eq!(orders(&world)[ordered..], [("1".to_owned(), None)]);
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
}

#[test]
fn a_refusal_that_comes_when_its_turn_has_come_is_no_harm() {
    let refused = Input::StepRefused { key: key("1"), reason: "not linked yet".to_owned() };
    for told in [[refused.clone(), ended("0", Outcome::Ok)], [ended("0", Outcome::Ok), refused]] {
        let world = hears(in_turns(), told);
        assert_eq!(orders(&world).last(), Some(&("1".to_owned(), None)));
        let world = world.play();
        assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    }
}

#[test]
fn behind_a_step_that_fails_before_its_turn_is_known_nothing_is_told_of() {
    let told = [ended_at(("ledger", "1"), failed(), 1), ended("0", Outcome::Ok)];
    let world = hears(in_turns(), told).play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    assert_eq!(steps_of(&world), steps(&[("0", Ending::Pass), ("1", Ending::Fail)]));
}

#[test]
fn of_an_agent_that_is_lost_what_it_told_counts_and_the_rest_is_unknown() {
    let lost = |agent: &str| Input::AgentLost { agent: name(agent), reason: "its process ended".to_owned() };
    // the one whose step is under way
    let told = [begun("ledger", "1"), ended_at(("ledger", "1"), Outcome::Ok, 1), lost("shop")];
    let world = hears(in_turns(), told).play();
    let wanted = [("0", Ending::Unknown), ("1", Ending::Pass), ("2", Ending::Unknown), ("3", Ending::Unknown)];
    assert_eq!(steps_of(&world), steps(&wanted));
    // the one whose turn has not come: it never comes, as the one before is given up
    let given_up = ended_at(("shop", "0"), Outcome::Unknown { message: "given up".to_owned() }, 1);
    let world = hears(in_turns(), [lost("ledger"), given_up]).play();
    assert_eq!(steps_of(&world), steps(&[("0", Ending::Unknown)]));
    // or has come, as the one before had ended
    let world = hears(in_turns(), [lost("ledger"), ended("0", Outcome::Ok)]).play();
    assert_eq!(
        steps_of(&world),
        steps(&[("0", Ending::Pass), ("1", Ending::Unknown), ("2", Ending::Unknown), ("3", Ending::Unknown)])
    );
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
}

#[test]
fn an_agent_that_comes_back_goes_on_with_what_had_begun_before_its_turn_only_if_that_may_be_repeated() {
    let gone = || {
        [
            Input::AgentDown { agent: name("ledger"), how: "killed".to_owned() },
            Input::AgentBack { agent: name("ledger") },
        ]
    };
    for begins in [true, false] {
        let told = if begins { vec![begun("ledger", "1")] } else { Vec::new() };
        let world = hears(in_turns(), told.into_iter().chain(gone()).chain([ended("0", Outcome::Ok)]));
        let world = world.play();
        match begins {
            true => {
                assert_eq!(steps_of(&world)[..2], steps(&[("0", Ending::Pass), ("1", Ending::Unknown)]));
                assert_ne!(world.finished.map(|(verdict, _)| verdict), Some(Verdict::Pass));
            }
            false => assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures()),
        }
    }
}

#[test]
fn what_an_agent_that_came_back_tells_of_steps_before_their_turn_counts_too() {
    let gone = [
        Input::AgentDown { agent: name("ledger"), how: "killed".to_owned() },
        Input::AgentBack { agent: name("ledger") },
    ];
    // the order was on its way, and the next instance took it
    let ok = |agent, step| [begun(agent, step), ended_at((agent, step), Outcome::Ok, 1)];
    let world = hears(in_turns(), gone.into_iter().chain(ok("ledger", "1")).chain([ended("0", Outcome::Ok)]));
    assert_eq!(steps_of(&world), steps(&[("0", Ending::Pass), ("1", Ending::Pass)]));
    let refused = [Input::StepRefused { key: key("1"), reason: "nobody answered".to_owned() }];
    let told = refused.into_iter().chain(ok("ledger", "1")).chain([ended("0", Outcome::Ok)]);
    let world = hears(in_turns(), told);
    assert_eq!(steps_of(&world), steps(&[("0", Ending::Pass), ("1", Ending::Pass)]));
}
