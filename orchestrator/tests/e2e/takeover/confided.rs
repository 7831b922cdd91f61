//! What an orchestrator is not told by its plan, another one that goes on with the run has from the agents: secrets, the keys of the run's
//! authority. And what it never had, services' networks, goes on beside it.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use super::{assert_whole, attach, is_taken_over};
use crate::networks;
use crate::scene::{Scene, has_python, root};
use crate::session::{Session, Shown};

/// Kills the orchestrator of a sample when this is told; another one brings the run to its end.
fn killed_at(sample: &str, is_it: impl Fn(&Value) -> bool) {
    let scene = Scene::new();
    let plan = root().join("testdata/verbs").join(sample).join("pass.yaml");
    let mut session = Session::start(scene.run_command(&plan, "json"), Shown::Records);
    session.record("where it is killed", is_it);
    session.signal(Signal::KILL);
    let mut next = attach(&scene, "--take-over");
    next.record("the take-over", is_taken_over);
    next.end().assert_code(0);
    scene.assert_nothing_left();
    assert_whole(&scene.out());
}

fn begins(test: &'static str) -> impl Fn(&Value) -> bool {
    move |record| record["what"]["test-began"]["test"] == test
}

#[test]
fn a_run_with_certificates_of_its_own_goes_on_with_the_keys_that_its_agents_know() {
    if !has_python() {
        return;
    }
    killed_at("tls", |record| record["what"]["service-ready"].is_object());
    killed_at("tls", begins("only-known-clients-are-served"));
}

#[test]
fn a_run_on_a_data_network_goes_on_there() {
    if !networks::are_possible() {
        return;
    }
    killed_at("network", begins("near-and-far"));
    killed_at("network", |record| record["what"]["fault-began"].is_object());
    killed_at("network", begins("split"));
}

const SECRET: &str = "hunter2-hunter2";

const PLAN: &str = r#"meshproof: 1
plan: confided
secrets: { token: { description: what the service is told } }
services:
  shop: { exec: { argv: [sh, -c, "exec sleep 600"] }, env: { TOKEN: "${{ secrets.token }}" } }
  ledger: { exec: { argv: [sh, -c, "exec sleep 600"] } }
tests:
  - id: a
    steps:
      - { at: shop, exec: { shell: "sleep 1; test ${{ secrets.token }} = hunter2-hunter2" } }
      - { at: ledger, exec: { shell: "echo ${{ secrets.token }} | tr 2 3" }, expect: { stdout: hunter3-hunter3 } }
      - restart: shop
      - { at: shop, exec: { shell: "echo ${{ secrets.token }}; echo ${{ secrets.token }} >&2" } }
"#;

fn assert_not_in(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            assert_not_in(&path);
        } else {
            let text = String::from_utf8_lossy(&std::fs::read(&path).expect("it is a file")).into_owned();
            assert!(!text.contains(SECRET), "{} has it", path.display());
        }
    }
}

#[test]
fn a_run_with_secrets_goes_on_with_those_that_its_agents_know_and_shows_none() {
    let scene = Scene::new();
    let plan = scene.path().join("plan.yaml");
    std::fs::write(&plan, PLAN).expect("a writable folder");
    let mut command = scene.run_command(&plan, "json");
    command.env("MESHPROOF_SECRET_TOKEN", SECRET);
    let mut session = Session::start(command, Shown::Records);
    session.record("the first step", |record| record["what"]["fact"]["step-started"].is_object());
    session.signal(Signal::KILL);
    let mut next = attach(&scene, "--take-over");
    next.record("the take-over", is_taken_over);
    let ended = next.end();
    ended.assert_code(0);
    assert!(!ended.all().contains(SECRET));
    scene.assert_nothing_left();
    assert_not_in(&scene.out());
    assert_whole(&scene.out());
}
