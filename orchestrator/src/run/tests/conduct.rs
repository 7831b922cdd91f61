//! What the orchestrator does itself: flow, processes, sync points, pauses.

use meshproof_proto::event::Outcome;
use meshproof_proto::verdict::{Exit, Verdict};

use super::world::{SECOND, World, name};
use crate::record::{Ending, Happening};
use crate::run::{Input, Output, ProcessOrder};

/// A plan with two services and one test with these steps.
fn plan(steps: &str) -> String {
    let services = "  a: { exec: { argv: [a] }, ports: { http: dynamic } }\n  b: { exec: { argv: [b] }, ports: { http: dynamic } }\n";
    let head = format!("meshproof: 1\nplan: p\nservices:\n{services}tests:\n  - id: t\n    steps:\n");
    head + &steps.lines().map(|line| format!("      {line}\n")).collect::<String>()
}

fn said(world: &World) -> Vec<String> {
    let said = world.records.iter().filter_map(|record| match record {
        Happening::Said { text } => Some(text.clone()),
        _ => None,
    });
    said.collect()
}

fn ended(world: &World) -> Vec<(String, Ending)> {
    let ended = world.records.iter().filter_map(|record| match record {
        Happening::StepEnded { step, ending, .. } => Some((step.key.step.clone(), *ending)),
        _ => None,
    });
    ended.collect()
}

#[test]
fn a_repeat_is_written_out_so_that_every_round_is_expected_and_knows_its_number() {
    let steps = "- repeat:\n    times: 3\n    as: i\n    steps:\n      - { to: a, http: { get: / }, save: { n: $.n } }\n      - say: \"${{ i }} ${{ n }}\"\n- say: over";
    let world = World::new(&plan(steps)).play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    assert_eq!(said(&world), ["0 o-1", "1 o-1", "2 o-1", "over"]);
    let Happening::Expected { steps, .. } = &world.records[1] else { panic!("{:?}", world.records[1]) };
    let steps: Vec<&str> = steps.iter().map(|key| key.step.as_str()).collect();
    assert_eq!(steps, ["0.0.0", "0.0.1", "0.1.0", "0.1.1", "0.2.0", "0.2.1", "1"]);
}

#[test]
fn a_round_that_fails_is_the_last() {
    let steps = "- repeat: { times: 5, steps: [{ id: x, to: a, http: { get: / } }] }";
    let mut world = World::new(&plan(steps));
    world.outcomes.insert("t/0.2.0".to_owned(), Outcome::CallFailed { message: "refused".to_owned() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    assert_eq!(ended(&world).len(), 3);
}

#[test]
fn every_combination_of_a_matrix_is_a_test_of_its_own() {
    let text = plan("- say: \"${{ matrix.a }} ${{ matrix.b }}\"")
        .replace("tests:", "matrix: { a: [1, 2], b: [x, 5%] }\ntests:");
    let world = World::new(&text).play();
    assert_eq!(said(&world), ["1 x", "1 5%", "2 x", "2 5%"]);
    let Happening::Expected { tests, .. } = &world.records[1] else { panic!("{:?}", world.records[1]) };
    assert_eq!(tests, &["t[a=1,b=x]", "t[a=1,b=5%]", "t[a=2,b=x]", "t[a=2,b=5%]"]);
}

const SIDE: &str = "- parallel:\n    - - { to: a, http: { get: /1 } }\n      - { to: a, http: { get: /2 } }\n    - { to: b, http: { get: /3 } }\n- say: over";

#[test]
fn branches_begin_together_and_what_comes_next_waits_for_all_of_them() {
    let mut world = World::new(&plan(SIDE));
    world.silent = |output| matches!(output, Output::Order { order, .. } if order.key.step == "0.1.0");
    let mut world =
        world.play_until(|output| matches!(output, Output::Order { order, .. } if order.key.step == "0.0.1"));
    let orders: Vec<String> = world
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Order { order, .. } => Some(order.key.step.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(orders, ["0.0.0", "0.1.0", "0.0.1"], "the second step of one branch, while the other still runs");
    world.step();
    assert_eq!(said(&world), Vec::<String>::new());
    let last =
        world.outputs.iter().find(|output| matches!(output, Output::Order { order, .. } if order.key.step == "0.1.0"));
    let answers = world.answers(&last.cloned().expect("was ordered"));
    world.inbox.extend(answers);
    let world = world.play();
    assert_eq!((world.finished, said(&world)), (Some((Verdict::Pass, Exit::Passed)), vec!["over".to_owned()]));
}

#[test]
fn a_branch_that_fails_ends_those_beside_it() {
    let mut world = World::new(&plan(SIDE));
    world.silent = |output| matches!(output, Output::Order { order, .. } if order.key.step == "0.1.0");
    world.outcomes.insert("t/0.0.0".to_owned(), Outcome::CallFailed { message: "refused".to_owned() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    assert!(world.outputs.iter().any(|output| matches!(output, Output::Cancel { key, .. } if key.step == "0.1.0")));
    assert_eq!((world.ending("t", "0.0.1"), said(&world)), (None, Vec::new()));
}

#[test]
fn a_person_who_is_not_there_is_not_waited_for_and_one_who_says_nothing_not_for_ever() {
    let mut world =
        World::new(&plan("- pause: look\n- say: on")).play_until(|output| matches!(output, Output::Pause { .. }));
    world.inbox.clear();
    let key = key("0");
    world.inbox.push_back(Input::Resumed { key, result: Err("nobody is there".to_owned()) });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)));
    assert_eq!((world.ending("t", "0"), said(&world)), (Some(Ending::Skipped), vec!["on".to_owned()]));
    let mut silent = World::new(&plan("- pause: look\n- say: on"));
    silent.silent = |output| matches!(output, Output::Pause { .. });
    assert_eq!(silent.play().finished, Some((Verdict::Error, Exit::MeshFailed)));
}

fn key(step: &str) -> meshproof_proto::order::StepKey {
    meshproof_proto::order::StepKey { test: "t".to_owned(), step: step.to_owned(), attempt: 1 }
}

#[test]
fn a_killed_service_has_ended_and_a_restarted_one_is_asked_whether_it_is_ready() {
    let text = plan("- kill: a\n- expect: { process: a, is: ended, code: 137 }\n- restart: a\n- expect: { process: a, is: running }")
        .replace("argv: [a] }, ports: { http: dynamic }", "argv: [a] }, ports: { http: dynamic }, ready: { http: { get: /healthz } }");
    let world = World::new(&text).play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let at = |wanted: &dyn Fn(&Output) -> bool| world.outputs.iter().position(wanted).expect("was ordered");
    let restart = at(&|output| matches!(output, Output::Change { what: ProcessOrder::Restart(_), .. }));
    let ready = at(&|output| matches!(output, Output::Order { order, .. } if order.key == key("2")));
    assert!(restart < ready);
}

#[test]
fn what_a_process_must_be_may_be_looked_up_and_what_nobody_knows_is_never_fulfilled() {
    let expecting = |code: &str| {
        let steps = format!("- kill: a\n- expect: {{ process: a, code: {code} }}");
        plan(&steps).replace(
            "tests:",
            "params: { killed: { type: int, default: 137 }, ended: { type: int, default: 3 } }\ntests:",
        )
    };
    let finished = |code: &str| World::new(&expecting(code)).play().finished.map(|(verdict, _)| verdict);
    assert_eq!(finished("\"${{ params.killed }}\""), Some(Verdict::Pass));
    assert_eq!(finished("\"${{ params.ended }}\""), Some(Verdict::Fail));
    let text = expecting("\"${{ n }}\"")
        .replace("- kill: a", "- { to: b, http: { get: / }, save: { n: $.n }, optional: true }");
    let mut world = World::new(&text);
    world.outcomes.insert("t/0".to_owned(), Outcome::CallFailed { message: "refused".to_owned() });
    let world = world.play();
    assert_eq!(world.finished.map(|(verdict, _)| verdict), Some(Verdict::Error), "{:?}", world.blamed());
}

#[test]
fn what_is_frozen_without_a_time_is_frozen_again_in_time_and_thawed_at_the_end() {
    let mut world = World::new(&plan("- freeze: a\n- { to: b, http: { get: / }, within: 60s }"));
    world.silent = |output| matches!(output, Output::Order { .. });
    let world = world.play();
    let freezes = world
        .outputs
        .iter()
        .filter(|output| matches!(output, Output::Change { what: ProcessOrder::Freeze { .. }, .. }));
    assert!(freezes.count() > 3);
    let thaw = world.outputs.iter().rev().find(|output| matches!(output, Output::Change { .. }));
    assert!(matches!(thaw, Some(Output::Change { what: ProcessOrder::Thaw, service, .. }) if *service == name("a")));
}

#[test]
fn the_end_of_a_service_wakes_who_waits_for_it_and_fails_nothing_if_it_was_expected() {
    let text = plan("- { to: b, http: { get: / } }\n- { expect: { process: a, is: ended, code: 3 }, eventually: 20s }");
    let mut world =
        World::new(&text).play_until(|output| matches!(output, Output::Order { order, .. } if order.key.step == "0"));
    let before = world.now;
    for _ in 0..4 {
        world.collect();
        if let Some(input) = world.inbox.pop_front() {
            world.run.handle(input, world.now);
        }
    }
    world.inbox.push_back(Input::ServiceEnded {
        service: name("a"),
        how: "exit code 3".to_owned(),
        evidence: Vec::new(),
    });
    world.inbox.push_back(Input::ServiceLeft { service: name("a"), code: 3 });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    assert!(world.now < before + SECOND, "woken, and not found at the end");
}

#[test]
fn a_service_that_ends_when_no_step_expects_it_fails_the_run() {
    let text = plan("- { to: b, http: { get: / } }\n- { expect: { process: a, is: running } }");
    let mut world =
        World::new(&text).play_until(|output| matches!(output, Output::Order { order, .. } if order.key.step == "0"));
    world.inbox.push_front(Input::ServiceEnded {
        service: name("a"),
        how: "exit code 3".to_owned(),
        evidence: Vec::new(),
    });
    assert_eq!(world.play().finished, Some((Verdict::Fail, Exit::Failed)));
}

#[test]
fn sync_points_begin_anew_with_each_test() {
    let text = plan("- { at: a, signal: s }\n- { barrier: { name: s, of: a }, within: 1s }")
        + "  - id: two\n    steps:\n      - { barrier: { name: s, of: a }, within: 1s }\n";
    let world = World::new(&text).play();
    assert_eq!((world.verdict_of("t"), world.verdict_of("two")), (Some(Verdict::Pass), Some(Verdict::Fail)));
    assert!(world.blamed()[0].1.contains("0 of 1 have come in time; missing: a"), "{:?}", world.blamed());
}

#[test]
fn a_barrier_does_not_keep_a_run_whose_agent_is_lost() {
    let text = plan("- { barrier: { name: s, of: [a, b] }, within: 60s }\n");
    let mut world = World::new(&text);
    while world.records.iter().all(|record| !matches!(record, Happening::StepBegan(_))) {
        world.step();
    }
    world.inbox.push_back(Input::AgentLost { agent: name("a"), reason: "gone".to_owned() });
    let before = world.now;
    let world = world.play();
    assert_eq!(world.finished.map(|(_, exit)| exit), Some(Exit::MeshFailed), "{:?}", world.blamed());
    assert!(world.now < before + SECOND * 60, "nobody waits for who is gone");
}
