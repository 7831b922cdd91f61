//! Faults that are drawn: the seed of a run draws them again, and every reader of the run knows them.

use serde_json::Value;

use crate::journal::Journal;
use crate::scene::{Scene, root};
use crate::session::{Session, Shown};

/// The schedule that the first test draws with this seed, and what people are shown of the run.
fn drawn(seed: &str) -> (Value, Vec<Value>) {
    let scene = Scene::new();
    let mut command = scene.run_command(&root().join("testdata/verbs/draw/pass.yaml"), "plain");
    command.args(["--seed", seed, "--test", "any-weather"]);
    let ended = Session::start(command, Shown::Text).end();
    assert_eq!(ended.code(), 0, "{}", ended.all());
    scene.assert_nothing_left();
    let journal = Journal::read(&scene.out());
    let begun = journal.all("fault-began").map(|began| began["fault"].clone()).collect();
    let page = std::fs::read_to_string(scene.out().join("report.html")).expect("a report");
    assert!(page.contains("weather.1."), "the report has its faults");
    let said = format!("weather drawn with seed {seed}: ");
    assert!(page.contains(&said) && ended.all().contains(&said), "{}", ended.all());
    (journal.only("faults-drawn").clone(), begun)
}

#[test]
fn a_seed_draws_the_same_faults_at_the_same_times_again_and_another_seed_others() {
    let (first, begun) = drawn("7");
    let (again, begun_again) = drawn("7");
    let (other, _) = drawn("8");
    assert_eq!(first, again);
    assert_eq!(begun, begun_again);
    assert_ne!(first["faults"], other["faults"]);
    let faults = first["faults"].as_array().expect("a list");
    let names: Vec<Value> = (1..)
        .zip(faults)
        .map(|(n, one)| format!("weather.{n}.{}", one["fault"].as_str().expect("a name")).into())
        .collect();
    assert_eq!(begun, names, "each began, in its turn");
}
