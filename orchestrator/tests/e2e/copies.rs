//! An agent is lost with its disk while the orchestrator cannot be reached: what another agent has copied of it is used.

use std::time::{Duration, Instant};

use meshproof_agent::outbox::Store;
use meshproof_proto::event::{Event, Fact};
use meshproof_proto::id::RunId;
use meshproof_proto::memory::Recollection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::journal::Journal;
use crate::processes;
use crate::scene::Scene;
use crate::session::{Session, Shown};

#[path = "../chaos/place.rs"]
#[allow(dead_code, reason = "of its places only the network is wanted here")]
mod place;

const PLAN: &str = r#"meshproof: 1
plan: copies
services:
  shop: { exec: { argv: [sleep, "600"] } }
  ledger: { exec: { argv: [sleep, "600"] } }
tests:
  - id: row
    steps:
      - { at: shop, exec: { shell: "until test -e ${{ plan.dir }}/go; do sleep 0.02; done" } }
      - { at: shop, exec: { argv: ["true"] } }
      - { at: shop, exec: { argv: ["true"] } }
      - { at: shop, exec: { argv: [sleep, "600"] }, within: 700s }
"#;

/// Copies come within milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

fn begins(step: &'static str) -> impl Fn(&Value) -> bool {
    move |record| record["what"]["fact"]["step-started"]["key"]["step"] == step
}

/// Only root may cut a path.
#[test]
fn what_was_copied_of_an_agent_whose_disk_is_lost_is_used_and_what_is_missing_is_named() {
    let (scene, place) = (Scene::new(), place::Place::new());
    if !place.can_cut() {
        return;
    }
    let plan = scene.path().join("plan.yaml");
    std::fs::write(&plan, PLAN).expect("a writable folder");
    let command = scene.run_command(&plan, "json");
    let mut session = place.inside(|| Session::start(command, Shown::Records)).expect("a network");
    let began = session.record("the beginning", |record| record["what"]["run-began"].is_object());
    let run = RunId(began["what"]["run-began"]["run"].as_str().expect("a text").to_owned());
    session.record("the first step", begins("0"));
    // The agents have each other, and nobody has the orchestrator.
    let ports: Vec<String> = place::udp_ports(session.pid()).iter().map(ToString::to_string).collect();
    let ports = ports.join(", ");
    place.cut(&[format!("udp dport {{ {ports} }}"), format!("udp sport {{ {ports} }}")]);
    std::fs::write(scene.path().join("go"), "").expect("a writable folder");
    let state = scene.run_folder().join("state");
    let copies = Store::in_directory(&state.join("ledger")).of(&"shop".parse().expect("a name"));
    let is_last = |event: &Event| matches!(&event.fact, Fact::StepStarted { key } if key.step == "3");
    let (_open, nothing) = std::sync::mpsc::channel::<()>();
    let asked = Instant::now();
    while !copies
        .recall(&run, Recollection::Events(1))
        .expect("read")
        .is_some_and(|there| there.events.iter().any(is_last))
    {
        assert!(asked.elapsed() < PATIENCE, "the last step was not copied");
        let _ = nothing.recv_timeout(Duration::from_millis(10));
    }
    std::fs::remove_dir_all(state.join("shop/outbox")).expect("it is there");
    let shop = processes::agent(&processes::mentioning(scene.path()), "shop").pid;
    kill_process(Pid::from_raw(shop).expect("a process id is not 0"), Signal::KILL).expect("it runs");
    place.heal();
    let ended = session.end();
    ended.assert_code(5);
    scene.assert_nothing_left();
    let journal = Journal::read(&scene.out());
    let lost = journal.all("agent-lost").next().unwrap_or_else(|| panic!("nobody was lost:\n{}", ended.all()));
    let reason = lost["reason"].as_str().expect("a text");
    for words in ["its disk is gone with it", "are known from the copy at agent ledger", "is missing"] {
        assert!(reason.contains(words), "{words:?} is not in {reason:?}");
    }
    let ended = journal.all("step-ended").filter(|ended| ended["ending"] == "pass").count();
    assert_eq!(ended, 3, "what was copied counts");
    assert_eq!(journal.only("run-ended")["verdict"], "error");
}
