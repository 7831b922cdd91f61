//! What programs ask of a run, and what they are told.

use std::collections::BTreeMap;

use meshproof_proto::event::Fact;
use meshproof_proto::sync::{Answer, Ask, Told};

use super::world::{World, name};
use crate::run::{Input, Output};

/// Services without groups take part too: everybody who is started.
const PLAN: &str = "meshproof: 1\nplan: p\nservices:\n  a: { exec: { argv: [a] } }\n  b: { exec: { argv: [b] } }\ntests:\n  - id: t\n    steps: [{ at: a, exec: { argv: [x] }, within: 60s }]\n";

/// A run whose test goes on, and hears this from these programs.
fn asked(asks: &[(&str, u64, Ask)]) -> World {
    let mut world = World::new(PLAN);
    world.silent = |output| matches!(output, Output::Order { .. });
    let mut world = world.play_until(|output| matches!(output, Output::Order { .. }));
    for (agent, number, ask) in asks {
        let fact = Fact::ProgramAsked { number: *number, ask: ask.clone() };
        world.run.handle(Input::Fact { agent: name(agent), fact }, world.now);
        world.collect();
    }
    world
}

fn told(world: &World) -> BTreeMap<(&str, u64), Vec<Told>> {
    let mut told: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for output in &world.outputs {
        if let Output::Answer { agent, answers } = output {
            for Answer { number, told: what } in answers {
                told.entry((agent.as_str(), *number)).or_default().push(what.clone());
            }
        }
    }
    told
}

fn signal() -> Ask {
    Ask::Signal { name: "up".to_owned() }
}

fn everybody() -> Ask {
    Ask::Barrier { name: "up".to_owned(), of: None }
}

#[test]
fn a_barrier_of_programs_opens_when_everybody_has_come() {
    let asks = [("a", 1, signal()), ("a", 2, everybody())];
    assert_eq!(told(&asked(&asks)), [(("a", 1), vec![Told::Count(1)])].into());
    let asks = [asks.as_slice(), &[("b", 7, signal())]].concat();
    let world = asked(&asks);
    let expected = [(("a", 1), vec![Told::Count(1)]), (("a", 2), vec![Told::Open]), (("b", 7), vec![Told::Count(2)])];
    assert_eq!(told(&world), expected.into());
}

#[test]
fn whoever_subscribes_is_told_everything_in_order_until_it_gives_up() {
    let publish = |value: &str| Ask::Publish { topic: "t".to_owned(), value: value.to_owned() };
    let asks = [
        ("a", 1, publish("1")),
        ("b", 1, Ask::Subscribe { topic: "t".to_owned() }),
        ("a", 2, publish("2")),
        ("b", 2, Ask::GiveUp { number: 1 }),
        ("a", 3, publish("3")),
    ];
    let values = |from, value: &str| Told::Values { from, values: vec![value.to_owned()] };
    assert_eq!(told(&asked(&asks))[&("b", 1)], [values(0, "1"), values(1, "2")]);
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let nobody = Ask::Barrier { name: "up".to_owned(), of: Some("ghosts".to_owned()) };
    let world = asked(&[("a", 1, nobody)]);
    assert_eq!(told(&world)[&("a", 1)], [Told::Refused("there is no group or member `ghosts`".to_owned())]);
}

#[test]
fn the_programs_of_an_agent_that_is_gone_are_not_told_and_the_others_are() {
    let mut world = asked(&[("a", 1, everybody()), ("b", 1, everybody()), ("a", 2, signal())]);
    world.run.handle(Input::AgentDown { agent: name("a"), how: "killed".to_owned() }, world.now);
    let fact = Fact::ProgramAsked { number: 2, ask: signal() };
    world.run.handle(Input::Fact { agent: name("b"), fact }, world.now);
    world.collect();
    let told = told(&world);
    assert_eq!(told.get(&("a", 1)), None);
    assert_eq!(told[&("b", 1)], [Told::Open]);
}

#[test]
fn who_waits_when_a_test_is_over_is_told_so() {
    let text = format!("{PLAN}  - id: two\n    steps: [{{ say: hello }}]\n");
    let mut world = World::new(&text);
    world.silent = |output| matches!(output, Output::Order { .. });
    let mut world = world.play_until(|output| matches!(output, Output::Order { .. }));
    let fact = Fact::ProgramAsked { number: 1, ask: everybody() };
    world.run.handle(Input::Fact { agent: name("a"), fact }, world.now);
    let world = world.play();
    assert_eq!(told(&world)[&("a", 1)], [Told::Refused("the test is over".to_owned())]);
}
