//! Work that is addressed to a group.

use meshproof_proto::event::Fact;
use meshproof_proto::sync::{Ask, MemberEnd};
use meshproof_proto::verdict::Verdict;

use super::world::{World, left, name};
use crate::record::Happening;
use crate::run::{Input, Output};

const MEMBERS: [&str; 3] = ["nodes-1", "nodes-2", "nodes-3"];

/// Three members, a service beside them, and a test of these steps.
fn plan(steps: &str) -> String {
    format!(
        "meshproof: 1\nplan: p\nservices: {{ shop: {{ exec: {{ argv: [shop] }} }} }}\n\
         groups: {{ nodes: {{ count: 3, exec: {{ argv: [node] }}, ports: {{ http: dynamic }} }} }}\n\
         tests:\n  - id: t\n    steps:\n{steps}"
    )
}

const ASKS: &str = "      - { to: nodes, http: { get: / } }\n";

/// Who acts in each step, in order.
fn acts(world: &World) -> Vec<(&str, &str)> {
    let ordered = world.outputs.iter().filter_map(|output| match output {
        Output::Order { agent, order, .. } => Some((order.key.step.as_str(), agent.as_str())),
        _ => None,
    });
    ordered.collect()
}

fn is_first(output: &Output) -> bool {
    matches!(output, Output::Order { order, .. } if order.key.step == "0")
}

/// Its first step is ordered, and everybody has said that they are well.
fn begun(text: &str) -> World {
    let mut world = World::new(text);
    world.silent = is_first;
    let mut world = world.play_until(is_first);
    for member in MEMBERS {
        let ask = Ask::Ended(MemberEnd::Success);
        world.inbox.push_back(Input::Fact { agent: name(member), fact: Fact::ProgramAsked { number: 1, ask } });
    }
    world
}

fn answer_first(world: &mut World) {
    let order = world.outputs.iter().find(|output| is_first(output)).expect("ordered").clone();
    let answers = world.answers(&order);
    world.inbox.extend(answers);
}

fn down(world: &mut World, agent: &str) {
    world.inbox.push_back(Input::AgentDown { agent: name(agent), how: "SIGKILL".to_owned() });
}

fn back(world: &mut World, agent: &str) {
    world.inbox.push_back(Input::AgentBack { agent: name(agent) });
}

#[test]
fn members_of_a_group_take_turns_at_what_any_of_them_may_do() {
    let beside =
        "      - { at: nodes, exec: { argv: [date] } }\n      - { at: shop, to: nodes.http, http: { get: / } }\n";
    let mut world = begun(&plan(&(ASKS.repeat(4) + beside)));
    answer_first(&mut world);
    let world = world.play();
    assert_eq!(world.finished.map(|(verdict, _)| verdict), Some(Verdict::Pass), "{:?}", world.failures());
    let turns =
        [("0", "nodes-1"), ("1", "nodes-2"), ("2", "nodes-3"), ("3", "nodes-1"), ("4", "nodes-2"), ("5", "shop")];
    assert_eq!(acts(&world), turns);
    let mut targets = world.outputs.iter().filter_map(|output| match output {
        Output::Order { order, .. } => order.action.clone().target_mut().map(|target| target.label.clone()),
        _ => None,
    });
    assert_eq!(targets.next_back().as_deref(), Some("nodes-3.http"));
}

#[test]
fn whose_agent_is_gone_or_whose_program_has_ended_is_passed_over() {
    let mut world = begun(&plan(&ASKS.repeat(5)));
    down(&mut world, "nodes-2");
    answer_first(&mut world);
    let mut world = world.play_until(|output| matches!(output, Output::Order { order, .. } if order.key.step == "2"));
    assert_eq!(acts(&world), [("0", "nodes-1"), ("1", "nodes-3"), ("2", "nodes-1")]);
    // before the answer to that one
    for input in left(&name("nodes-3"), 0).into_iter().rev() {
        world.inbox.push_front(input);
    }
    world.inbox.push_front(Input::AgentBack { agent: name("nodes-2") });
    let world = world.play();
    assert_eq!(world.finished.map(|(verdict, _)| verdict), Some(Verdict::Pass), "{:?}", world.failures());
    assert!(acts(&world)[3..].iter().all(|(_, agent)| *agent != "nodes-3"), "{:?}", acts(&world));
    assert!(acts(&world)[3..].iter().any(|(_, agent)| *agent == "nodes-2"), "{:?}", acts(&world));
}

#[test]
fn a_step_that_may_be_done_twice_moves_off_an_agent_that_is_gone_and_any_other_waits_for_its_next_instance() {
    let text = plan("      - { to: nodes, http: { get: / }, idempotent: true }\n");
    let mut world = begun(&text);
    world.silent = |_| false;
    down(&mut world, "nodes-1");
    let mut world = world.play_until(|output| {
        is_first(output) && !matches!(output, Output::Order { agent, .. } if agent.as_str() == "nodes-1")
    });
    assert_eq!(acts(&world), [("0", "nodes-1"), ("0", "nodes-2")]);
    back(&mut world, "nodes-1");
    let world = world.play();
    assert_eq!(world.finished.map(|(verdict, _)| verdict), Some(Verdict::Pass), "{:?}", world.failures());
    let moved = "step 0 moves to `nodes-2`: agent `nodes-1` is gone";
    assert!(world.records.iter().any(|record| matches!(record, Happening::Noted { text } if text == moved)));
    let who = world.records.iter().find_map(|record| match record {
        Happening::StepEnded { step, .. } if step.key.step == "0" => step.agent.as_ref(),
        _ => None,
    });
    assert_eq!(who, Some(&name("nodes-2")), "who did it");

    let mut world = begun(&plan(ASKS));
    down(&mut world, "nodes-1");
    for _ in 0..10 {
        world.step();
        if world.inbox.is_empty() {
            break;
        }
    }
    back(&mut world, "nodes-1");
    let world = world.play();
    assert_eq!(acts(&world), [("0", "nodes-1")]);
    assert!(
        world
            .outputs
            .iter()
            .any(|output| matches!(output, Output::OrderAgain { agent, .. } if agent.as_str() == "nodes-1"))
    );
    assert_eq!(world.finished.map(|(verdict, _)| verdict), Some(Verdict::Pass), "{:?}", world.failures());
}
