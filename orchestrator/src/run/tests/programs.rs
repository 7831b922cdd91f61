//! What programs ask of a run, and what they are told.

use std::collections::BTreeMap;

use meshproof_proto::event::Fact;
use meshproof_proto::sync::{Answer, Ask, MemberAsked, Told};
use meshproof_proto::verdict::Verdict;

use super::world::{World, left, name};
use crate::record::Happening;
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

/// Four members at two agents, of whom nobody ends by itself.
const SHARED: &str = "meshproof: 1\nplan: p\ngroups:\n  nodes: { count: 4, per-agent: 2, exec: { argv: [node] } }\ntests:\n  - id: t\n    steps: [{ barrier: { name: up, of: nodes }, within: 60s }]\n";

/// A run of that plan whose test goes on.
fn shared() -> World {
    let mut world = World::new(SHARED);
    world.silent = |_| false;
    let is_last = |output: &Output| matches!(output, Output::Change { service, .. } if service.as_str() == "nodes-4");
    world.play_until(is_last)
}

/// Members ask this through that agent, in one moment.
fn told_together(world: &mut World, agent: &str, asks: &[(&str, u64, Ask)]) {
    let asked = asks.iter().map(|(member, number, ask)| MemberAsked {
        member: name(member),
        number: *number,
        ask: ask.clone(),
    });
    let fact = Fact::ProgramsAsked { asked: asked.collect() };
    world.run.handle(Input::Fact { agent: name(agent), fact }, world.now);
    world.collect();
}

#[test]
fn members_that_share_an_agent_come_each_for_themselves_and_are_answered_in_one_message() {
    let mut world = shared();
    let tests_at: Vec<&str> = world
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::BeginTest { agent, .. } => Some(agent.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(tests_at, ["nodes-1", "nodes-3"], "a test begins at agents");
    let of_all = || Ask::Barrier { name: "up".to_owned(), of: Some("nodes".to_owned()) };
    told_together(
        &mut world,
        "nodes-1",
        &[("nodes-1", 1, signal()), ("nodes-2", 2, signal()), ("nodes-2", 4, of_all())],
    );
    let answers = |world: &World| {
        let of = |output: &Output| matches!(output, Output::Answer { .. }).then(|| output.clone());
        world.outputs.iter().filter_map(of).collect::<Vec<_>>()
    };
    let counts = [(1, 1), (2, 2)].map(|(number, count)| Answer { number, told: Told::Count(count) });
    assert_eq!(answers(&world), [Output::Answer { agent: name("nodes-1"), answers: counts.to_vec() }]);
    told_together(&mut world, "nodes-3", &[("nodes-3", 1, signal()), ("nodes-4", 2, signal())]);
    assert_eq!(told(&world)[&("nodes-1", 4)], [Told::Open], "all four have come");
}

#[test]
fn an_agent_speaks_for_its_own_members_only() {
    let mut world = shared();
    told_together(&mut world, "nodes-3", &[("nodes-2", 1, signal()), ("nodes-4", 2, signal())]);
    let why = "`nodes-2` has another agent than `nodes-3`".to_owned();
    assert_eq!(told(&world)[&("nodes-3", 1)], [Told::Refused(why)]);
    assert_eq!(told(&world)[&("nodes-3", 2)], [Told::Count(1)], "the other one does not count");
}

#[test]
fn all_members_of_an_agent_that_is_lost_are_named_and_gone() {
    let mut world = shared();
    let of_all = Ask::Barrier { name: "up".to_owned(), of: None };
    told_together(&mut world, "nodes-1", &[("nodes-1", 1, of_all)]);
    let lost = Input::AgentLost { agent: name("nodes-3"), reason: "it was killed".to_owned() };
    world.run.handle(lost, world.now);
    world.collect();
    let gone = "4 are needed and 2 are left; gone: nodes-3, nodes-4".to_owned();
    assert_eq!(told(&world)[&("nodes-1", 1)], [Told::Refused(gone)]);
    let titles: Vec<&str> = world.blamed().into_iter().map(|(_, title)| title).collect();
    assert!(titles.contains(&"agent `nodes-3` was lost, and with it nodes-4: it was killed"), "{titles:?}");
    assert_eq!(world.play().finished.map(|(verdict, _)| verdict), Some(Verdict::Error));
}

#[test]
fn what_programs_of_a_group_measure_is_held_against_the_plan_and_begins_anew_with_each_test() {
    let expect = "{ expect: { metric: nodes.heard, p99: \"< 5s\" }, eventually: 60s }";
    let text = SHARED.replace("[{ barrier: { name: up, of: nodes }, within: 60s }]", &format!("[{expect}]"));
    let play = |numbers: &[(&str, f64)], text: &str| {
        let mut world = World::new(text);
        world.exits = (1..=4).map(|number| (name(&format!("nodes-{number}")), 0)).collect();
        let is_last =
            |output: &Output| matches!(output, Output::Change { service, .. } if service.as_str() == "nodes-4");
        let mut world = world.play_until(is_last);
        let measured = |value: f64| Ask::Measured { metric: "heard".to_owned(), value };
        let asks: Vec<_> = numbers.iter().map(|(member, value)| (*member, 1, measured(*value))).collect();
        told_together(&mut world, "nodes-1", &asks);
        world.play()
    };
    let verdict = |world: &World| world.finished.map(|(verdict, _)| verdict);
    let well = [("nodes-1", 1.5), ("nodes-2", 4.5)];
    let passed = play(&well, &text);
    assert_eq!(verdict(&passed), Some(Verdict::Pass), "{:?}", passed.failures());
    assert_eq!(verdict(&play(&[("nodes-1", 1.5), ("nodes-2", 5.5)], &text)), Some(Verdict::Fail));
    assert_eq!(verdict(&play(&[], &text)), Some(Verdict::Fail), "nobody has told any");
    let again = text.clone() + &format!("  - id: two\n    steps: [{expect}]\n");
    assert_eq!(verdict(&play(&well, &again)), Some(Verdict::Fail), "what the first test measured is not the second's");
}

#[test]
fn a_member_too_many_is_refused_by_name_and_the_run_goes_on_without_it() {
    let extra = ("nodes-5", 1, signal());
    let mut world = shared();
    let fact = Fact::ProgramAsked { number: 1, ask: signal() };
    for _ in 0..2 {
        world.run.handle(Input::Fact { agent: name("nodes-5"), fact: fact.clone() }, world.now);
    }
    told_together(&mut world, "nodes-3", &[("nodes-3", 1, signal()), extra]);
    let why = Told::Refused("`nodes-5` is not in the plan and takes no part".to_owned());
    assert_eq!(told(&world)[&("nodes-5", 1)], [why.clone(), why.clone()]);
    assert_eq!(told(&world)[&("nodes-3", 1)], [Told::Count(1), why], "it was not counted, whoever speaks for it");
    let is_note =
        |record: &&Happening| matches!(record, Happening::Noted { text } if text.starts_with("`nodes-5` is not"));
    assert_eq!(world.records.iter().filter(is_note).count(), 1, "people hear of it once");
    told_together(&mut world, "nodes-1", &[("nodes-1", 1, signal()), ("nodes-2", 2, signal())]);
    told_together(&mut world, "nodes-3", &[("nodes-4", 4, signal())]);
    world.exits = (1..=4).map(|number| (name(&format!("nodes-{number}")), 0)).collect();
    let ends = (1..=4).flat_map(|number| left(&name(&format!("nodes-{number}")), 0));
    world.inbox.extend(ends.collect::<Vec<_>>());
    assert_eq!(world.play().finished.map(|(verdict, _)| verdict), Some(Verdict::Pass));
}
