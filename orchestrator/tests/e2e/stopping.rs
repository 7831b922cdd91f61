//! Ctrl-C and SIGTERM: once is in good order, twice is at once, and nothing is left either way.

use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;

use crate::journal::Journal;
use crate::leftovers;
use crate::processes::{self, Watch};
use crate::scene::{CHECKOUT, Scene};

/// Ending a run in good order takes well under a second on a quiet machine.
const SOON: Duration = Duration::from_secs(10);

/// A service that is asked to end, says so, and stays.
const STUBBORN: &str = r#"
meshproof: 1
plan: stubborn
services:
  mule:
    exec:
      argv:
        - /bin/sh
        - -c
        - |
          (trap '' TERM; exec sleep 1000) &
          trap 'echo asked > "$TOLD"' TERM
          echo here
          while kill -0 $!; do wait $!; done
    env: { TOLD: "PIPE" }
    stop: { grace: 60s }
tests:
  - id: waits
    timeout: 120s
    steps:
      - expect: { log: mule.stdout, contains: here }
        eventually: 10s
      - say: it is here
      - expect: { log: mule.stdout, contains: never }
        eventually: 100s
"#;

/// Sends the signal while the cut is on.
fn stopped_by(signal: Signal, code: i32) {
    let scene = Scene::new();
    let mut session = scene.run(CHECKOUT);
    session.happening(("fault-began", "fault", "ledger-cut"));
    let ports = leftovers::ports(&processes::mentioning(scene.path()));
    let asked = Instant::now();
    session.signal(signal);
    let ended = session.end();
    let took = asked.elapsed();
    ended.assert_code(code);
    scene.assert_nothing_left();
    leftovers::assert_free(&ports);
    assert!(took < SOON, "it took {took:?}:\n{}", ended.all());
    let journal = Journal::read(&scene.out());
    assert_eq!(journal.only("run-ended")["exit"], code);
    let healed = journal.all("fault-ended").filter(|fault| fault["healed"] == true).count();
    assert_eq!(healed, 2, "both faults are healed before the end");
    assert!(journal.all("collected").next().is_some(), "`after` runs on every path");
    let not_run: Vec<_> = journal.all("test-not-run").map(|test| &test["test"]).collect();
    assert_eq!(not_run, ["replicate"]);
}

#[test]
fn ctrl_c_ends_a_run_in_good_order_with_130() {
    stopped_by(Signal::INT, 130);
}

#[test]
fn sigterm_ends_a_run_in_good_order_with_143() {
    stopped_by(Signal::TERM, 143);
}

/// From before the keeper is there to the last step.
const MOMENTS: [&str; 9] = [
    "run-began",
    "build-began",
    "build-ended",
    "agent-joined",
    "initialized",
    "service-started",
    "service-ready",
    "test-began",
    "step-ended",
];

#[test]
fn ctrl_c_ends_a_run_whenever_it_comes_and_leaves_nothing() {
    let stop_at = |moment: &str| {
        let scene = Scene::new();
        let mut session = scene.run(CHECKOUT);
        session.record(moment, |record| record["what"].get(moment).is_some());
        session.signal(Signal::INT);
        let ended = session.end();
        assert_eq!(ended.code(), 130, "at {moment}:\n{}", ended.all());
        scene.assert_nothing_left();
        assert_eq!(Journal::read(&scene.out()).only("run-ended")["exit"], 130, "at {moment}");
    };
    MOMENTS.iter().for_each(|moment| stop_at(moment));
}

/// A build that does not end, and a process that it started.
const BUILDING: &str = r#"
meshproof: 1
plan: building
build: { argv: [/bin/sh, -c, "sleep 1000 & echo here > PIPE; sleep 1000"] }
services: { idle: { exec: { argv: [sleep, "1000"] } } }
tests: [{ id: none, steps: [{ say: nothing }] }]
"#;

#[test]
fn ctrl_c_ends_a_build_with_all_its_processes() {
    let scene = Scene::new();
    let pipe = scene.path().join("told");
    mkfifoat(CWD, &pipe, Mode::RWXU).expect("a new name");
    let plan = scene.path().join("plan.yaml");
    std::fs::write(&plan, BUILDING.replace("PIPE", &pipe.to_string_lossy())).expect("a new file");
    let session = scene.run(&plan);
    assert_eq!(std::fs::read_to_string(&pipe).expect("the build writes it"), "here\n");
    session.signal(Signal::INT);
    session.end().assert_code(130);
    scene.assert_nothing_left();
}

#[test]
fn ctrl_c_twice_ends_a_run_at_once() {
    let scene = Scene::new();
    let pipe = scene.path().join("told");
    mkfifoat(CWD, &pipe, Mode::RWXU).expect("a new name");
    let plan = scene.path().join("plan.yaml");
    std::fs::write(&plan, STUBBORN.replace("PIPE", &pipe.to_string_lossy())).expect("a new file");
    let mut session = scene.run(&plan);
    session.happening(("said", "text", "it is here"));
    let watch = Watch::on(processes::mentioning(scene.path()));
    session.signal(Signal::INT);
    // Blocks until the service was asked to end; it then has a minute.
    assert_eq!(std::fs::read_to_string(&pipe).expect("the service writes it"), "asked\n");
    let again = Instant::now();
    session.signal(Signal::INT);
    let ended = session.end();
    let took = again.elapsed();
    ended.assert_code(130);
    assert!(took < SOON, "at once took {took:?}");
    // The keeper goes on killing while the run is gone already.
    watch.wait(SOON);
    scene.assert_nothing_left();
}
