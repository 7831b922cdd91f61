//! People hold a run and let it go on, through a chat.

use std::path::Path;

use serde_json::Value;

use crate::journal::Journal;
use crate::scene::Scene;
use crate::session::{Ended, Session, Shown};

/// Steps in a row of one agent: the first waits for a file, each of the others leaves a line.
fn plan(scene: &Scene) -> std::path::PathBuf {
    let folder = scene.path().display();
    let waits = format!("until [ -e {folder}/go ]; do sleep 0.02; done");
    let does = format!("      - {{ at: shop, exec: {{ shell: \"echo x >> {folder}/done\" }} }}\n").repeat(5);
    let text = format!(
        "meshproof: 1\nplan: held\nservices:\n  shop: {{ exec: {{ argv: [sleep, \"600\"] }} }}\n  \
         ledger: {{ exec: {{ argv: [sleep, \"600\"] }} }}\ntests:\n  - id: held\n    timeout: 60s\n    steps:\n      \
         - {{ at: shop, exec: {{ shell: \"{waits}\" }}, within: 50s }}\n{does}"
    );
    let path = scene.path().join("plan.yaml");
    std::fs::write(&path, text).expect("a writable folder");
    path
}

fn started(scene: &Scene) -> Session {
    let mut run = scene.run(plan(scene));
    run.record("its first step", |record| record["what"]["fact"]["step-started"].is_object());
    run
}

pub fn chat(scene: &Scene, line: &str) -> Ended {
    let mut command = scene.meshproof();
    command.args(["chat", "--as", "anna", "-c", line]);
    Session::start(command, Shown::Text).end()
}

fn noted(run: &mut Session, text: &str) {
    let said = |record: &Value| record["what"]["noted"]["text"].as_str().is_some_and(|noted| noted.contains(text));
    run.record(text, said);
}

fn done(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("done")).map_or(0, |text| text.lines().count())
}

#[test]
fn a_run_is_held_between_steps_its_agent_knew_of_goes_on_by_one_and_then_at_all() {
    let scene = Scene::new();
    let mut run = started(&scene);
    let paused = chat(&scene, "/pause");
    paused.assert_code(0);
    assert!(paused.stdout().contains("no step begins now; `/step` lets one begin"), "{}", paused.all());
    std::fs::write(scene.path().join("go"), "").expect("a writable folder");
    noted(&mut run, "the run stands before 2/6 of held: exec");
    assert_eq!(done(scene.path()), 0);
    chat(&scene, "/step").assert_code(0);
    noted(&mut run, "the run stands before 3/6 of held: exec");
    assert_eq!(done(scene.path()), 1);
    // another person, of whom the run knows nothing yet
    chat(&scene, "/resume").assert_code(0);
    run.end().assert_code(0);
    assert_eq!(done(scene.path()), 5);
    let journal = Journal::read(&scene.out());
    let steered: Vec<Value> = journal.facts("steered").map(|steered| steered.fact.clone()).collect();
    let by = |how: &str| steered.iter().filter(|fact| fact["how"] == how).count();
    assert_eq!((by("pause"), by("step"), by("resume")), (2, 2, 2), "each agent was told once: {steered:?}");
    let of_shop = steered.iter().find(|fact| fact["given_back"].as_array().is_some_and(|keys| keys.len() == 5));
    assert!(of_shop.is_some_and(|fact| fact["how"] == "pause"), "{steered:?}");
    assert!(steered.iter().all(|fact| fact["by"].as_str().is_some_and(|by| by.starts_with("console-anna-"))));
    scene.assert_nothing_left();
}

#[test]
fn a_run_that_is_held_ends_when_it_is_told_to() {
    let scene = Scene::new();
    let mut run = started(&scene);
    chat(&scene, "/pause").assert_code(0);
    std::fs::write(scene.path().join("go"), "").expect("a writable folder");
    noted(&mut run, "the run stands before 2/6");
    run.signal(rustix::process::Signal::INT);
    run.end().assert_code(130);
    assert_eq!(done(scene.path()), 0);
    scene.assert_nothing_left();
}

#[test]
fn a_run_that_is_held_is_held_by_the_orchestrator_that_goes_on_with_it() {
    let scene = Scene::new();
    let mut run = started(&scene);
    chat(&scene, "/pause").assert_code(0);
    std::fs::write(scene.path().join("go"), "").expect("a writable folder");
    noted(&mut run, "the run stands before 2/6");
    run.signal(rustix::process::Signal::KILL);
    let mut command = scene.meshproof();
    command.args(["attach", "--take-over", "--progress", "json"]);
    let mut next = Session::start(command, Shown::Records);
    next.record("the take-over", |record| record["what"]["taken-over"].is_object());
    chat(&scene, "/step").assert_code(0);
    noted(&mut next, "the run stands before 3/6");
    assert_eq!(done(scene.path()), 1);
    chat(&scene, "/resume").assert_code(0);
    next.end().assert_code(0);
    assert_eq!(done(scene.path()), 5);
    scene.assert_nothing_left();
}
