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
fn checking_a_plan_says_the_same_and_starts_nothing() {
    let scene = Scene::new();
    let mut command = scene.meshproof();
    command.args(["check", "testdata/mistakes/plan.yaml"]).stdin(Stdio::null());
    let ended = Session::start(command, Shown::Text).end();
    ended.assert_code(3);
    let diagnostics = std::fs::read_to_string(root().join("testdata/mistakes/diagnostics.txt")).expect("it is there");
    assert_eq!(ended.stderr(), diagnostics);
}
