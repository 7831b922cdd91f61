//! Runs in which something is lost, late, or ended from outside.

use meshproof_proto::event::Fact;
use meshproof_proto::order::FaultReport;
use meshproof_proto::verdict::{Exit, Verdict};

use super::world::{PLAN, World, line, name};
use crate::keeper::protocol;
use crate::record::{Ending, Happening};
use crate::run::{Abort, Input, Output};

fn is_step(output: &Output, test: &str, step: &str) -> bool {
    matches!(output, Output::Order { order, .. } if order.key.test == test && order.key.step == step)
}

/// The run at its second step, which is under way.
fn at_the_order() -> World {
    let mut world = World::new(PLAN);
    world.silent = |output| is_step(output, "one", "1");
    world.play_until(|output| is_step(output, "one", "1"))
}

#[test]
fn a_lost_agent_is_named_and_makes_its_step_unknown_and_the_run_an_error() {
    let mut world = at_the_order();
    world.inbox.push_back(Input::AgentLost { agent: name("shop"), reason: "its process ended".to_owned() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    assert_eq!(world.blamed(), [(line("http: { post"), "agent `shop` was lost: its process ended")]);
    assert_eq!(world.ending("one", "1"), Some(Ending::Unknown));
    assert_eq!(world.ending("one", "after.2"), Some(Ending::Pass));
    assert_eq!((world.verdict_of("one"), world.verdict_of("two")), (Some(Verdict::Error), None));
    assert!(world.records.iter().any(|record| matches!(record, Happening::TestNotRun { test, .. } if test == "two")));
}

#[test]
fn an_agent_lost_while_another_acts_ends_the_run_too() {
    let mut world = at_the_order();
    world.inbox.push_back(Input::AgentLost { agent: name("ledger"), reason: "gone".to_owned() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    assert_eq!(world.blamed(), [(line("  ledger:"), "agent `ledger` was lost: gone")]);
    // What needs it in `after` is skipped, aloud.
    assert_eq!(world.ending("one", "after.1"), Some(Ending::Skipped));
}

#[test]
fn a_fault_whose_far_end_is_lost_is_not_held_against_its_healing() {
    let at_the_status = |output: &Output| is_step(output, "one", "3");
    let mut world = World::new(PLAN);
    world.silent = |output| is_step(output, "one", "3");
    let unseen = FaultReport { healed: false, ..world.report("cut") };
    world.reports.insert("cut".to_owned(), unseen);
    let mut world = world.play_until(at_the_status);
    world.inbox.push_back(Input::AgentLost { agent: name("ledger"), reason: "its process ended".to_owned() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    assert_eq!(world.blamed().len(), 1, "{:?}", world.blamed());
    assert_eq!(world.ending("one", "after.0"), Some(Ending::Pass));
}

#[test]
fn a_keeper_that_is_gone_is_an_error_and_no_failed_check() {
    let mut world = World::new(PLAN);
    world.silent = |output| matches!(output, Output::TearDown);
    let mut world = world.play_until(|output| matches!(output, Output::TearDown));
    let gone = (Verdict::Error, "the keeper is gone".to_owned());
    world.inbox.push_back(Input::TornDown { problems: vec![gone] });
    assert_eq!(world.play().finished, Some((Verdict::Error, Exit::MeshFailed)));
}

fn begins_the_first(output: &Output) -> bool {
    matches!(output, Output::BeginTest { test, .. } if test == "one")
}

#[test]
fn a_test_whose_stubs_do_not_start_anew_is_an_error_without_steps_and_the_next_one_begins() {
    let mut world = World::new(PLAN);
    world.silent = begins_the_first;
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    assert_eq!(world.blamed(), [(line("- id: one"), "the stubs of `shop` did not start anew within 35s")]);
    assert_eq!((world.ending("one", "1"), world.ending("one", "after.0")), (None, Some(Ending::Pass)));
    assert_eq!(world.verdict_of("two"), Some(Verdict::Pass));

    let mut world = World::new(PLAN);
    world.silent = begins_the_first;
    let mut world = world.play_until(begins_the_first);
    let refused = Input::TestRefused { agent: name("shop"), test: "one".to_owned(), reason: "busy".to_owned() };
    world.inbox.push_back(refused);
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    assert!(world.blamed()[0].1.ends_with("could not start anew: busy"), "{:?}", world.blamed());
}

#[test]
fn an_agent_lost_before_its_stubs_have_started_anew_ends_the_run() {
    let mut world = World::new(PLAN);
    world.silent = begins_the_first;
    let mut world = world.play_until(begins_the_first);
    world.inbox.push_back(Input::AgentLost { agent: name("shop"), reason: "gone".to_owned() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    assert_eq!(world.blamed(), [(line("  shop:"), "agent `shop` was lost: gone")]);
}

#[test]
fn a_result_that_never_comes_is_an_error_that_names_who_is_missing() {
    let world = at_the_order().play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    assert_eq!(world.blamed(), [(line("http: { post"), "no result from agent `shop` after 65s")]);
    assert!(world.outputs.iter().any(|output| matches!(output, Output::Cancel { .. })));
}

#[test]
fn a_test_that_takes_too_long_fails_at_the_step_that_ran() {
    let text = PLAN.replace("timeout: 90s", "timeout: 7s");
    let mut world = World::new(&text);
    world.silent = |output| is_step(output, "one", "1");
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    assert_eq!(world.blamed(), [(line("http: { post"), "the test's timeout of 7s has passed")]);
    assert_eq!(world.verdict_of("two"), Some(Verdict::Pass));
}

#[test]
fn an_interrupted_run_runs_after_and_ends_with_130() {
    let mut world = at_the_order();
    world.inbox.push_back(Input::Abort(Abort::Interrupted));
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Unknown, Exit::Interrupted)));
    assert_eq!(world.ending("one", "after.2"), Some(Ending::Pass));
    assert!(world.outputs.contains(&Output::TearDown) && world.verdict_of("two").is_none());
}

#[test]
fn an_interrupt_before_the_environment_is_ready_tears_down_what_there_is() {
    for (abort, exit) in [(Abort::Terminated, Exit::Terminated), (Abort::Deadline, Exit::Aborted)] {
        let mut world = World::new(PLAN);
        world.inbox.push_front(Input::Abort(abort));
        let world = world.play();
        assert_eq!((world.finished, world.outputs.len()), (Some((Verdict::Unknown, exit)), 1));
    }
}

#[test]
fn an_environment_that_cannot_be_made_is_an_error_and_no_test_runs() {
    let mut world = World::new(PLAN);
    let what = "agent `shop` did not join within 10s".to_owned();
    world.inbox.push_front(Input::Broken { what, at: None, evidence: Vec::new() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    assert_eq!(world.blamed(), [(0, "agent `shop` did not join within 10s")]);
}

#[test]
fn a_service_that_ends_by_itself_fails_the_test_and_no_other_begins() {
    let mut world = at_the_order();
    let ended = Input::ServiceEnded { service: name("ledger"), how: "exit code 101".to_owned(), evidence: Vec::new() };
    world.inbox.push_back(ended);
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    assert_eq!(world.blamed(), [(line("  ledger:"), "service `ledger` ended by itself: exit code 101")]);
    assert_eq!(world.verdict_of("two"), None);
}

#[test]
fn a_service_that_was_told_to_have_ended_is_not_told_again_at_the_teardown() {
    let mut world = at_the_order();
    let wrong = |service: &str| protocol::Ending {
        what: protocol::What::Service { name: name(service), process: 0 },
        exit: Some(protocol::Exit::Code(101)),
        cause: protocol::Cause::Itself,
        verdict: protocol::EndVerdict::Wrong,
    };
    let ended = Input::ServiceEnded { service: name("ledger"), how: "exit code 101".to_owned(), evidence: Vec::new() };
    world.inbox.push_back(ended);
    world.silent = |output| matches!(output, Output::TearDown) || is_step(output, "one", "1");
    let mut world = world.play_until(|output| matches!(output, Output::TearDown));
    let problems = ["ledger", "shop"].map(|service| (Verdict::Fail, wrong(service).to_string()));
    world.inbox.push_back(Input::TornDown { problems: problems.to_vec() });
    let world = world.play();
    let titles: Vec<_> = world.blamed().into_iter().map(|(_, title)| title.to_owned()).collect();
    assert_eq!(titles.len(), 2, "{titles:?}");
    assert!(titles[0].contains("`ledger` ended by itself") && titles[1].starts_with("service shop ended by itself"));
}

#[test]
fn events_that_an_agent_lost_keep_the_run_from_passing() {
    let mut world = World::new(PLAN);
    world.inbox.push_back(Input::Fact { agent: name("shop"), fact: Fact::Gap { lost: 3 } });
    assert_eq!(world.play().finished, Some((Verdict::Error, Exit::MeshFailed)));
}

#[test]
fn an_order_that_is_refused_is_an_error_with_the_agents_reason() {
    let mut world = at_the_order();
    let key = super::super::tally::key("one", "1");
    world.inbox.push_back(Input::StepRefused { key, reason: "its grant does not allow `http`".to_owned() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    assert!(world.blamed()[0].1.ends_with("did not take this step: its grant does not allow `http`"));
}

#[test]
fn a_teardown_without_an_answer_ends_the_run_as_an_error() {
    let mut world = World::new(PLAN);
    world.silent = |output| matches!(output, Output::TearDown);
    assert_eq!(world.play().finished, Some((Verdict::Error, Exit::MeshFailed)));
}
