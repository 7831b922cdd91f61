//! How a run goes from its beginning to its verdict, as the sample plan's journal tells it in the order of its lines.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::observed::SAMPLE;

const SERVICES: [&str; 2] = ["ledger", "shop"];

/// Where in the journal something stands for which this holds.
fn places(is: impl Fn(&Value) -> bool) -> Vec<usize> {
    let records = SAMPLE.journal.records().iter().enumerate();
    records.filter(|(_, record)| is(record)).map(|(place, _)| place).collect()
}

/// The only place of what the orchestrator said of that kind.
#[track_caller]
fn place(kind: &str) -> usize {
    let places = places(|record| record["what"].get(kind).is_some());
    let [place] = places[..] else { panic!("one {kind} was expected, they are at {places:?}") };
    place
}

/// Where the orchestrator says that step `key` of the first test began, or ended.
#[track_caller]
fn step(kind: &str, key: &str) -> usize {
    let at = |record: &Value| {
        let said = &record["what"][kind];
        let step = if kind == "step-ended" { &said["step"] } else { said };
        step["key"]["test"] == "order-is-settled-despite-faults" && step["key"]["step"] == key
    };
    let [place] = places(at)[..] else { panic!("step {key} has one {kind}") };
    place
}

#[test]
fn each_service_has_exactly_one_agent_of_its_own() {
    let joined: Vec<&str> = SAMPLE.journal.all("agent-joined").filter_map(|joined| joined["name"].as_str()).collect();
    assert_eq!(BTreeSet::from_iter(&joined), BTreeSet::from_iter(&SERVICES));
    assert_eq!(joined.len(), SERVICES.len(), "{joined:?}");
    let mut instances: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for record in SAMPLE.journal.records() {
        if let (Some(from), Some(instance)) = (record["from"].as_str(), record["instance"].as_str()) {
            instances.entry(from).or_default().insert(instance);
        }
    }
    assert_eq!(Vec::from_iter(instances.keys().copied()), SERVICES, "both told something");
    assert!(instances.values().all(|of| of.len() == 1), "{instances:?}");
}

#[test]
fn all_agents_join_then_each_acknowledges_the_plan_then_the_first_step_begins() {
    let last_joined = places(|record| record["what"].get("agent-joined").is_some()).pop().expect("agents joined");
    let initialized = places(|record| record["what"].get("initialized").is_some());
    let who: BTreeSet<&str> = SAMPLE.journal.all("initialized").filter_map(|said| said["agent"].as_str()).collect();
    assert_eq!((who, initialized.len()), (BTreeSet::from(SERVICES), 2));
    let first_step = places(|record| record["what"].get("step-began").is_some())[0];
    let order = [last_joined, place("mesh-formed"), initialized[0], initialized[1], first_step];
    assert!(order.is_sorted(), "joined, formed, initialized, began: {order:?}");
}

#[test]
fn what_an_agent_sees_is_in_the_journal_while_the_step_goes_on() {
    let calls = places(|record| record["what"]["fact"].get("stub-called").is_some());
    let (began, ended) = (step("step-began", "3"), step("step-ended", "3"));
    let meanwhile = calls.iter().filter(|call| (began..ended).contains(*call)).count();
    // the step waits for the ledger for five seconds, and the shop is charged three times within three
    assert_eq!((calls.len(), meanwhile), (3, 3), "calls at {calls:?}, the step from {began} to {ended}");
}

#[test]
fn the_verdict_comes_last_and_everything_expected_came_before_it() {
    let journal = &SAMPLE.journal;
    let end = place("run-ended");
    assert_eq!(end, journal.records().len() - 1);
    let expected = journal.only("expected")["steps"].as_array().expect("a list").clone();
    let ended: Vec<&Value> = journal.all("step-ended").map(|ended| &ended["step"]["key"]).collect();
    let missing: Vec<&Value> = expected.iter().filter(|key| !ended.contains(key)).collect();
    assert!(!expected.is_empty() && missing.is_empty(), "{missing:#?}");
    let results: BTreeSet<&str> = journal.facts("step-ended").map(|fact| fact.from).collect();
    assert_eq!(results, BTreeSet::from(SERVICES), "every agent's results are there");
}
