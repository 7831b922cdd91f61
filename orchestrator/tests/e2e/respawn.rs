//! Agents are killed while they work; another instance of each goes on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::journal::Journal;
use crate::processes::{self, Process};
use crate::scene::{Scene, has_python};
use crate::session::{Session, Shown};

const SITE: &str = r#"
services:
  site:
    exec: { argv: [python3, -m, http.server, --bind, 127.0.0.1, "${{ self.http.port }}"] }
    ports: { http: dynamic }
    ready: { http: { get: / } }
"#;

fn plan(scene: &Scene, tests: &str) -> PathBuf {
    let path = scene.path().join("plan.yaml");
    std::fs::write(&path, format!("meshproof: 1\nplan: respawn\n{SITE}\ntests:\n{tests}")).expect("a writable folder");
    path
}

fn start(scene: &Scene, tests: &str) -> Session {
    Session::start(scene.run_command(&plan(scene, tests), "json"), Shown::Records)
}

fn kill(process: &Process) {
    let pid = Pid::from_raw(process.pid).expect("a process id is not 0");
    kill_process(pid, Signal::KILL).expect("it runs");
}

fn kill_agent(scene: &Scene) {
    kill(processes::agent(&processes::mentioning(scene.path()), "site"));
}

/// What the steps wrote into the service's folder, in order.
fn effects(at: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(at.join("services/site/effects")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Each of many steps has one effect, which the service's side writes down; its agent is killed again and again while they run.
#[test]
fn of_many_steps_whose_agent_is_killed_again_and_again_each_is_ok_or_unknown_and_none_has_two_effects() {
    const STEPS: usize = 60;
    const KILLS: usize = 6;
    if !has_python() {
        return;
    }
    let scene = Scene::new();
    let mut tests = String::new();
    for number in 0..STEPS {
        // What fails is kept, so that the services' folders are.
        writeln!(
            tests,
            "  - {{ id: n{number}, steps: [{{ at: site, exec: {{ shell: \"echo {number} >> effects; sleep 0.05\" }} }}] }}"
        )
        .expect("a string");
    }
    tests += "  - { id: keep, steps: [{ at: site, exec: { shell: \"exit 1\" } }] }\n";
    let mut session = start(&scene, &tests);
    for round in 1..=KILLS {
        // in the middle of a step, each time further on
        let number = round * STEPS / (KILLS + 2);
        session.record("a step in the middle", |record| {
            record["what"]["fact"]["step-started"]["key"]["test"] == format!("n{number}")
        });
        kill_agent(&scene);
        session.record("another instance", |record| record["what"]["failover-complete"]["agent"] == "site");
    }
    session.end();
    scene.assert_nothing_left();
    let journal = Journal::read(&scene.out());
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for effect in effects(&scene.out()) {
        *count.entry(format!("n{effect}")).or_default() += 1;
    }
    let verdicts = journal.verdicts();
    let of = |wanted: &str| verdicts.iter().filter(|(_, verdict)| **verdict == wanted).count();
    for (test, verdict) in verdicts.iter().filter(|(test, _)| **test != "keep") {
        let effects = count.get(*test).copied().unwrap_or_default();
        match *verdict {
            "pass" => assert_eq!(effects, 1, "{test}"),
            "unknown" => assert!(effects <= 1, "{test} is unknown and was done {effects} times"),
            other => panic!("{test} is {other}"),
        }
    }
    assert_eq!(of("pass") + of("unknown"), STEPS);
    assert!((1..=KILLS).contains(&of("unknown")), "{} are unknown after {KILLS} kills", of("unknown"));
    assert_eq!(journal.all("failover-detected").count(), KILLS);
    assert_eq!(journal.all("failover-decided").count(), KILLS);
    let terms: Vec<&str> = journal.all("failover-decided").filter_map(|decided| decided["term"].as_str()).collect();
    assert_eq!(terms, (2..2 + KILLS).map(|number| format!("1.{number}")).collect::<Vec<_>>());
    // one numbering, whoever told it
    assert_eq!(journal.numbers().len(), 1, "{:?}", journal.numbers().keys());
}

#[test]
fn an_agent_whose_disk_is_lost_with_it_makes_the_run_an_error_that_names_what_is_missing() {
    if !has_python() {
        return;
    }
    let scene = Scene::new();
    let mut session = start(
        &scene,
        "  - id: t\n    steps:\n      - { at: site, exec: { argv: [echo, \"1\"] } }\n      - { at: site, exec: { argv: [sleep, \"30\"] } }\n  - { id: after, steps: [{ say: over }] }\n",
    );
    session.record("the second step", |record| record["what"]["fact"]["step-started"]["key"]["step"] == "1");
    std::fs::remove_dir_all(scene.run_folder().join("state/site/outbox")).expect("it is there");
    kill_agent(&scene);
    session.end().assert_code(5);
    scene.assert_nothing_left();
    let journal = Journal::read(&scene.out());
    assert_eq!(journal.only("run-ended")["verdict"], "error");
    let reason = journal.only("agent-lost")["reason"].as_str().expect("a text");
    assert!(reason.starts_with("its disk is gone with it; what it saw after event "), "{reason}");
    assert!(journal.verdicts().values().all(|verdict| *verdict != "pass"), "{:?}", journal.verdicts());
}

#[test]
fn an_outbox_that_is_damaged_makes_the_run_an_error_also_when_the_agent_is_back() {
    if !has_python() {
        return;
    }
    let scene = Scene::new();
    let mut session = start(&scene, "  - { id: t, steps: [{ at: site, exec: { argv: [sleep, \"30\"] } }] }\n");
    session.record("the step", |record| record["what"]["fact"]["step-started"]["key"]["test"] == "t");
    let folder = scene.run_folder().join("state/site/outbox");
    let file = std::fs::read_dir(folder).expect("it is there").flatten().next().expect("one run").path();
    let mut bytes = std::fs::read(&file).expect("ours");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("ours");
    kill_agent(&scene);
    session.end().assert_code(5);
    scene.assert_nothing_left();
    let journal = Journal::read(&scene.out());
    let reason = journal.only("agent-lost")["reason"].as_str().expect("a text");
    assert!(reason.contains("damaged"), "{reason}");
    assert_eq!(journal.only("run-ended")["verdict"], "error");
}

#[test]
fn a_program_of_a_killed_agent_does_not_outlive_it() {
    if !has_python() {
        return;
    }
    let scene = Scene::new();
    let shell = "echo $$ > pid; sleep 1000 & wait";
    let mut session =
        start(&scene, &format!("  - {{ id: t, steps: [{{ at: site, exec: {{ shell: \"{shell}\" }} }}] }}\n"));
    session.record("the step", |record| record["what"]["fact"]["step-started"]["key"]["test"] == "t");
    let pid = scene.run_folder().join("services/site/pid");
    let pid: i32 = loop {
        if let Ok(text) = std::fs::read_to_string(&pid)
            && let Ok(pid) = text.trim().parse()
        {
            break pid;
        }
        std::thread::yield_now();
    };
    let group = || processes::mentioning(scene.path()).into_iter().filter(|process| process.pid == pid).count();
    assert_eq!(group(), 1);
    kill_agent(&scene);
    session.record("another instance", |record| record["what"]["failover-complete"]["agent"] == "site");
    let lives = Path::new("/proc").join(pid.to_string()).exists();
    assert!(!lives, "the program {pid} has outlived its agent");
    session.end().assert_code(5);
    scene.assert_nothing_left();
}

#[test]
fn a_failover_is_three_timed_events_in_the_journal_the_lines_and_the_junit_file() {
    if !has_python() {
        return;
    }
    let scene = Scene::new();
    let tests =
        "  - id: t\n    steps:\n      - kill: { agent: site }\n      - { at: site, exec: { argv: [\"true\"] } }\n";
    let ended = scene.run_plain(plan(&scene, tests)).end();
    ended.assert_code(0);
    let shown = ended.all();
    for words in [" gone site: ", " next site has another instance at term 1.2", " back site after "] {
        assert!(shown.contains(words), "{words:?} is not shown:\n{shown}");
    }
    let journal = Journal::read(&scene.out());
    let mut times = vec![&journal.only("failover-decided")["after_ms"], &journal.only("failover-complete")["after_ms"]];
    // whoever saw the end says when it was; the next instance, which may be there before that is heard, does not know
    let detected = journal.only("failover-detected");
    match detected["how"].as_str() {
        Some("its process ended: SIGKILL") => times.push(&detected["after_ms"]),
        how => assert_eq!(how, Some("another instance of it has joined")),
    }
    assert!(times.iter().all(|time| time.as_f64().is_some_and(|time| (0.0..8_000.0).contains(&time))), "{times:?}");
    let junit = std::fs::read_to_string(scene.out().join("junit.xml")).expect("it is there");
    assert!(junit.contains("back site after "), "{junit}");
}

/// The one that takes over is killed, too, and the next one, while they do.
#[test]
fn an_agent_that_is_killed_while_it_takes_over_is_followed_by_the_next_one() {
    if !has_python() {
        return;
    }
    let scene = Scene::new();
    let shell = "echo 0 >> effects; until test -e go; do sleep 0.02; done";
    let tests = format!("  - {{ id: t, steps: [{{ at: site, exec: {{ shell: \"{shell}\" }}, idempotent: true }}] }}\n");
    let mut session = start(&scene, &tests);
    let begins = |record: &Value| record["what"]["fact"]["step-started"]["key"]["test"] == "t";
    session.record("the step", begins);
    kill_agent(&scene);
    for _ in 0..3 {
        session.happening(("failover-decided", "agent", "site"));
        kill_agent(&scene);
    }
    session.record("the step, done again", begins);
    std::fs::write(scene.run_folder().join("services/site/go"), "").expect("ours");
    session.end().assert_code(0);
    scene.assert_nothing_left();
}

/// A line that the service logs while nobody is there to see it: as soon as the process of its agent is no more.
#[test]
fn a_watch_misses_nothing_that_was_logged_while_its_agent_was_gone() {
    const SHELL: &str = "python3 -m http.server --bind 127.0.0.1 $PORT & \
        until test -s agent; do sleep 0.02; done; touch watching; while kill -0 $(cat agent); do :; done; echo panicked; wait";
    if !has_python() {
        return;
    }
    let scene = Scene::new();
    let path = scene.path().join("plan.yaml");
    let text = format!(
        r#"meshproof: 1
plan: respawn
services:
  site:
    exec: {{ argv: [sh, -c, {SHELL:?}] }}
    ports: {{ http: dynamic }}
    env: {{ PORT: "${{{{ self.http.port }}}}" }}
    ready: {{ http: {{ get: / }} }}
tests:
  - id: t
    always: [{{ expect: {{ log: "*", contains: panicked, count: 0 }} }}]
    steps: [{{ at: site, exec: {{ shell: "until test -e go; do sleep 0.02; done" }}, idempotent: true }}]
"#
    );
    std::fs::write(&path, text).expect("a writable folder");
    let mut session = Session::start(scene.run_command(&path, "json"), Shown::Records);
    session.record("the step", |record| record["what"]["fact"]["step-started"]["key"]["test"] == "t");
    let agent = processes::agent(&processes::mentioning(scene.path()), "site").pid;
    let site = scene.run_folder().join("services/site");
    std::fs::write(site.join("next"), agent.to_string()).expect("ours");
    std::fs::rename(site.join("next"), site.join("agent")).expect("ours");
    while !site.join("watching").exists() {
        std::thread::yield_now();
    }
    kill_agent(&scene);
    session.record("another instance", |record| record["what"]["failover-complete"]["agent"] == "site");
    std::fs::write(site.join("go"), "").expect("ours");
    let ended = session.end();
    ended.assert_code(1);
    let is_it =
        |failure: &Value| failure["title"].as_str().is_some_and(|title| title.contains("what must always hold"));
    let journal = Journal::read(&scene.out());
    assert!(journal.all("failure").any(is_it), "{}", ended.all());
    journal.only("failover-complete");
}
