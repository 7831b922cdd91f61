//! Plans that do not pass: what people see, and what is started for them.

use std::path::Path;
use std::process::Stdio;

use regex::Regex;

use crate::journal::Journal;
use crate::scene::{Scene, root};
use crate::session::{Session, Shown};

/// What differs from run to run, as a placeholder.
fn normalised(text: &str, scene: &Scene) -> String {
    let rules = [
        (r"r-[0-9a-f]{12}", "RUN"),
        (r"\b\d+(\.\d+)? ?(us|µs|ms|s)\b", "TIME"),
        (r"127\.0\.0\.1:\d+", "ADDRESS"),
        (r"seed \d+", "seed SEED"),
    ];
    let text = text.replace(&*scene.out().to_string_lossy(), "OUT");
    rules.iter().fold(text, |text, (from, to)| {
        Regex::new(from).expect("a good expression").replace_all(&text, *to).into_owned()
    })
}

/// What people are to read.
fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/golden").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_plan_that_fails_on_purpose_says_where_and_why_and_exits_1() {
    let scene = Scene::new();
    let ended = scene.run_plain("testdata/checkout-fails/plan.yaml").end();
    ended.assert_code(1);
    let seen = normalised(&ended.all(), &scene);
    assert!(seen.contains(&golden("failure.txt")), "golden/failure.txt is not in what was shown:\n{seen}");
    let journal = Journal::read(&scene.out());
    assert_eq!(journal.only("failure")["place"]["line"], 38);
    assert_eq!(journal.only("run-ended")["exit"], 1);
    scene.assert_nothing_left();
}

#[test]
fn a_plan_with_mistakes_shows_all_of_them_and_starts_nothing() {
    let scene = Scene::new();
    let ended = scene.run_plain("testdata/mistakes/plan.yaml").end();
    ended.assert_code(3);
    let diagnostics = std::fs::read_to_string(root().join("testdata/mistakes/diagnostics.txt")).expect("it is there");
    assert_eq!(ended.stderr(), diagnostics);
    assert_eq!(ended.stdout(), "");
    assert!(!scene.out().exists(), "a run that never began has no reports");
    let runtime = std::fs::read_dir(scene.path().join("run")).expect("the scene made it");
    assert_eq!(runtime.count(), 0, "and no folder");
    scene.assert_nothing_left();
}

#[test]
fn what_is_missing_beside_a_plan_is_told_all_at_once_by_whoever_reads_the_plan() {
    let scene = Scene::new();
    let plan = scene.path().join("plan.yaml");
    let text = "meshproof: 1\nplan: beside\nservices:\n  shop:\n    exec: { argv: [sleep, '9'] }\n    ports: { grpc: dynamic }\n    \
                files: { a.sql: { from: a.sql } }\ntests:\n  - id: t\n    steps:\n      - { to: shop, grpc: { call: a.B/C, proto: [a.proto, b.proto] } }\n";
    std::fs::write(&plan, text).expect("a new file");
    let plan = plan.to_str().expect("a plain path");
    for command in [vec!["check", plan], vec!["run", plan, "--dry-run"], vec!["run", plan, "--out", "never-made"]] {
        let mut started = scene.meshproof();
        started.args(&command).current_dir(scene.path()).stdin(Stdio::null());
        let ended = Session::start(started, Shown::Text).end();
        ended.assert_code(3);
        let said = ended.stderr();
        for (file, place) in [("a.sql", "7:"), ("a.proto", "11:"), ("b.proto", "11:")] {
            assert!(said.contains(&format!("there is no file `{file}` beside the plan")), "{command:?}: {said}");
            assert!(said.contains(&format!("plan.yaml:{place}")), "{command:?}: {said}");
        }
        assert!(said.contains("3 mistakes in") && said.contains("MP0212"), "{command:?}: {said}");
    }
    assert!(!scene.path().join("never-made").exists());
    scene.assert_nothing_left();
}

#[test]
fn what_the_build_of_a_plan_makes_may_be_missing_until_then() {
    const PLAN: &str = "meshproof: 1
plan: built
build: { argv: [cp, plan.yaml, MADE] }
services:
  shop:
    exec: { argv: [sh, -c, cat made.txt; exec tail -f /dev/null] }
    files: { made.txt: { from: made.txt } }
tests:
  - id: given
    steps:
      - expect: { log: shop.stdout, contains: 'plan: built' }
        eventually: 10s
";
    let scene = Scene::new();
    let plan = scene.path().join("plan.yaml");
    let write = |made: &str| std::fs::write(&plan, PLAN.replace("MADE", made)).expect("a new file");
    write("other.txt");
    let mut check = scene.meshproof();
    check.arg("check").arg(&plan).stdin(Stdio::null());
    let checked = Session::start(check, Shown::Text).end();
    checked.assert_code(0);
    let said = checked.stdout();
    assert!(said.contains("plan.yaml:7:32: there is no file made.txt beside the plan yet"), "{said}");
    let ended = scene.run_plain(&plan).end();
    ended.assert_code(5);
    assert!(ended.all().contains("cannot read what the plan names beside it: made.txt"), "{}", ended.all());
    write("made.txt");
    scene.run_plain(&plan).end().assert_code(0);
    scene.assert_nothing_left();
}

#[test]
fn checking_a_plan_says_the_same_and_starts_nothing() {
    let scene = Scene::new();
    let mut command = scene.meshproof();
    command.args(["check", "testdata/mistakes/plan.yaml"]).stdin(Stdio::null());
    let ended = Session::start(command, Shown::Text).end();
    ended.assert_code(3);
    let diagnostics = std::fs::read_to_string(root().join("testdata/mistakes/diagnostics.txt")).expect("it is there");
    assert_eq!(ended.stderr(), diagnostics);
}
