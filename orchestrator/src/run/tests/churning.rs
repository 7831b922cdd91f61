//! Members of a group that go and come back.

use meshproof_proto::event::Fact;
use meshproof_proto::sync::{Ask, MemberEnd};
use meshproof_proto::verdict::{Exit, Verdict};

use super::world::{World, left, name};
use crate::record::Happening;
use crate::run::{Input, Output, ProcessOrder};

const MEMBERS: [&str; 3] = ["nodes-1", "nodes-2", "nodes-3"];

fn plan(over: &str) -> String {
    format!(
        "meshproof: 1\nplan: p\ngroups: {{ nodes: {{ count: 3, exec: {{ argv: [node] }} }} }}\ntests:\n  - id: t\n    timeout: 1d\n    steps:\n\
         \x20     - churn: {{ of: nodes, times: 4, away: [1s, 2s] }}\n        for: {over}\n"
    )
}

/// Who was killed, and who was started again, in order.
fn moves(world: &World) -> Vec<(&str, &str)> {
    let moves = world.outputs.iter().filter_map(|output| match output {
        Output::Change { key, service, what } if key.step.starts_with("churn.") => match what {
            ProcessOrder::Kill => Some(("goes", service.as_str())),
            ProcessOrder::Restart(_) => Some(("comes", service.as_str())),
            _ => None,
        },
        _ => None,
    });
    moves.collect()
}

fn well(world: &mut World) {
    for member in MEMBERS {
        let ask = Ask::Ended(MemberEnd::Success);
        world.inbox.push_back(Input::Fact { agent: name(member), fact: Fact::ProgramAsked { number: 1, ask } });
    }
}

/// Until so many moves are made; what becomes of a program that is killed is told as of any other.
fn played(moved: usize) -> World {
    let mut world = World::new(&plan("40s"));
    let mut told = 0;
    while moves(&world).len() < moved {
        world.step();
        let gone = moves(&world).get(told).filter(|(how, _)| *how == "goes").map(|(_, who)| name(who));
        told += usize::from(moves(&world).len() > told);
        world.inbox.extend(gone.iter().flat_map(|member| left(member, 137)));
    }
    world
}

#[test]
fn members_go_one_at_a_time_and_come_back_and_nothing_is_held_against_them() {
    let mut world = played(8);
    well(&mut world);
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let moves = moves(&world);
    assert_eq!(moves.len(), 8);
    for pair in moves.chunks(2) {
        assert_eq!((pair[0].0, pair[1].0, pair[0].1), ("goes", "comes", pair[1].1), "{moves:?}");
    }
    let gone = |record: &&Happening| matches!(record, Happening::Noted { text } if text.contains(" goes, for "));
    assert_eq!(world.records.iter().filter(gone).count(), 4, "{:?}", world.records);
}

#[test]
fn the_same_seed_has_the_same_ones_go() {
    let (one, other) = (played(8), played(8));
    assert_eq!(moves(&one), moves(&other));
}

#[test]
fn a_test_that_is_over_before_the_end_of_its_churn_says_so_and_one_in_which_nobody_went_fails() {
    let mut world = played(2);
    well(&mut world);
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let text = "the test was over when 1 of 4 absences of `nodes` had begun";
    assert!(world.records.iter().any(|record| matches!(record, Happening::Noted { text: noted } if noted == text)));

    let mut world = World::new(&plan("20h"));
    world.exits = MEMBERS.into_iter().map(|member| (name(member), 0)).collect();
    let world = world.play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    assert_eq!(world.blamed(), [(8, "no member of `nodes` went before the test was over")]);
}
