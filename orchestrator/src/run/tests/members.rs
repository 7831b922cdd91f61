//! Members of groups: started for each test, and held to the rule of their group.

use meshproof_proto::event::Fact;
use meshproof_proto::sync::{Ask, MemberEnd};
use meshproof_proto::verdict::{Exit, Verdict};

use super::world::{World, left, name};
use crate::record::Happening;
use crate::run::{Input, Launch, Output, ProcessOrder};

/// Three nodes and a seed, and a test with this beside its one step.
fn plan(beside: &str) -> String {
    let groups = "  nodes: { count: 3, exec: { argv: [node] }, params: { rounds: \"7\" } }\n  seeds: { count: 1, exec: { argv: [seed] } }\n";
    format!("meshproof: 1\nplan: p\ngroups:\n{groups}tests:\n  - id: t\n{beside}    steps: [{{ say: hello }}]\n")
}

fn with_exits(text: &str, exits: &[(&str, i32)]) -> World {
    let mut world = World::new(text);
    world.exits = exits.iter().map(|(member, code)| (name(member), *code)).collect();
    world
}

fn is_launch(output: &Output) -> Option<&Launch> {
    match output {
        Output::Change { what: ProcessOrder::Restart(launch), .. } => Some(launch),
        _ => None,
    }
}

const WELL: [(&str, i32); 4] = [("nodes-1", 0), ("nodes-2", 0), ("nodes-3", 0), ("seeds-1", 0)];

#[test]
fn every_member_is_started_for_each_test_and_a_test_passes_when_all_have_gone_well() {
    let text = plan("") + "  - id: two\n    steps: [{ say: again }]\n";
    let world = with_exits(&text, &WELL).play();
    assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", world.failures());
    let launched: Vec<&Launch> = world.outputs.iter().filter_map(is_launch).collect();
    let names: Vec<&str> = launched.iter().map(|launch| launch.service.as_str()).collect();
    let each = ["nodes-1", "nodes-2", "nodes-3", "seeds-1"];
    assert_eq!(names, [each, each].concat());
    assert!(!world.outputs.iter().any(|output| matches!(output, Output::Launch(_))), "they are nobody's services");
    let of = |launch: &Launch, variable: &str| {
        launch.env.iter().find(|(name, _)| name == variable).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let told = |launch: &Launch| {
        [
            "TEST_CASE",
            "TEST_GROUP_ID",
            "TEST_GROUP_INSTANCE_COUNT",
            "TEST_INSTANCE_COUNT",
            "TEST_INSTANCE_PARAMS",
            "HOSTNAME",
        ]
        .map(|variable| of(launch, variable))
    };
    assert_eq!(told(launched[1]), ["t", "nodes", "3", "4", "rounds=7", "nodes-2"]);
    assert_eq!(told(launched[7]), ["two", "seeds", "1", "4", "", "seeds-1"]);
}

#[test]
fn a_member_that_does_not_go_well_fails_the_test_at_the_rule_and_is_named() {
    let exits = [("nodes-1", 0), ("nodes-2", 3), ("nodes-3", 0), ("seeds-1", 0)];
    let world = with_exits(&plan("    pass-when: { nodes: all }\n"), &exits).play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    let [(line, title)] = world.blamed()[..] else { panic!("{:?}", world.blamed()) };
    assert_eq!(line, 8, "{title}");
    assert!(title.starts_with("2 of 3 members of `nodes` went well, 3 are needed: nodes-2: exit code 3"), "{title}");
}

#[test]
fn as_many_as_the_rule_says_are_enough_and_who_is_missing_is_said() {
    let exits = [("nodes-1", 0), ("nodes-2", 3), ("nodes-3", 0), ("seeds-1", 0)];
    for rule in ["\">= 60%\"", "\">= 2\""] {
        let world = with_exits(&plan(&format!("    pass-when: {{ nodes: {rule} }}\n")), &exits).play();
        assert_eq!(world.finished, Some((Verdict::Pass, Exit::Passed)), "{rule}: {:?}", world.failures());
        let noted = world.records.iter().any(|record| {
            matches!(record, Happening::Noted { text } if text == "2 of 3 members of `nodes` went well, 2 are needed: nodes-2: exit code 3")
        });
        assert!(noted, "{:?}", world.records);
    }
}

#[test]
fn who_has_not_ended_when_the_time_of_the_test_is_over_is_named_and_ended() {
    let exits = [("nodes-1", 0), ("nodes-3", 0), ("seeds-1", 0)];
    let world = with_exits(&plan("    timeout: 10s\n"), &exits).play();
    assert_eq!(world.finished, Some((Verdict::Fail, Exit::Failed)));
    let title = world.blamed()[0].1;
    assert!(title.ends_with("3 are needed: 1 had not ended: nodes-2"), "{title}");
    let killed: Vec<&str> = world
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Change { what: ProcessOrder::Kill, service, .. } => Some(service.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(killed, ["nodes-2"], "nobody is ended twice");
}

#[test]
fn what_a_member_says_of_itself_counts_and_the_first_reason_is_kept() {
    let failure = |why: &str| Ask::Ended(MemberEnd::Failure { why: why.to_owned() });
    let says = |ask: Ask| Input::Fact { agent: name("nodes-2"), fact: Fact::ProgramAsked { number: 1, ask } };
    let exits = [("nodes-1", 0), ("nodes-3", 0), ("seeds-1", 0)];
    let told = |said: Vec<Ask>| {
        let mut world = with_exits(&plan(""), &exits).play_until(|output| is_launch(output).is_some());
        world.inbox.extend(said.into_iter().map(says));
        world.inbox.extend(left(&name("nodes-2"), 0));
        let world = world.play();
        (world.finished.map(|(verdict, _)| verdict), world.blamed().first().map(|(_, title)| (*title).to_owned()))
    };
    assert_eq!(told(vec![Ask::Ended(MemberEnd::Success)]), (Some(Verdict::Pass), None));
    let (verdict, title) = told(vec![failure("no peers"), failure("too late"), Ask::Ended(MemberEnd::Success)]);
    assert_eq!(verdict, Some(Verdict::Fail));
    assert!(title.expect("it is told").contains("nodes-2: it failed: no peers"));
}

#[test]
fn a_barrier_fails_for_a_member_that_is_gone_only_after_what_it_told_last_could_come() {
    let text = plan("").replace("[{ say: hello }]", "[{ barrier: { name: up, of: nodes }, within: 60s }]");
    let signals = |member: &str| Input::Fact {
        agent: name(member),
        fact: Fact::ProgramAsked { number: 1, ask: Ask::Signal { name: "up".to_owned() } },
    };
    // all of them end at once, and what two of them told comes after their end
    let mut world = with_exits(&text, &WELL).play_until(|output| is_launch(output).is_some());
    world.silent = |_| false;
    for _ in 0..30 {
        world.step();
        if world.records.iter().filter(|record| matches!(record, Happening::MemberEnded { .. })).count() == 4 {
            break;
        }
    }
    world.inbox.extend(["nodes-1", "nodes-2"].map(signals));
    let (mut late, mut all) = (world, with_exits(&text, &WELL).play_until(|output| is_launch(output).is_some()));
    late.step();
    let late = late.play();
    assert!(late.blamed()[0].1.contains("3 are needed and 2 are left; gone: nodes-3"), "{:?}", late.blamed());
    all.inbox.extend(["nodes-1", "nodes-2", "nodes-3"].map(signals));
    assert_eq!(all.play().finished, Some((Verdict::Pass, Exit::Passed)));
}

#[test]
fn a_member_that_cannot_be_started_makes_the_run_an_error() {
    let mut world = with_exits(&plan(""), &WELL);
    world.silent = |output| is_launch(output).is_some_and(|launch| launch.service.as_str() == "nodes-1");
    let world = world.play();
    assert_eq!(world.finished.map(|(verdict, _)| verdict), Some(Verdict::Error));
    assert!(world.blamed()[0].1.contains("nodes-1"), "{:?}", world.blamed());
}
