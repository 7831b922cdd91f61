//! Schedules of faults that are drawn.

use std::time::Duration;

use meshproof_proto::event::Fact;
use meshproof_proto::order::FaultReport;
use meshproof_proto::verdict::{Exit, Verdict};

use super::world::{PLAN, World, good_report, name};
use crate::record::{DrawnFault, Happening};
use crate::run::{Input, Output};

/// The first test draws; its order is the last step, unless it waits for the schedule.
fn plan(steps: &str) -> String {
    let draw =
        "      - id: weather\n        fault: { draw: [slow, cut], times: 6, lasting: [1s, 2s] }\n        for: 30s\n";
    PLAN.replace("      - fault: slow\n        prove: 15%\n", draw)
        .replace("      - fault: cut\n        for: 5s\n", steps)
}

const WAIT: &str = "      - expect: { fault: weather, is: ended }\n        eventually: 60s\n";

/// Plays a run in which every fault of the schedule ends after its time, as its agent reports it.
fn play(mut world: World, report: impl Fn(&str) -> FaultReport) -> World {
    let mut seen = 0;
    while world.finished.is_none() {
        world.step();
        let begun = world.outputs[seen..].iter().filter_map(|output| match output {
            Output::BeginFault { agent, order, .. } if order.fault.starts_with("weather.") => {
                let fact = Fact::FaultEnded(report(&order.fault));
                Some(Input::Fact { agent: agent.clone(), fact })
            }
            _ => None,
        });
        let ended: Vec<Input> = begun.collect();
        seen = world.outputs.len();
        world.inbox.extend(ended);
    }
    world
}

fn drawn(world: &World) -> &[DrawnFault] {
    let drawn = world.records.iter().find_map(|record| match record {
        Happening::FaultsDrawn { schedule, faults, .. } if schedule == "weather" => Some(faults.as_slice()),
        _ => None,
    });
    drawn.expect("it was drawn")
}

fn begun(world: &World) -> Vec<(&str, u64)> {
    let begun = world.outputs.iter().filter_map(|output| match output {
        Output::BeginFault { order, .. } => Some((order.fault.as_str(), order.lease_ms)),
        _ => None,
    });
    begun.collect()
}

#[test]
fn what_was_drawn_is_told_and_begins_as_it_was_told_one_at_a_time() {
    let world = play(World::new(&plan(WAIT)), good_report);
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let drawn = drawn(&world);
    assert_eq!(drawn.len(), 6);
    for (number, one) in (0..).zip(drawn) {
        let own = 5_000 * number..=5_000 * (number + 1);
        assert!(own.contains(&one.after_ms) && own.contains(&(one.after_ms + one.lasts_ms)), "{one:?}");
        assert!((1_000..=2_000).contains(&one.lasts_ms), "{one:?}");
    }
    let told = drawn.iter().enumerate().map(|(at, one)| (format!("weather.{}.{}", at + 1, one.fault), one.lasts_ms));
    let told: Vec<(String, u64)> = told.collect();
    let told: Vec<(&str, u64)> = told.iter().map(|(name, lasts)| (name.as_str(), *lasts)).collect();
    assert_eq!(begun(&world), told);
}

#[test]
fn the_same_seed_draws_the_same_and_another_one_does_not() {
    let with = |seed: u64| {
        let text = plan(WAIT);
        let checked = crate::plan::check("plan.yaml", text.as_bytes(), &crate::plan::Inputs::default());
        let plan = checked.plan.expect("a good plan");
        let crate::plan::compiled::Does::Draw(step) = &plan.tests[0].steps[0].does else { panic!("it draws") };
        let key = meshproof_proto::order::StepKey { test: "one".to_owned(), step: "0".to_owned(), attempt: 1 };
        crate::run::drawing::draw(step, seed, &key)
    };
    assert_eq!(with(7), with(7));
    assert_ne!(with(7), with(8));
    let all = || (0..1_000).flat_map(with);
    let first = all().filter(|drawn| drawn.which == 0).count();
    assert!((2_700..3_300).contains(&first), "{first} of 6000");
    let (short, long) = (Duration::from_millis(1_100), Duration::from_millis(1_900));
    assert!(all().any(|drawn| drawn.lasts < short) && all().any(|drawn| drawn.lasts > long));
}

#[test]
fn a_schedule_is_over_with_its_test_and_what_has_not_begun_is_told() {
    let world = play(World::new(&plan("")), good_report);
    // nothing has to be waited for, so the steps are over before the first begins
    assert_eq!(begun(&world), []);
    assert_eq!(world.blamed()[0].1, "no fault of the schedule `weather` began before the test was over");

    let one = "      - expect: { fault: weather, is: ended }\n        eventually: 6s\n        optional: true\n";
    let world = play(World::new(&plan(one)), good_report);
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let begun = begun(&world).len();
    let text = format!("the test was over when {begun} of the 6 faults of `weather` had begun");
    let noted = |record: &Happening| matches!(record, Happening::Noted { text: told } if *told == text);
    assert!((1..3).contains(&begun) && world.records.iter().any(noted), "{:?}", world.records);
}

#[test]
fn it_fails_where_it_is_drawn_if_none_of_its_faults_did_anything_and_not_if_some_did() {
    let nothing = |fault: &str| FaultReport { effective: false, deviation_percent: None, ..good_report(fault) };
    let world = play(World::new(&plan(WAIT)), nothing);
    assert_eq!(world.blamed()[0].1, "none of the 6 faults of the schedule `weather` did anything");
    let some = |fault: &str| FaultReport { effective: fault.starts_with("weather.1"), ..good_report(fault) };
    let world = play(World::new(&plan(WAIT)), some);
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
}

#[test]
fn one_that_is_refused_is_an_error_with_the_agents_reason() {
    let is_first =
        |output: &Output| matches!(output, Output::BeginFault { order, .. } if order.fault.starts_with("weather.1."));
    let mut world = World::new(&plan(WAIT));
    world.silent = |output| matches!(output, Output::BeginFault { .. });
    let mut world = world.play_until(is_first);
    world.silent = |_| false;
    let Some(Output::BeginFault { agent, serial, order }) = world.outputs.iter().find(|output| is_first(output)) else {
        panic!("it began")
    };
    let refused = Input::FaultRefused {
        agent: agent.clone(),
        fault: order.fault.clone(),
        serial: *serial,
        reason: "no room".to_owned(),
    };
    world.inbox.push_back(refused);
    let world = play(world, good_report);
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    assert_eq!(world.blamed()[0].1, "agent `shop` did not begin the fault: no room");
}

#[test]
fn a_schedule_that_is_healed_begins_nothing_more_and_fails_nobody_if_something_was_done() {
    let heal = "      - heal: [weather]\n      - expect: { fault: weather, is: ended }\n";
    let a_while = "      - expect: { fault: weather, is: ended }\n        eventually: 10s\n        optional: true\n";
    let world = play(World::new(&plan(&format!("{a_while}{heal}"))), good_report);
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let begun = begun(&world).len();
    assert!((1..6).contains(&begun), "{begun}");
}

/// A run whose schedule is drawn, of which nothing has begun yet.
fn drawn_only() -> World {
    let mut world = World::new(&plan(WAIT));
    while !world.records.iter().any(|record| matches!(record, Happening::FaultsDrawn { .. })) {
        world.step();
    }
    assert_eq!(begun(&world), []);
    world
}

#[test]
fn one_that_is_due_while_its_agent_is_gone_is_begun_once_and_by_the_next_instance() {
    let is_first =
        |output: &Output| matches!(output, Output::BeginFault { order, .. } if order.fault.starts_with("weather.1."));
    let mut world = drawn_only();
    world.silent = |output| matches!(output, Output::BeginFault { .. });
    world.inbox.push_back(Input::AgentDown { agent: name("shop"), how: "SIGKILL".to_owned() });
    let mut world = world.play_until(is_first);
    world.inbox.push_back(Input::AgentBack { agent: name("shop") });
    world.step();
    let first = world.outputs.iter().find(|output| is_first(output)).expect("it is due").clone();
    let active = world.answers(&first);
    world.inbox.extend(active);
    world.silent = |_| false;
    let world = play(world, good_report);
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let names: Vec<&str> = begun(&world).into_iter().map(|(fault, _)| fault).collect();
    assert_eq!(names.len(), 6, "each once: {names:?}");
    let renewed = world.outputs.iter().filter(|output| matches!(output, Output::RenewFault { .. }));
    assert_eq!(renewed.count(), 0, "it had not begun");
}

#[test]
fn none_begins_at_an_agent_that_is_lost() {
    let mut world = drawn_only();
    world.inbox.push_back(Input::AgentDown { agent: name("shop"), how: "SIGKILL".to_owned() });
    world.inbox.push_back(Input::AgentLost { agent: name("shop"), reason: "no instance came".to_owned() });
    (0..2).for_each(|_| world.step());
    let before = world.outputs.len();
    let world = play(world, good_report);
    assert_eq!(world.finished, Some((Verdict::Error, Exit::MeshFailed)));
    let at_it = world.outputs[before..].iter().filter(|output| matches!(output, Output::BeginFault { .. }));
    assert_eq!(at_it.count(), 0);
}
