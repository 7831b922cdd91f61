//! An agent and then the orchestrator are killed: what the one that goes on finds is an instance that the run may not know.

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{assert_whole, attach, go, is_taken_over, start};
use crate::processes::{self, Process};
use crate::scene::Scene;

/// Waits for a file, and may be done again.
const WAITS: &str = r#"
  - id: waits
    steps:
      - at: ledger
        exec: { shell: "echo 0 >> ${{ plan.dir }}/effects; until test -e ${{ plan.dir }}/go; do sleep 0.02; done" }
        idempotent: true
        within: 60s
      - { at: shop, exec: { shell: "echo 1 >> ${{ plan.dir }}/effects" } }
"#;

fn agent(scene: &Scene, name: &str) -> Process {
    processes::agent(&processes::mentioning(scene.path()), name).clone()
}

fn send(process: &Process, signal: Signal) {
    let pid = Pid::from_raw(process.pid).expect("a process id is not 0");
    kill_process(pid, signal).expect("it runs");
}

fn begins(record: &Value) -> bool {
    record["what"]["fact"]["step-started"]["key"]["step"] == "0"
}

fn of_failover(stage: &'static str) -> impl Fn(&Value) -> bool {
    move |record| record["what"][stage]["agent"] == "ledger"
}

/// Half of the names are no majority, so with one agent that stands still nothing is kept of what happens to the other.
#[test]
fn a_change_of_hands_that_nobody_could_keep_is_learnt_from_the_instance_that_took_over() {
    for stage in ["failover-detected", "failover-decided", "failover-complete"] {
        let scene = Scene::new();
        let mut session = start(&scene, WAITS);
        session.record("the step", begins);
        let frozen = agent(&scene, "shop");
        send(&frozen, Signal::STOP);
        send(&agent(&scene, "ledger"), Signal::KILL);
        session.record(stage, of_failover(stage));
        session.signal(Signal::KILL);
        send(&frozen, Signal::CONT);
        let mut next = attach(&scene, "--take-over");
        next.record("the take-over", is_taken_over);
        next.record("the step, done again", begins);
        go(&scene);
        next.end().assert_code(0);
        scene.assert_nothing_left();
        let effects = scene.written("effects");
        // It may have been killed before it could write.
        assert!(matches!(effects["0"], 1 | 2) && effects["1"] == 1, "killed at {stage}: {effects:?}");
        let journal = assert_whole(&scene.out());
        assert!(journal.all("failover-complete").count() >= 1, "killed at {stage}");
    }
}

/// The file of the agent's outbox.
fn outbox(scene: &Scene, agent: &str) -> PathBuf {
    let folder = scene.run_folder().join("state").join(agent).join("outbox");
    std::fs::read_dir(folder).expect("it is there").flatten().next().expect("one run").path()
}

#[test]
fn an_outbox_that_is_damaged_makes_the_run_an_error_also_for_the_one_that_takes_it_over() {
    let scene = Scene::new();
    let mut session = start(&scene, WAITS);
    session.record("the step", begins);
    // Nobody but who comes after hears that it is damaged.
    session.signal(Signal::STOP);
    let file = outbox(&scene, "ledger");
    let mut bytes = std::fs::read(&file).expect("ours");
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).expect("ours");
    send(&agent(&scene, "ledger"), Signal::KILL);
    let next = attach(&scene, "--take-over");
    next.end().assert_code(5);
    session.signal(Signal::KILL);
    session.end().assert_code(137);
    scene.assert_nothing_left();
    let journal = assert_whole(&scene.out());
    let reason = journal.only("agent-lost")["reason"].as_str().expect("a text");
    assert!(reason.contains("damaged"), "{reason}");
}
