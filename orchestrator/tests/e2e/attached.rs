//! Runs are followed by a process that did not start them.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::processes::{self, Watch};
use crate::scene::Scene;
use crate::session::{Session, Shown};

/// Far above the orphan grace of these runs.
pub const SOON: Duration = Duration::from_secs(15);

/// A run that goes on until there is a file, and then passes or fails.
const PLAN: &str = r#"meshproof: 1
plan: followed
services: { shop: { exec: { argv: [sh, -c, "exec sleep 600"] } } }
tests:
  - id: waits
    steps: [{ at: shop, exec: { shell: "until test -e ${{ plan.dir }}/go; do sleep 0.02; done; cat ${{ plan.dir }}/go" }, expect: { stdout: well }, within: 60s }]
"#;

pub fn plan(scene: &Scene) -> PathBuf {
    let path = scene.path().join("plan.yaml");
    std::fs::write(&path, PLAN).expect("a writable folder");
    path
}

/// The run's only step ends, and its service said this.
pub fn go(scene: &Scene, said: &str) {
    let path = scene.path().join("go");
    std::fs::write(path.with_extension("new"), said).expect("a writable folder");
    std::fs::rename(path.with_extension("new"), path).expect("a writable folder");
}

fn begun(scene: &Scene) -> (Session, String) {
    let mut command = scene.run_command(&plan(scene), "json");
    command.env("MESHPROOF_ORPHAN_GRACE", "1s");
    let mut run = Session::start(command, Shown::Records);
    let id = run.record("its beginning", |record| record["what"]["run-began"].is_object());
    let id = id["what"]["run-began"]["run"].as_str().expect("an id").to_owned();
    run.record("its step", |record| record["what"]["fact"]["step-started"].is_object());
    (run, id)
}

pub fn attach(scene: &Scene, arguments: &[&str]) -> Session {
    let mut command = scene.meshproof();
    command.arg("attach").args(arguments);
    let shown = if arguments.contains(&"json") { Shown::Records } else { Shown::Text };
    Session::start(command, shown)
}

pub fn is_step(record: &Value) -> bool {
    record["what"]["fact"]["step-started"].is_object()
}

#[test]
fn whoever_attaches_sees_every_event_from_the_first_on_and_exits_with_the_runs_code() {
    for (said, code) in [("well", 0), ("badly", 1)] {
        let scene = Scene::new();
        let (run, id) = begun(&scene);
        let mut by_name = attach(&scene, &[&id, "--progress", "json"]);
        let mut without_one = attach(&scene, &["--progress", "json"]);
        by_name.record("what was before", is_step);
        without_one.record("what was before", is_step);
        go(&scene, said);
        let run = run.end();
        run.assert_code(code);
        for attached in [by_name.end(), without_one.end()] {
            attached.assert_code(code);
            assert_eq!(attached.stdout(), run.stdout());
        }
        // It is over, and what it was is still told.
        let out = scene.out().to_string_lossy().into_owned();
        let later = attach(&scene, &[&out, "--progress", "json"]).end();
        later.assert_code(code);
        assert_eq!(later.stdout(), run.stdout());
        if code == 1 {
            let text = attach(&scene, &[&out, "--progress", "plain"]).end().stderr();
            assert!(text.contains("expect: { stdout: well }") && text.contains("badly"), "{text}");
        }
        scene.assert_nothing_left();
    }
}

#[test]
fn whoever_attached_and_goes_disturbs_nothing() {
    let scene = Scene::new();
    let (run, id) = begun(&scene);
    let mut attached = attach(&scene, &[&id[..6], "--progress", "json"]);
    attached.record("what was before", is_step);
    attached.signal(Signal::INT);
    attached.end().assert_code(130);
    go(&scene, "well");
    run.end().assert_code(0);
    scene.assert_nothing_left();
}

#[test]
fn a_run_that_is_not_there_is_said_and_one_that_breaks_off_too() {
    let scene = Scene::new();
    attach(&scene, &[]).end().assert_code(2);
    let missing = attach(&scene, &["r-nothing"]).end();
    missing.assert_code(2);
    assert!(
        missing.stderr().contains("there is no run `r-nothing`; `meshproof runs` lists those that were"),
        "{}",
        missing.all()
    );
    let (run, id) = begun(&scene);
    let missing = attach(&scene, &["r-nothing"]).end();
    missing.assert_code(2);
    assert!(missing.stderr().contains(&format!("(these go on: {id})")), "{}", missing.all());
    let mut attached = attach(&scene, &[&id, "--progress", "json"]);
    attached.record("what was before", is_step);
    let mut processes = processes::mentioning(scene.path());
    processes.retain(|process| process.pid != attached.pid());
    run.signal(Signal::KILL);
    let broke = attached.end();
    broke.assert_code(5);
    assert!(broke.stderr().contains(&format!("{id} broke off")), "{}", broke.all());
    Watch::on(processes).wait(SOON);
    scene.assert_nothing_left();
}

fn show(scene: &Scene, arguments: &[&str]) -> crate::session::Ended {
    let mut command = scene.meshproof();
    command.arg("show").args(arguments);
    Session::start(command, Shown::Text).end()
}

#[test]
fn what_each_agent_holds_of_a_run_that_goes_on_is_shown_and_what_a_run_that_is_over_came_to() {
    let scene = Scene::new();
    let (run, id) = begun(&scene);
    let digest = crate::journal::Journal::read(&scene.out()).only("run-began")["digest"].clone();
    let shown = show(&scene, &[&id, "--json"]);
    shown.assert_code(0);
    let document: Value = serde_json::from_str(&shown.stdout()).expect("one document");
    assert_eq!((&document["digest"], &document["term"]), (&digest, &1.into()));
    let agents = document["agents"].as_array().expect("a list");
    assert_eq!(agents.len(), 1);
    assert_eq!((&agents[0]["agent"], &agents[0]["plan"], &agents[0]["term"]), (&"shop".into(), &digest, &1.into()));
    assert_eq!(agents[0]["steps_running"], 1);
    let text = show(&scene, &[]).stdout();
    assert!(text.contains("as the run") && text.contains("goes on since"), "{text}");
    go(&scene, "badly");
    run.end().assert_code(1);
    let out = scene.out().to_string_lossy().into_owned();
    let text = show(&scene, &[&out]).stdout();
    assert!(text.contains("fail (exit code 1)") && text.contains("not waits"), "{text}");
    show(&scene, &["r-nothing"]).assert_code(2);
    scene.assert_nothing_left();
}
