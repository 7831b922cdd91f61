//! Names with several instances: whoever acts is killed, alone or with its zone, and another one goes on. What was done, and how often, is
//! what the services themselves have written down.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::journal::Journal;
use crate::processes::{self, Process};
use crate::scene::Scene;
use crate::session::{Session, Shown};

const SERVICES: &str = r#"
services:
  shop:
    exec: { argv: [sh, -c, "echo shop >> ${{ plan.dir }}/starts; exec sleep 600"] }
    replicas: 3
    zones: [eu, us]
  ledger: { exec: { argv: [sh, -c, "echo ledger >> ${{ plan.dir }}/starts; exec sleep 600"] } }
"#;

fn plan(scene: &Scene, tests: &str) -> PathBuf {
    let path = scene.path().join("plan.yaml");
    let text = format!("meshproof: 1\nplan: replicas\n{SERVICES}\ntests:\n{tests}");
    std::fs::write(&path, text).expect("a writable folder");
    path
}

fn start(scene: &Scene, tests: &str) -> Session {
    Session::start(scene.run_command(&plan(scene, tests), "json"), Shown::Records)
}

fn noted(text: &str) -> impl Fn(&Value) -> bool {
    move |record| record["what"]["noted"]["text"] == text
}

/// Waits until both instances that stand by have said so.
fn all_stand_by(session: &mut Session) {
    let mut waiting = vec!["instance 2 of shop stands by in zone us", "instance 3 of shop stands by in zone eu"];
    while !waiting.is_empty() {
        let record = session.record("who stands by", |record| waiting.iter().any(|text| noted(text)(record)));
        waiting.retain(|text| !noted(text)(&record));
    }
}

/// Steps of the service that write down their number and take a while, one after the other.
fn steps(count: usize) -> String {
    let mut tests = String::new();
    for number in 0..count {
        let shell = format!("echo {number} >> ${{{{ plan.dir }}}}/effects; sleep 0.05");
        writeln!(tests, "  - {{ id: n{number}, steps: [{{ at: shop, exec: {{ shell: \"{shell}\" }} }}] }}")
            .expect("a string");
    }
    tests
}

/// Kills the agent that was started as the instance of this number.
fn kill_instance(scene: &Scene, number: u32) {
    let label = format!("replica={number}");
    let is_it = |process: &Process| {
        process.variable("MESHPROOF_LABELS").is_some_and(|labels| labels.split(',').any(|l| l == label))
    };
    let process = processes::mentioning(scene.path()).into_iter().find(is_it).expect("it runs");
    let pid = Pid::from_raw(process.pid).expect("a process id is not 0");
    kill_process(pid, Signal::KILL).expect("it runs");
}

fn begins(test: &str) -> impl Fn(&Value) -> bool {
    move |record| record["what"]["fact"]["step-started"]["key"]["test"] == test
}

#[test]
fn when_a_zone_is_killed_an_instance_in_another_one_goes_on() {
    let scene = Scene::new();
    let tests = "
  - id: zones
    steps:
      - { say: ready }
      - { at: shop, exec: { argv: [sleep, \"0.3\"] } }
      - parallel:
          - - name: in flight, and may be done again
              at: shop
              exec: { shell: \"echo begun >> ${{ plan.dir }}/effects; until test -e ${{ plan.dir }}/killed; do sleep 0.02; done\" }
              idempotent: true
          - - { at: ledger, exec: { shell: \"until test -e ${{ plan.dir }}/effects; do sleep 0.02; done\" } }
            - kill: { zone: eu }
            - { at: ledger, exec: { shell: \"touch ${{ plan.dir }}/killed\" } }
      - { expect: { process: shop, is: running }, eventually: 10s }
";
    let mut session = start(&scene, tests);
    all_stand_by(&mut session);
    let ended = session.end();
    ended.assert_code(0);
    scene.assert_nothing_left();
    assert_eq!(scene.written("starts"), BTreeMap::from([("ledger".to_owned(), 1), ("shop".to_owned(), 2)]));
    assert_eq!(scene.written("effects"), BTreeMap::from([("begun".to_owned(), 2)]), "once in each zone");
    let journal = Journal::read(&scene.out());
    let decided: Vec<_> = journal.all("failover-decided").map(|decided| decided["term"].clone()).collect();
    assert_eq!(decided, ["1.2"], "{}", ended.all());
}

#[test]
fn of_steps_whose_acting_agent_is_killed_again_and_again_none_has_two_effects() {
    const STEPS: usize = 40;
    const KILLS: usize = 6;
    let scene = Scene::new();
    let mut tests = steps(STEPS);
    let kills =
        "      - kill: { agent: shop }\n      - { at: ledger, exec: { argv: [sleep, \"0.3\"] } }\n".repeat(KILLS);
    write!(tests, "  - id: nemesis\n    steps:\n{kills}").expect("a string");
    let session = start(&scene, &tests);
    let ended = session.end();
    scene.assert_nothing_left();
    let journal = Journal::read(&scene.out());
    assert_eq!(journal.all("failover-complete").count(), KILLS, "{}", ended.all());
    let (effects, verdicts) = (scene.written("effects"), journal.verdicts());
    for number in 0..STEPS {
        let times = effects.get(&number.to_string()).copied().unwrap_or_default();
        let verdict = verdicts[format!("n{number}").as_str()];
        assert!(times == 1 || (times == 0 && verdict != "pass"), "n{number} is {verdict} and was done {times} times");
    }
}

#[test]
fn instances_that_stand_by_outlive_the_orchestrator_and_take_over_under_the_next_one() {
    const STEPS: usize = 30;
    let scene = Scene::new();
    let mut session = start(&scene, &steps(STEPS));
    all_stand_by(&mut session);
    session.record("a step in the middle", begins("n5"));
    session.signal(Signal::KILL);
    let mut command = scene.meshproof();
    command.args(["attach", "--take-over", "--progress", "json"]);
    let mut next = Session::start(command, Shown::Records);
    next.record("the take-over", |record| record["what"]["taken-over"].is_object());
    all_stand_by(&mut next);
    kill_instance(&scene, 1);
    next.happening(("failover-complete", "agent", "shop"));
    let ended = next.end();
    scene.assert_nothing_left();
    let effects = scene.written("effects");
    let journal = Journal::read(&scene.out());
    let verdicts = journal.verdicts();
    for number in 0..STEPS {
        let times = effects.get(&number.to_string()).copied().unwrap_or_default();
        let verdict = verdicts[format!("n{number}").as_str()];
        assert!(times == 1 || (times == 0 && verdict != "pass"), "n{number} is {verdict} and was done {times} times");
    }
    let unknown = verdicts.values().filter(|verdict| **verdict != "pass").count();
    assert!(unknown <= 1, "only the step that ran when its agent was killed may be unknown: {}", ended.all());
}

#[test]
fn an_instance_that_begins_to_stand_by_leaves_the_programs_of_the_one_that_acts_alone() {
    let scene = Scene::new();
    let until = |file: &str| format!("until test -e ${{{{ plan.dir }}}}/{file}; do sleep 0.02; done");
    let shells = [until("go"), format!("echo begun >> ${{{{ plan.dir }}}}/effects; {}", until("stands-by"))];
    let [first, long] = shells.map(|shell| format!("steps: [{{ at: shop, exec: {{ shell: \"{shell}\" }} }}]"));
    let mut session = start(&scene, &format!("  - {{ id: first, {first} }}\n  - {{ id: long, {long} }}\n"));
    let touch = |file: &str| std::fs::write(scene.path().join(file), "").expect("a writable folder");
    all_stand_by(&mut session);
    touch("go");
    session.record("the step", begins("long"));
    kill_instance(&scene, 2);
    session.record("its successor", noted("instance 2 of shop stands by in zone us"));
    touch("stands-by");
    session.end().assert_code(0);
    scene.assert_nothing_left();
    assert_eq!(scene.written("effects"), BTreeMap::from([("begun".to_owned(), 1)]));
}
