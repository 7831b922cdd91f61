//! Agents whose disks are full.

use std::time::Duration;

use meshproof_proto::event::Fact;
use meshproof_proto::verdict::{Exit, Verdict};

use super::world::{PLAN, World, line, name};
use crate::record::{Ending, Happening};
use crate::run::limits::STALLED_AT_MOST;
use crate::run::{Input, Output};

fn is_the_order(output: &Output) -> bool {
    matches!(output, Output::Order { order, .. } if order.key.test == "one" && order.key.step == "1")
}

/// The agent at which the second step was ordered has no space.
fn stalled() -> World {
    let mut world = World::new(PLAN);
    world.silent = is_the_order;
    let mut world = world.play_until(is_the_order);
    world.silent = |_| false;
    tell(&mut world, Fact::Stalled { why: "full".to_owned() });
    world
}

fn tell(world: &mut World, fact: Fact) {
    world.run.handle(Input::Fact { agent: name("shop"), fact }, world.now);
}

/// Lets time pass.
fn wait(world: &mut World, time: Duration) {
    let end = world.now + time;
    while !world.inbox.is_empty() || world.run.poll_timeout().is_some_and(|due| due <= end) {
        world.step();
    }
    world.now = end;
}

/// The agent does as it was told.
fn answer(world: &mut World) {
    let answers = world.outputs.iter().find(|output| is_the_order(output)).map(|order| world.answers(order));
    world.inbox.extend(answers.expect("it was ordered"));
}

#[test]
fn the_time_without_space_is_neither_the_steps_nor_the_tests() {
    let mut world = stalled();
    wait(&mut world, STALLED_AT_MOST - Duration::from_secs(1));
    tell(&mut world, Fact::GoesOn { after_ms: 1.0 });
    answer(&mut world);
    let world = world.play();
    assert_eq!((world.ending("one", "1"), world.verdict_of("one")), (Some(Ending::Pass), Some(Verdict::Pass)));
}

#[test]
fn a_step_that_never_gets_space_has_no_result_and_one_that_gets_it_has_its_own_time_only() {
    let mut never = stalled();
    wait(&mut never, STALLED_AT_MOST + Duration::from_secs(1));
    assert_eq!(never.ending("one", "1"), Some(Ending::Error));
    let mut silent = stalled();
    wait(&mut silent, Duration::from_secs(60));
    tell(&mut silent, Fact::GoesOn { after_ms: 1.0 });
    wait(&mut silent, Duration::from_secs(120));
    assert_eq!(silent.ending("one", "1"), Some(Ending::Error), "its time is as long as ever");
    let silent = silent.play();
    assert_eq!(silent.finished, Some((Verdict::Error, Exit::MeshFailed)));
    assert!(silent.blamed().iter().any(|(at, _)| *at == line("http: { post")), "{:?}", silent.blamed());
}

#[test]
fn nobody_is_late_for_the_time_in_which_the_orchestrator_stood_still() {
    let mut world = World::new(PLAN);
    world.silent = is_the_order;
    let mut world = world.play_until(is_the_order);
    world.silent = |_| false;
    world.now += Duration::from_secs(500);
    world.run.handle(Input::StoodStill { lasted_ms: 500_000 }, world.now);
    world.run.handle_timeout(world.now);
    answer(&mut world);
    let world = world.play();
    assert_eq!((world.ending("one", "1"), world.verdict_of("one")), (Some(Ending::Pass), Some(Verdict::Pass)));
    let noted =
        |record: &Happening| matches!(record, Happening::Noted { text } if text.contains("stood still for 500.0 s"));
    assert_eq!(world.records.iter().filter(|record| noted(record)).count(), 1);
}
