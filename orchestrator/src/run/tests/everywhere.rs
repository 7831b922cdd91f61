//! Lines in the logs of all services.

use meshproof_proto::order::{Action, StepKey};
use meshproof_proto::verdict::{Exit, Verdict};

use super::world::{SECOND, World, name};
use crate::run::{Input, Output};

fn plan(step: &str) -> String {
    let services = "  a: { exec: { argv: [a] } }\n  b: { exec: { argv: [b] } }\n";
    format!("meshproof: 1\nplan: p\nservices:\n{services}tests:\n  - id: t\n    steps:\n      - {step}\n")
}

/// What each agent counts the first time, and the next times.
fn counting(step: &str, lines: &[(&str, u32, u64)]) -> World {
    let mut world = World::new(&plan(step));
    world.lines = lines.iter().map(|(agent, attempt, lines)| ((name(agent), *attempt), *lines)).collect();
    world
}

/// `a#1`: whom what was asked.
fn asked(world: &World) -> Vec<(String, Option<u64>)> {
    let asked = world.outputs.iter().filter_map(|output| match output {
        Output::Order { agent, order, .. } => match &order.action {
            Action::CountLog { past, .. } => Some((format!("{agent}#{}", order.key.attempt), *past)),
            _ => None,
        },
        _ => None,
    });
    asked.collect()
}

fn cancelled(world: &World) -> Vec<&StepKey> {
    let cancelled = world.outputs.iter().filter_map(|output| match output {
        Output::Cancel { key, .. } => Some(key),
        _ => None,
    });
    cancelled.collect()
}

#[test]
fn lines_of_all_services_make_one_number() {
    let two_and_one = [("a", 1, 2), ("b", 1, 1)];
    for (checks, verdict) in [
        ("contains: x", Verdict::Pass),
        ("contains: x, count: 3", Verdict::Pass),
        ("contains: x, count: 2", Verdict::Fail),
        ("contains: x, count: \"< 3\"", Verdict::Fail),
        ("count: { not: 0 }", Verdict::Pass),
    ] {
        let world = counting(&format!("expect: {{ log: \"*\", {checks} }}"), &two_and_one).play();
        assert_eq!(world.finished.map(|(verdict, _)| verdict), Some(verdict), "{checks}: {:?}", world.blamed());
        assert_eq!(asked(&world), [("a#1".to_owned(), None), ("b#1".to_owned(), None)]);
    }
}

#[test]
fn that_no_service_has_such_a_line_is_told_where_the_plan_asks_for_it() {
    let world = counting("expect: { log: \"*\", contains: x }", &[("a", 1, 0), ("b", 1, 0)]).play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    let failure = world.failures().first().map(|failure| failure.actual.clone());
    assert_eq!(failure, Some(Some("no such line".to_owned())));
}

#[test]
fn whoever_counts_others_than_before_wakes_the_step_and_nobody_else_is_waited_for() {
    let step = "{ expect: { log: \"*\", contains: x, count: \">= 2\" }, eventually: 20s }";
    let world = counting(step, &[("a", 1, 0), ("b", 1, 1), ("b", 2, 2)]).play();
    assert_eq!(world.finished.map(|(verdict, _)| verdict), Some(Verdict::Pass), "{:?}", world.blamed());
    let again = [("a#1", None), ("b#1", None), ("a#2", Some(0)), ("b#2", Some(1))];
    assert_eq!(asked(&world), again.map(|(who, past)| (who.to_owned(), past)));
    let given_up: Vec<&str> = cancelled(&world).iter().map(|key| key.step.as_str()).collect();
    assert_eq!(given_up, ["everywhere.a/0"]);
}

#[test]
fn when_the_time_is_over_the_last_numbers_count() {
    let step = "{ expect: { log: \"*\", contains: x, count: 5 }, eventually: 20s }";
    let mut world = counting(step, &[("a", 1, 1), ("b", 1, 1)]);
    world = world.play_until(|output| matches!(output, Output::Order { order, .. } if order.key.attempt == 2));
    world.now += SECOND * 20;
    for agent in ["a", "b"] {
        let key = StepKey { test: "t".to_owned(), step: format!("everywhere.{agent}/0"), attempt: 2 };
        let counted = world.counted(&name(agent), &key, 2);
        world.inbox.push_back(counted);
    }
    let world = world.play();
    assert_eq!(world.finished.map(|(verdict, _)| verdict), Some(Verdict::Fail), "{:?}", world.blamed());
    assert_eq!(world.failures()[0].actual.as_deref(), Some("4"));
}

#[test]
fn an_agent_that_comes_back_counts_once_more() {
    let step = "{ expect: { log: \"*\", contains: x, count: 3 }, eventually: 20s }";
    let mut world = counting(step, &[("a", 1, 1), ("b", 1, 0), ("a", 2, 2)]);
    world = world.play_until(|output| matches!(output, Output::Order { order, .. } if order.key.attempt == 2));
    world.inbox.push_back(Input::AgentDown { agent: name("b"), how: "signal 9".to_owned() });
    world.inbox.push_back(Input::AgentBack { agent: name("b") });
    world = world.play_until(|output| matches!(output, Output::OrderAgain { .. }));
    let again = world.outputs.iter().find_map(|output| match output {
        Output::OrderAgain { order, .. } => Some(order.clone()),
        _ => None,
    });
    let again = again.expect("it is asked again");
    assert_eq!((&again.action, again.key.attempt), (&Action::CountLog { log: "*".to_owned(), past: Some(0) }, 2));
    let counted = world.counted(&name("b"), &again.key, 1);
    world.inbox.push_back(counted);
    let world = world.play();
    assert_eq!(world.finished.map(|(verdict, _)| verdict), Some(Verdict::Pass), "{:?}", world.blamed());
}

#[test]
fn an_agent_that_is_lost_or_counts_nothing_is_no_zero() {
    let step = "expect: { log: \"*\", contains: x, count: 0 }";
    let mut world = counting(step, &[("a", 1, 0)]);
    world = world.play_until(|output| matches!(output, Output::Order { .. }));
    world.inbox.push_back(Input::AgentLost { agent: name("b"), reason: "gone".to_owned() });
    assert_eq!(world.play().finished.map(|(_, exit)| exit), Some(Exit::MeshFailed));
    let world = counting(step, &[("a", 1, 0)]).play();
    assert_eq!(world.finished.map(|(verdict, _)| verdict), Some(Verdict::Error), "b never answers");
}

#[test]
fn an_answer_that_is_no_number_is_an_error_and_not_no_lines() {
    let mut world = World::new(&plan("expect: { log: \"*\", count: 0 }"));
    world = world.play_until(|output| matches!(output, Output::Order { agent, .. } if *agent == name("b")));
    for (agent, said) in [("a", "0"), ("b", "some")] {
        let key = StepKey { test: "t".to_owned(), step: format!("everywhere.{agent}/0"), attempt: 1 };
        let counted = world.answered(&name(agent), &key, said);
        world.inbox.push_back(counted);
    }
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)), "{:?}", world.blamed());
}
