//! Orchestrators die or hang; another one goes on from what the agents remember. What was done, and how often, is what the services
//! themselves have written down.

mod confided;
mod replaced;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::journal::Journal;
use crate::scene::Scene;
use crate::session::{Ended, Session, Shown};

const SERVICES: &str = r#"
services:
  shop: { exec: { argv: [sh, -c, "echo shop >> ${{ plan.dir }}/starts; exec sleep 600"] } }
  ledger: { exec: { argv: [sh, -c, "echo ledger >> ${{ plan.dir }}/starts; exec sleep 600"] } }
"#;

fn plan(scene: &Scene, tests: &str) -> PathBuf {
    let path = scene.path().join("plan.yaml");
    let text = format!("meshproof: 1\nplan: takeover\n{SERVICES}\ntests:\n{tests}");
    std::fs::write(&path, text).expect("a writable folder");
    path
}

fn start(scene: &Scene, tests: &str) -> Session {
    Session::start(scene.run_command(&plan(scene, tests), "json"), Shown::Records)
}

fn attach(scene: &Scene, how: &str) -> Session {
    let mut command = scene.meshproof();
    command.args(["attach", how, "--progress", "json"]);
    Session::start(command, Shown::Records)
}

/// Only looks.
fn follow(scene: &Scene, progress: &str) -> Session {
    let mut command = scene.meshproof();
    command.args(["attach", "--progress", progress]);
    Session::start(command, if progress == "json" { Shown::Records } else { Shown::Text })
}

fn is_taken_over(record: &Value) -> bool {
    record["what"]["taken-over"].is_object()
}

fn begins(test: &str) -> impl Fn(&Value) -> bool {
    move |record| record["what"]["fact"]["step-started"]["key"]["test"] == test
}

fn once(names: impl IntoIterator<Item = impl ToString>) -> BTreeMap<String, usize> {
    names.into_iter().map(|name| (name.to_string(), 1)).collect()
}

/// The journal tells of every event of each agent once, in order, and of one run.
#[track_caller]
fn assert_whole(out: &Path) -> Journal {
    let journal = Journal::read(out);
    for (instance, numbers) in journal.numbers() {
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(1..=numbers.len() as u64), "{instance}: {numbers:?}");
    }
    assert_eq!((journal.all("run-began").count(), journal.all("run-ended").count()), (1, 1));
    journal
}

#[test]
fn however_often_orchestrators_are_killed_in_the_middle_of_steps_each_step_is_done_once_and_the_run_passes() {
    const STEPS: usize = 40;
    const KILLS: usize = 5;
    let scene = Scene::new();
    let mut tests = String::new();
    for number in 0..STEPS {
        let at = if number % 2 == 0 { "shop" } else { "ledger" };
        let shell = format!("echo {number} >> ${{{{ plan.dir }}}}/effects; sleep 0.05");
        writeln!(tests, "  - {{ id: n{number}, steps: [{{ at: {at}, exec: {{ shell: \"{shell}\" }} }}] }}")
            .expect("a string");
    }
    let mut session = start(&scene, &tests);
    for round in 1..=KILLS {
        session.record("a step in the middle", begins(&format!("n{}", round * STEPS / (KILLS + 2))));
        session.signal(Signal::KILL);
        session = attach(&scene, "--take-over");
        session.record("the take-over", is_taken_over);
    }
    let ended = session.end();
    ended.assert_code(0);
    scene.assert_nothing_left();
    assert_eq!(scene.written("effects"), once(0..STEPS));
    assert_eq!(scene.written("starts"), once(["ledger", "shop"]));
    let journal = assert_whole(&scene.out());
    assert_eq!(journal.only("run-began")["term"], 1 + KILLS);
    assert_eq!(journal.verdicts().values().filter(|verdict| **verdict == "pass").count(), STEPS);
    assert_eq!(journal.all("taken-over").count(), KILLS);
}

/// One thing after the other that an orchestrator can be in the middle of.
const EVERYTHING: &str = r#"
  - id: a
    steps:
      - { at: shop, exec: { shell: "echo a0 >> ${{ plan.dir }}/effects" } }
      - { at: shop, exec: { shell: "echo a1 >> ${{ plan.dir }}/effects; sleep 0.3; echo '{\"id\": 7}'" }, save: { order: $.id } }
      - restart: ledger
      - parallel:
          - - { at: shop, exec: { shell: "echo p0 >> ${{ plan.dir }}/effects; sleep 0.2" } }
            - { at: shop, signal: shop-is-here }
          - - { barrier: { name: shop-is-here, of: shop }, within: 60s }
            - { at: ledger, exec: { shell: "echo p1 >> ${{ plan.dir }}/effects" } }
      - { at: ledger, exec: { shell: "echo a2-${{ order }} >> ${{ plan.dir }}/effects; sleep 0.3" } }
    after:
      - { at: shop, exec: { shell: "echo after >> ${{ plan.dir }}/effects; sleep 0.2" } }
"#;

/// Kills the orchestrator once it has told that, and has another one go on.
fn killed_at(what: &str, is_it: impl Fn(&Value) -> bool) {
    let scene = Scene::new();
    let mut session = start(&scene, EVERYTHING);
    session.record(what, is_it);
    session.signal(Signal::KILL);
    let mut next = attach(&scene, "--take-over");
    next.record("the take-over", is_taken_over);
    next.end().assert_code(0);
    scene.assert_nothing_left();
    assert_eq!(scene.written("effects"), once(["a0", "a1", "a2-7", "after", "p0", "p1"]), "killed at {what}");
    let starts = BTreeMap::from([("ledger".to_owned(), 2), ("shop".to_owned(), 1)]);
    assert_eq!(scene.written("starts"), starts, "killed at {what}");
    assert_whole(&scene.out());
}

fn began(step: &'static str) -> impl Fn(&Value) -> bool {
    move |record| record["what"]["step-began"]["key"]["step"] == step
}

fn ended(step: &'static str) -> impl Fn(&Value) -> bool {
    move |record| record["what"]["step-ended"]["step"]["key"]["step"] == step
}

#[test]
fn wherever_an_orchestrator_is_killed_another_one_goes_on_and_nothing_is_done_twice() {
    killed_at("a step that runs", began("1"));
    killed_at("a restart that goes on", began("2"));
    killed_at("a restart that is over", ended("2"));
    killed_at("steps side by side", |record| record["what"]["fact"]["step-started"]["key"]["step"] == "3.0.0");
    killed_at("the last step's end", |record| record["what"]["step-began"]["section"] == "after");
    killed_at("the last test's end", |record| record["what"]["test-ended"].is_object());
}

#[test]
fn an_active_fault_is_healed_and_judged_by_the_one_that_goes_on() {
    let scene = Scene::new();
    let mut session = scene.run(crate::scene::CHECKOUT);
    session.happening(("fault-began", "fault", "ledger-cut"));
    session.signal(Signal::KILL);
    let mut next = attach(&scene, "--take-over");
    next.record("the take-over", is_taken_over);
    next.end().assert_code(0);
    scene.assert_nothing_left();
    let journal = assert_whole(&scene.out());
    let cut = journal.all("fault-ended").find(|ended| ended["fault"] == "ledger-cut").expect("it ended");
    assert_eq!((&cut["effective"], &cut["healed"]), (&true.into(), &true.into()), "{cut}");
}

const SLOW: &str = r#"
  - id: slow
    steps:
      - { at: shop, exec: { shell: "echo 0 >> ${{ plan.dir }}/effects; sleep 1" } }
      - { at: ledger, exec: { shell: "echo 1 >> ${{ plan.dir }}/effects; sleep 1" } }
      - { at: shop, exec: { shell: "echo 2 >> ${{ plan.dir }}/effects; until test -e ${{ plan.dir }}/go; do sleep 0.02; done" }, within: 60s }
"#;

fn go(scene: &Scene) {
    std::fs::write(scene.path().join("go"), "").expect("a writable folder");
}

#[test]
fn who_stands_by_goes_on_with_a_run_whose_orchestrator_is_killed_and_ends_with_one_that_is_not() {
    let scene = Scene::new();
    let mut session = start(&scene, SLOW);
    session.record("the first step", begins("slow"));
    let mut standby = attach(&scene, "--standby");
    session.record("the second step", |record| record["what"]["fact"]["step-started"]["key"]["step"] == "1");
    session.signal(Signal::KILL);
    standby.record("the take-over", is_taken_over);
    let idle = attach(&scene, "--standby");
    standby.record("the third step", began("2"));
    go(&scene);
    standby.end().assert_code(0);
    let idle = idle.end();
    idle.assert_code(0);
    assert_eq!(idle.stdout(), "", "it had nothing to do");
    scene.assert_nothing_left();
    assert_eq!(scene.written("effects"), once(0..3));
    assert_whole(&scene.out());
}

#[test]
fn whoever_follows_a_run_goes_on_with_it_when_it_changes_hands_and_sees_everything_once() {
    let scene = Scene::new();
    let mut session = start(&scene, SLOW);
    session.record("the first step", begins("slow"));
    let (mut records, lines) = (follow(&scene, "json"), follow(&scene, "plain"));
    let mesh = scene.run_folder().join("mesh.toml");
    let mut over_mesh = scene.meshproof();
    over_mesh.args(["attach", "--progress", "json", "--mesh"]).arg(&mesh);
    let mut over_mesh = Session::start(over_mesh, Shown::Records);
    records.record("what was before", begins("slow"));
    over_mesh.record("what was before", begins("slow"));
    session.record("the second step", |record| record["what"]["fact"]["step-started"]["key"]["step"] == "1");
    session.signal(Signal::KILL);
    records.said("has no orchestrator any more");
    let mut next = attach(&scene, "--take-over");
    records.record("the take-over", is_taken_over);
    records.record("the third step", began("2"));
    // once more, and what was told twice by then is still shown once
    next.record("the third step", began("2"));
    next.signal(Signal::KILL);
    let last = attach(&scene, "--take-over");
    records.record("the second take-over", is_taken_over);
    over_mesh.record("the second take-over", |record| record["what"]["taken-over"]["term"] == 3);
    go(&scene);
    last.end().assert_code(0);
    let (records, lines, over_mesh) = (records.end(), lines.end(), over_mesh.end());
    [&records, &lines, &over_mesh].into_iter().for_each(|ended| ended.assert_code(0));
    scene.assert_nothing_left();
    let journal = assert_whole(&scene.out());
    [&records, &over_mesh].into_iter().for_each(|ended| assert_saw_everything_once(ended, &journal));
    let plain = lines.all();
    assert_eq!(plain.matches("another orchestrator goes on").count(), 2, "{plain}");
}

fn assert_saw_everything_once(ended: &Ended, journal: &Journal) {
    let told: Vec<Value> = ended.stdout().lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
    // numbers with fractions are not always written again as they were read
    let digits = |text: &str| {
        text.split('.').map(|part| part.trim_start_matches(|it: char| it.is_ascii_digit())).collect::<String>()
    };
    let thing = |record: &Value| digits(&format!("{} {} {}", record["from"], record["seq"], record["what"]));
    let mut seen = BTreeMap::new();
    told.iter().for_each(|record| *seen.entry(thing(record)).or_insert(0) += 1);
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:#?}");
    let without_beginning =
        |record: &&Value| record["what"].get("run-began").or(record["what"].get("invoked")).is_none();
    for record in journal.records().iter().filter(without_beginning) {
        assert!(seen.contains_key(&thing(record)), "not seen: {record}");
    }
}

#[test]
fn an_orchestrator_that_hangs_is_replaced_and_follows_when_it_is_back_with_none_of_its_orders_taken() {
    let scene = Scene::new();
    let mut session = start(&scene, SLOW);
    session.record("the first step", begins("slow"));
    session.signal(Signal::STOP);
    let mut standby = attach(&scene, "--standby");
    standby.record("the take-over", is_taken_over);
    // Its agent may have begun it before: the one of the second step tells it.
    standby.record("the third step", began("2"));
    session.signal(Signal::CONT);
    session.record("what the other one tells", is_taken_over);
    go(&scene);
    standby.end().assert_code(0);
    let followed = session.end();
    followed.assert_code(0);
    assert!(followed.stderr().contains("another orchestrator commands"), "{}", followed.stderr());
    scene.assert_nothing_left();
    assert_eq!(scene.written("effects"), once(0..3));
    assert_eq!(scene.written("starts"), once(["ledger", "shop"]));
    assert_whole(&scene.out());
}

#[test]
fn of_several_who_stand_by_one_goes_on_whether_the_orchestrator_is_killed_or_hangs() {
    for how in [Signal::KILL, Signal::STOP] {
        let scene = Scene::new();
        let mut session = start(&scene, SLOW);
        session.record("the first step", begins("slow"));
        let mut several = ["--standby"; 3].map(|how| attach(&scene, how));
        let mut follower = follow(&scene, "json");
        several.iter_mut().for_each(|one| one.said("standing by"));
        session.record("the second step", |record| record["what"]["fact"]["step-started"]["key"]["step"] == "1");
        session.signal(how);
        follower.record("the take-over", is_taken_over);
        if how == Signal::STOP {
            session.signal(Signal::CONT);
        }
        go(&scene);
        let ended: Vec<_> = several.into_iter().map(Session::end).collect();
        ended.iter().for_each(|one| one.assert_code(0));
        let commanded = ended.iter().filter(|one| one.stdout().contains("\"taken-over\"")).count();
        assert_eq!(commanded, 1, "one of them goes on");
        session.end();
        follower.end().assert_code(0);
        scene.assert_nothing_left();
        assert_eq!(scene.written("effects"), once(0..3));
        // Votes that were split are asked for again, at a higher term.
        let term = assert_whole(&scene.out()).only("run-began")["term"].as_u64();
        assert!(term.is_some_and(|term| (2..8).contains(&term)), "{term:?}");
    }
}

#[test]
fn a_run_that_nobody_can_take_over_says_why() {
    let scene = Scene::new();
    let missing = attach(&scene, "--take-over").end();
    missing.assert_code(2);
    assert!(missing.stderr().contains("no run goes on here"), "{}", missing.stderr());
}
