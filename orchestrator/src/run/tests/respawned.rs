//! Runs in which an agent is gone and another instance takes its place.

use std::time::Duration;

use meshproof_proto::event::{Fact, Outcome};
use meshproof_proto::order::{FaultReport, StepKey};
use meshproof_proto::verdict::{Exit, Verdict};

use super::world::{PLAN, World, good_report, line, name};
use crate::record::{Ending, Happening};
use crate::run::{Input, Lease, Output};

fn key(test: &str, step: &str) -> StepKey {
    StepKey { test: test.to_owned(), step: step.to_owned(), attempt: 1 }
}

fn is_order(output: &Output) -> bool {
    matches!(output, Output::Order { order, .. } if order.key == key("one", "1"))
}

/// The run at its second step, which `shop` has been told of and has not answered.
fn at_the_order(text: &str) -> World {
    let mut world = World::new(text);
    world.silent = is_order;
    world.play_until(is_order)
}

fn begun(world: &mut World) {
    let fact = Fact::StepStarted { key: key("one", "1") };
    world.inbox.push_back(Input::Fact { agent: name("shop"), fact });
}

fn respawned(world: &mut World, agent: &str) {
    world.inbox.push_back(Input::AgentDown { agent: name(agent), how: "SIGKILL".to_owned() });
    world.inbox.push_back(Input::AgentBack { agent: name(agent) });
}

fn orders_again(world: &World) -> usize {
    let again = |output: &&Output| matches!(output, Output::OrderAgain { order, .. } if order.key == key("one", "1"));
    world.outputs.iter().filter(again).count()
}

#[test]
fn a_step_that_had_begun_is_unknown_and_the_next_test_goes_on() {
    let mut world = at_the_order(PLAN);
    begun(&mut world);
    respawned(&mut world, "shop");
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Unknown, Exit::MeshFailed)));
    assert_eq!((world.ending("one", "1"), orders_again(&world)), (Some(Ending::Unknown), 0));
    let (at, title) = &world.blamed()[0];
    assert_eq!(*at, line("http: { post"));
    assert!(title.starts_with("agent `shop` was gone while it ran (SIGKILL)"), "{title}");
    assert_eq!(world.verdict_of("two"), Some(Verdict::Pass), "it has another agent now");
}

#[test]
fn a_step_that_says_idempotent_is_begun_once_more_under_its_key() {
    let text = PLAN.replace("id: order\n", "id: order\n        idempotent: true\n");
    let mut world = at_the_order(&text);
    begun(&mut world);
    respawned(&mut world, "shop");
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.blamed());
    assert_eq!(orders_again(&world), 1);
}

#[test]
fn a_step_that_had_not_begun_is_ordered_again_whatever_it_says() {
    let mut world = at_the_order(PLAN);
    respawned(&mut world, "shop");
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.blamed());
    assert_eq!(orders_again(&world), 1);
}

#[test]
fn what_fails_while_the_agent_that_it_called_was_gone_is_unknown_and_what_holds_holds() {
    let is_status = |output: &Output| matches!(output, Output::Order { order, .. } if order.key == key("one", "3"));
    for (outcome, verdict) in [
        (Outcome::Ok, Verdict::Pass),
        (Outcome::CallFailed { message: "connection reset".to_owned() }, Verdict::Unknown),
    ] {
        let text = PLAN.replace(
            "- to: ledger\n        tcp: { send: \"STATUS",
            "- at: shop\n        to: ledger\n        tcp: { send: \"STATUS",
        );
        let mut world = World::new(&text);
        world.silent = is_status;
        let mut world = world.play_until(is_status);
        respawned(&mut world, "ledger");
        world.outcomes.insert("one/3".to_owned(), outcome);
        let ended = world.answers(&world.outputs.iter().find(|output| is_status(output)).expect("ordered").clone());
        world.inbox.extend(ended);
        assert_eq!(world.play().finished.map(|(verdict, _)| verdict), Some(verdict));
    }
}

#[test]
fn a_fault_is_begun_again_for_what_is_left_of_it() {
    let is_cut = |output: &Output| matches!(output, Output::BeginFault { order, .. } if order.fault == "cut");
    let at_the_status = |output: &Output| matches!(output, Output::Order { order, .. } if order.key == key("one", "3"));
    let mut world = World::new(PLAN);
    world.silent = |output| matches!(output, Output::Order { order, .. } if order.key == key("one", "3"));
    let mut world = world.play_until(at_the_status);
    assert!(world.outputs.iter().any(is_cut));
    world.now += Duration::from_secs(2);
    respawned(&mut world, "shop");
    (0..2).for_each(|_| world.step());
    let renewed: Vec<_> = world
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::RenewFault { agent, order, of } if *agent == name("shop") => {
                Some((order.fault.as_str(), order.lease_ms, *of))
            }
            _ => None,
        })
        .collect();
    assert_eq!(renewed, [("slow", 30_000, Lease::Same), ("cut", 3_000, Lease::Former)]);
}

#[test]
fn what_a_fault_did_is_not_held_against_it_when_the_instance_that_measured_it_was_killed() {
    let at_the_status = |output: &Output| matches!(output, Output::Order { order, .. } if order.key == key("one", "3"));
    for (killed, verdict) in [(true, Verdict::Pass), (false, Verdict::Fail)] {
        let mut world = World::new(PLAN);
        let nothing = FaultReport { effective: false, deviation_percent: None, ..good_report("cut") };
        world.reports.insert("cut".to_owned(), nothing);
        world.silent = at_the_status;
        let mut world = world.play_until(at_the_status);
        if killed {
            respawned(&mut world, "shop");
        }
        let order = world.outputs.iter().find(|output| at_the_status(output)).expect("ordered").clone();
        let answers = world.answers(&order);
        world.inbox.extend(answers);
        assert_eq!(world.play().finished.map(|(verdict, _)| verdict), Some(verdict), "{killed}");
    }
}

#[test]
fn an_agent_that_does_not_come_back_is_lost() {
    let mut world = at_the_order(PLAN);
    begun(&mut world);
    world.inbox.push_back(Input::AgentDown { agent: name("shop"), how: "SIGKILL".to_owned() });
    world.inbox.push_back(Input::AgentLost { agent: name("shop"), reason: "no instance came".to_owned() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    let is_lost =
        |record: &Happening| matches!(record, Happening::AgentLost { reason, .. } if reason == "no instance came");
    assert!(world.records.iter().any(is_lost));
}
