//! What faults do to a run.

use meshproof_proto::event::Fact;
use meshproof_proto::order::{Direction, FaultReport, FaultTarget};
use meshproof_proto::verdict::{Exit, Verdict};

use super::world::{PLAN, SECOND, World, good_report, line, name};
use crate::record::{Ending, Happening};
use crate::run::{Input, Output};

fn with_report(fault: &str, change: impl Fn(&mut FaultReport)) -> World {
    let mut world = World::new(PLAN);
    let mut report = good_report(fault);
    change(&mut report);
    world.reports.insert(fault.to_owned(), report);
    world.play()
}

fn reports(world: &World) -> Vec<&FaultReport> {
    let reports = world.records.iter().filter_map(|record| match record {
        Happening::FaultEnded(report) => Some(report),
        _ => None,
    });
    reports.collect()
}

#[test]
fn traffic_is_disturbed_at_one_end_for_its_lease() {
    let world = World::new(PLAN).play();
    let begun = world.outputs.iter().filter_map(|output| match output {
        Output::BeginFault { agent, order, .. } if order.fault == "cut" => Some((agent, &order.target, order.lease_ms)),
        _ => None,
    });
    let target = FaultTarget::Traffic { peer: name("ledger"), direction: Direction::Both };
    assert_eq!(begun.collect::<Vec<_>>(), [(&name("shop"), &target, 5_000)]);
    assert_eq!(reports(&world).len(), 2);
}

#[test]
fn a_fault_that_did_nothing_goes_red_where_it_begins_and_with_a_proof_where_that_is_asked() {
    let nothing = |report: &mut FaultReport| {
        report.effective = false;
        report.deviation_percent = None;
    };
    let world = with_report("cut", nothing);
    assert_eq!(world.blamed(), [(line("- fault: cut"), "the fault `cut` did nothing")]);
    assert_eq!((world.finished, world.verdict_of("one")), (Some((Verdict::Fail, Exit::Failed)), Some(Verdict::Fail)));
    let world = with_report("slow", nothing);
    assert_eq!(world.blamed(), [(line("prove: 15%"), "the fault `slow` did nothing")]);
}

#[test]
fn a_fault_too_far_from_what_was_asked_goes_red_at_its_proof() {
    let world = with_report("slow", |report| report.deviation_percent = Some(40.0));
    assert_eq!(world.blamed(), [(line("prove: 15%"), "the fault `slow` is 40% off what was asked for")]);
    let failure = world.failures()[0];
    assert_eq!(failure.expected.as_deref(), Some("latency 800ms, give or take 15%"));
    assert_eq!(failure.actual.as_deref(), Some("latency 812ms (3 replies)"));
    let world = with_report("slow", |report| report.deviation_percent = None);
    assert_eq!(world.blamed()[0].0, line("prove: 15%"));
    assert_eq!(
        with_report("slow", |report| report.deviation_percent = Some(15.0)).finished,
        Some((Verdict::Pass, Exit::Passed))
    );
}

#[test]
fn in_a_test_that_ended_early_faults_are_healed_and_not_judged() {
    let mut world = World::new(PLAN);
    let report = FaultReport { effective: false, deviation_percent: Some(90.0), ..good_report("slow") };
    world.reports.insert("slow".to_owned(), report);
    let refused = meshproof_proto::event::Outcome::CallFailed { message: "refused".to_owned() };
    world.outcomes.insert("one/1".to_owned(), refused);
    let world = world.play();
    assert_eq!(world.blamed(), [(line("http: { post"), "refused")]);
    assert_eq!(reports(&world).len(), 1);
}

#[test]
fn a_fault_that_cannot_be_confirmed_as_healed_ends_the_run_with_9() {
    let world = with_report("cut", |report| report.healed = false);
    assert_eq!(world.finished, Some((Verdict::Error, Exit::NotHealed)));
    assert_eq!(world.blamed(), [(line("- fault: cut"), "the fault `cut` could not be confirmed as healed")]);
    assert_eq!(world.ending("one", "after.0"), Some(Ending::Error));

    let mut world = World::new(PLAN);
    world.silent = |output| matches!(output, Output::HealFault { fault, .. } if fault == "slow");
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::NotHealed)));
}

#[test]
fn a_fault_at_a_lost_agent_went_with_it() {
    let mut world = World::new(PLAN);
    world.silent = |output| matches!(output, Output::Order { order, .. } if order.key.step == "3");
    let mut world = world.play_until(|output| matches!(output, Output::Order { order, .. } if order.key.step == "3"));
    world.inbox.push_back(Input::AgentLost { agent: name("shop"), reason: "killed".to_owned() });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    let healed = world
        .outputs
        .iter()
        .filter(|output| matches!(output, Output::HealFault { agent, .. } if *agent == name("shop")));
    assert_eq!(healed.count(), 0);
}

#[test]
fn a_fault_without_an_end_is_renewed_until_it_is_healed() {
    let text = PLAN.replace("timeout: 90s", "timeout: 24s");
    let mut world = World::new(&text);
    world.silent = |output| matches!(output, Output::Order { order, .. } if order.key.step == "1");
    let world = world.play();
    let renewed = world.outputs.iter().filter(|output| matches!(output, Output::RenewFault { .. })).count();
    assert_eq!(renewed, 2);
}

#[test]
fn a_lease_that_ran_out_was_no_accident_and_one_that_lapsed_was() {
    let ended = |fault: &'static str, agent: &str| Input::Fact {
        agent: name(agent),
        fact: Fact::FaultEnded(good_report(fault)),
    };
    let at_the_end = || {
        let mut world = World::new(PLAN);
        world.silent = |output| matches!(output, Output::Order { order, .. } if order.key.step == "3");
        let mut world =
            world.play_until(|output| matches!(output, Output::Order { order, .. } if order.key.step == "3"));
        world.silent = |_| false;
        let order = world.outputs.pop().expect("the order of the last step");
        let answers = world.answers(&order);
        world.now += 6 * SECOND;
        (world, answers)
    };
    let (mut world, answers) = at_the_end();
    world.inbox.push_back(ended("cut", "shop"));
    world.inbox.extend(answers);
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let healed =
        world.outputs.iter().filter(|output| matches!(output, Output::HealFault { fault, .. } if fault == "cut"));
    assert_eq!(healed.count(), 0);

    let (mut world, answers) = at_the_end();
    world.inbox.push_back(ended("slow", "shop"));
    world.inbox.extend(answers);
    let world = world.play();
    assert_eq!(world.blamed(), [(line("- fault: slow"), "the fault `slow` ended by itself before it was healed")]);
}

#[test]
fn the_event_of_a_former_fault_does_not_end_the_next_one_of_that_name() {
    let text = "meshproof: 1\nplan: p\nservices:\n  shop: { exec: { argv: [shop] }, ports: { http: dynamic } }\nstubs:\n  \
                pay: { at: shop, protocol: http, routes: [{ id: c, reply: { status: 200 } }] }\nfaults:\n  slow: { stub: pay, latency: 1s }\n\
                tests:\n  - id: one\n    steps: [{ fault: slow }]\n  - id: two\n    steps: [{ fault: slow }, { to: shop, http: { get: / } }]\n";
    let mut world = World::new(text);
    world.silent = |output| matches!(output, Output::HealFault { .. });
    let mut world = world.play_until(|output| matches!(output, Output::HealFault { .. }));
    // The answer to the heal comes at once, the event only when the second test has begun its fault.
    world.silent = |output| matches!(output, Output::Order { .. });
    let late = Input::Fact { agent: name("shop"), fact: Fact::FaultEnded(good_report("slow")) };
    world.inbox.push_back(Input::FaultHealed { agent: name("shop"), serial: 1, report: good_report("slow") });
    let mut world = world.play_until(|output| matches!(output, Output::Order { .. }));
    world.silent = |_| false;
    let order = world.outputs.last().cloned().expect("the last step");
    let answers = world.answers(&order);
    world.inbox.push_back(late);
    world.inbox.extend(answers);
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
}

#[test]
fn a_fault_that_is_refused_is_an_error_with_the_agents_reason() {
    let is_cut = |output: &Output| matches!(output, Output::BeginFault { order, .. } if order.fault == "cut");
    let mut world = World::new(PLAN);
    world.silent = is_cut;
    let mut world = world.play_until(is_cut);
    let reason = "its grant does not allow `tunnel`".to_owned();
    world.inbox.push_back(Input::FaultRefused { agent: name("shop"), fault: "cut".to_owned(), serial: 2, reason });
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    let title = "agent `shop` did not begin the fault: its grant does not allow `tunnel`";
    assert_eq!(world.blamed(), [(line("- fault: cut"), title)]);
    let healed = |output: &Output| matches!(output, Output::HealFault { fault, .. } if fault == "cut");
    assert!(!world.outputs.iter().any(healed));
}
