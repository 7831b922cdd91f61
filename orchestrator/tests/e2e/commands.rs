//! The command line: what it selects, what it refuses, and with which code it ends.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use crate::journal::Journal;
use crate::scene::Scene;
use crate::session::{Ended, Session, Shown};

const FLAKY: &str = "testdata/waiting/flaky.yaml";

/// `meshproof` with these arguments.
fn meshproof(scene: &Scene, args: &[&str]) -> Ended {
    let mut command = scene.meshproof();
    command.args(args);
    Session::start(command, Shown::Text).end()
}

/// `meshproof run` of the plan that passes every other time.
fn run(args: &[&str]) -> (Scene, Ended) {
    let scene = Scene::new();
    let mut command = scene.run_command(Path::new(FLAKY), "plain");
    command.args(args);
    let ended = Session::start(command, Shown::Text).end();
    scene.assert_nothing_left();
    (scene, ended)
}

#[test]
fn init_writes_a_plan_that_passes_and_no_file_twice() {
    let scene = Scene::new();
    let plan = scene.path().join("first.yaml");
    let path = plan.to_str().expect("a plain path");
    meshproof(&scene, &["init", path]).assert_code(0);
    meshproof(&scene, &["check", path]).assert_code(0);
    scene.run_plain(&plan).end().assert_code(0);
    let again = meshproof(&scene, &["init", path]);
    again.assert_code(2);
    assert!(again.stderr().contains("cannot write"), "{}", again.all());
    scene.assert_nothing_left();
}

#[test]
fn a_log_level_that_is_none_is_told() {
    let scene = Scene::new();
    for (value, said) in
        [("debgu", "`debgu` is no level"), ("meshproof=loud", "MESHPROOF_LOG=meshproof=loud is not heeded")]
    {
        let mut command = scene.meshproof();
        command.arg("who").env("MESHPROOF_LOG", value);
        let ended = Session::start(command, Shown::Text).end();
        assert!(ended.stderr().contains(said) && ended.stderr().contains("debug and trace"), "{}", ended.all());
    }
}

#[test]
fn a_dry_run_says_who_would_do_what_and_starts_nothing() {
    let (scene, ended) = run(&["--dry-run", "--test", "always-*"]);
    ended.assert_code(0);
    assert_eq!(
        ended.stdout(),
        "plan flaky\nbuild cargo build --release -p services\nservice moody: an agent, and it\ntest always-good\n  moody: healthy  GET /healthz to moody\n"
    );
    assert!(!scene.out().exists(), "a run that never began has no reports");
    assert_eq!(std::fs::read_dir(scene.path().join("run")).expect("the scene made it").count(), 0);
}

#[test]
fn what_selects_nothing_exits_4_and_starts_nothing() {
    for args in [["--test", "nobody"], ["--step", "nothing"]] {
        let (scene, ended) = run(&args);
        ended.assert_code(4);
        assert!(ended.stderr().contains("no test or step"), "{}", ended.all());
        assert!(!scene.out().exists());
    }
}

#[test]
fn tests_and_steps_are_selected_by_globs() {
    let (scene, ended) = run(&["--step", "heal*"]);
    ended.assert_code(0);
    assert_eq!(Journal::read(&scene.out()).verdicts().into_iter().collect::<Vec<_>>(), [("always-good", "pass")]);
}

#[test]
fn a_test_that_passes_at_times_is_flaky_and_what_that_comes_to_can_be_chosen() {
    let repeated = ["--test", "every*", "--repeat", "2"];
    for (flaky, code, said) in [(&[][..], 7, true), (&["--flaky", "warn"], 0, true), (&["--flaky", "pass"], 0, false)] {
        let (scene, ended) = run(&[&repeated[..], flaky].concat());
        ended.assert_code(code);
        let note = "every-other-time is flaky: it failed 1 of 2 times";
        assert_eq!(ended.all().contains(note), said, "{}", ended.all());
        let verdicts: Vec<(String, String)> = Journal::read(&scene.out())
            .verdicts()
            .into_iter()
            .map(|(test, verdict)| (test.to_owned(), verdict.to_owned()))
            .collect();
        let expected = [("every-other-time#1", "pass"), ("every-other-time#2", "fail")];
        assert_eq!(verdicts, expected.map(|(test, verdict)| (test.to_owned(), verdict.to_owned())));
    }
}

#[test]
fn a_run_without_time_is_not_begun() {
    let (scene, ended) = run(&["--deadline", "0s"]);
    ended.assert_code(2);
    assert!(ended.all().contains("a run needs time, as in `10m`"), "{}", ended.all());
    scene.assert_nothing_left();
}

#[test]
fn a_run_past_its_deadline_ends_what_it_started_and_exits_8() {
    let (scene, ended) = run(&["--test", "waits", "--deadline", "4s"]);
    ended.assert_code(8);
    assert!(ended.all().contains("the run's deadline has passed"), "{}", ended.all());
    assert_eq!(Journal::read(&scene.out()).only("run-ended")["exit"], 8);
}

#[test]
fn after_the_first_failure_no_other_test_begins_if_that_was_asked_for() {
    let (scene, ended) = run(&["--test", "*o*", "--repeat", "3", "--fail-fast"]);
    ended.assert_code(1);
    let journal = Journal::read(&scene.out());
    let ran: Vec<&str> = journal.verdicts().into_keys().collect();
    assert_eq!(ran, ["every-other-time#1", "every-other-time#2"]);
    assert_eq!(journal.all("test-not-run").count(), 4);
}

#[test]
fn the_seed_of_a_run_can_be_given_and_is_said() {
    let (scene, ended) = run(&["--test", "always-good", "--seed", "7"]);
    ended.assert_code(0);
    assert_eq!(Journal::read(&scene.out()).only("run-began")["seed"], 7);
}

#[test]
fn every_code_of_a_diagnostic_is_explained() {
    let scene = Scene::new();
    for code in meshproof::plan::Code::all() {
        let explained = meshproof(&scene, &["explain", &code.to_string()]);
        explained.assert_code(0);
        assert!(explained.stdout().starts_with(&format!("{code}: {}\n\n", code.title())), "{}", explained.all());
    }
    meshproof(&scene, &["explain", "MP9999"]).assert_code(2);
}

#[test]
fn a_run_goes_on_with_the_binary_that_was_started_when_its_build_puts_another_in_its_place() {
    for then in ["true", "echo not a program > meshproof"] {
        let scene = Scene::new();
        let (plan, binary) = (scene.path().join("plan.yaml"), scene.path().join("meshproof"));
        let build = format!("build: {{ argv: [sh, -c, \"rm meshproof; {then}\"] }}\n");
        let steps = "tests: [{ id: t, steps: [{ at: a, exec: { argv: [\"true\"] } }] }]\n";
        let services = "services: { a: { exec: { argv: [sleep, \"1000\"] } } }\n";
        std::fs::write(&plan, format!("meshproof: 1\nplan: rebuilt\n{build}{services}{steps}")).expect("a plan");
        // not by this process: what another test starts meanwhile would hold the copy open for writing, and then it cannot be started
        let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_meshproof")).arg(&binary).status();
        assert!(copied.expect("cp is everywhere").success(), "a copy of the binary");
        let usual = scene.run_command(&plan, "plain");
        let mut command = std::process::Command::new(&binary);
        command.args(usual.get_args());
        for (name, value) in usual.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Session::start(command, Shown::Text).end().assert_code(0);
        scene.assert_nothing_left();
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_and_a_full_disk_is_told() {
    let scene = Scene::new();
    let fresh = |name: &str| scene.path().join(name).to_str().expect("a plain path").to_owned();
    for (number, command) in
        ["explain MP0107", "schema", "check PLAN", "init NEW", "run PLAN --dry-run"].iter().enumerate()
    {
        let run = |stdout: Stdio, new: &str| {
            let words = command.split(' ').map(|word| match word {
                "PLAN" => FLAKY.to_owned(),
                "NEW" => fresh(&format!("{new}-{number}.yaml")),
                word => word.to_owned(),
            });
            scene.meshproof().args(words).stdout(stdout).output().expect("the binary was built with this test")
        };
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let gone = run(writer.into(), "gone");
        assert_eq!((gone.status.code(), String::from_utf8_lossy(&gone.stderr)), (Some(0), "".into()), "{command}");
        let full = run(File::options().write(true).open("/dev/full").expect("Linux has it").into(), "full");
        let said = String::from_utf8_lossy(&full.stderr).into_owned();
        assert_eq!(full.status.code(), Some(5), "{command}: {said}");
        assert!(said.starts_with("meshproof: cannot write to standard output: No space left"), "{command}: {said}");
    }
}

#[test]
fn records_that_find_no_room_are_told_of_and_make_no_run_pass() {
    let scene = Scene::new();
    let run = |stdout: Stdio| {
        let mut command = scene.run_command(Path::new(FLAKY), "json");
        command.args(["--test", "always-good"]).stdout(stdout).output().expect("it starts")
    };
    let full = run(File::options().write(true).open("/dev/full").expect("Linux has it").into());
    let said = String::from_utf8_lossy(&full.stderr).into_owned();
    assert_eq!(full.status.code(), Some(5), "{said}");
    assert!(said.contains("meshproof: cannot write to standard output: No space left"), "{said}");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(run(writer.into()).status.code(), Some(0), "who reads no more misses nothing");
}

#[test]
fn mistakes_that_nobody_can_be_told_of_are_mistakes_all_the_same() {
    let scene = Scene::new();
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    let mut command = scene.meshproof();
    let status = command.args(["check", "testdata/mistakes/plan.yaml"]).stderr(full).status();
    assert_eq!(status.expect("the binary was built with this test").code(), Some(3));
}

#[test]
fn a_parameter_is_set_from_outside_and_what_does_not_fit_starts_nothing() {
    let scene = Scene::new();
    let plan = scene.path().join("plan.yaml");
    let steps = "[{ say: \"${{ params.count }} of ${{ params.what }}\" }]";
    let params = "params: { count: { type: int, default: 3 }, what: { type: string } }";
    std::fs::write(
        &plan,
        format!("meshproof: 1\nplan: p\n{params}\nservices: {{ a: {{}} }}\ntests: [{{ id: t, steps: {steps} }}]\n"),
    )
    .expect("room for a plan");
    let run = |given: &[&str]| {
        let mut command = scene.run_command(&plan, "plain");
        command.args(given.iter().flat_map(|given| ["--param", given]));
        Session::start(command, Shown::Text).end()
    };
    for (given, code, said) in [
        (&[][..], 3, "what"),
        (&["what=a", "count=many"], 3, "MP0108"),
        (&["what=a", "cuont=4"], 3, "cuont"),
        (&["what"], 2, "NAME=VALUE"),
    ] {
        let ended = run(given);
        ended.assert_code(code);
        assert!(ended.all().contains(said) && !scene.out().exists(), "{given:?}: {}", ended.all());
    }
    let ended = run(&["what=a=b", "count=4"]);
    ended.assert_code(0);
    assert!(ended.all().contains("4 of a=b"), "{}", ended.all());
    scene.assert_nothing_left();
}
