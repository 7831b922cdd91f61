//! A service that means harm: each of its tricks ends in a failure that is clear, comes in time, and is safe to look at.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::journal::Journal;
use crate::scene::{Scene, has_python, root};

const PLAN: &str = "testdata/hostile/plan.yaml";

/// The same tricks, each as the one word that a plan may expect; and what the agents' memory came to.
const WORDS: &str = "testdata/hostile/words.yaml";

/// All tricks together take some seconds of waiting; the rest is a busy machine, and the build of the services.
const IN_TIME: Duration = Duration::from_secs(120);

/// What a terminal would obey, and letters that turn the direction of reading.
fn is_harmful(found: char) -> bool {
    (found.is_control() && found != '\n') || matches!(found, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn each_trick_is_the_right_word_for_a_plan_within_its_time_and_the_agents_stay_small() {
    if !has_python() {
        return;
    }
    let scene = Scene::new();
    let ended = scene.run_plain(WORDS).end();
    ended.assert_code(0);
    assert!(!ended.all().contains(is_harmful), "the terminal would be harmed");
    scene.assert_nothing_left();
}

#[test]
fn each_trick_of_a_hostile_service_ends_in_a_clear_and_bounded_failure_that_is_safe_to_look_at() {
    if !has_python() {
        return;
    }
    let text = std::fs::read_to_string(root().join(PLAN)).expect("it is there");
    let marked: BTreeMap<u64, &str> =
        (1..).zip(text.lines()).filter_map(|(at, line)| Some((at, line.split_once("# red: ")?.1))).collect();
    let scene = Scene::new();
    let began = Instant::now();
    let ended = scene.run_plain(PLAN).end();
    ended.assert_code(1);
    assert!(began.elapsed() < IN_TIME, "it took {:?}", began.elapsed());
    let journal = Journal::read(&scene.out());
    let failures: BTreeMap<u64, &Value> = journal
        .all("failure")
        .map(|failure| (failure["place"]["line"].as_u64().expect("each has a place"), failure))
        .collect();
    for (line, words) in &marked {
        let failure = failures.get(line).unwrap_or_else(|| panic!("nothing is red at line {line}:\n{}", ended.all()));
        assert!(ended.all().contains(words), "line {line} does not say {words:?}: {failure:#}");
    }
    assert_eq!(failures.len(), marked.len(), "{}", ended.all());
    let shown = ended.all();
    let junit = std::fs::read_to_string(scene.out().join("junit.xml")).expect("it is written");
    for (what, text) in [("the terminal", &shown), ("junit.xml", &junit)] {
        if let Some(line) = text.lines().find(|line| line.contains(is_harmful)) {
            panic!("{what} would be harmed by {line:?}");
        }
    }
    assert!(!junit.contains("<script") && !junit.contains("<img"), "markup of the service is in junit.xml");
    scene.assert_nothing_left();
}
