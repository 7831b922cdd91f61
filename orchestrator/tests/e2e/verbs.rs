//! Every verb and noun has a sample plan below `testdata/verbs` that passes, and a twin that fails at the line it names.
//!
//! In a `fail.yaml` the line that goes red ends with `# red: WORDS`: the failure points at it, and WORDS stand in what is shown. With
//! `# error: WORDS` it could not be carried out, which is an error and no failed check, and with `# breached: WORDS` it is a load. A plan that needs a program which is not here is skipped, aloud, and fails where it could have been installed (CI).

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

use crate::journal::Journal;
use crate::networks;
use crate::scene::{Scene, root};
use crate::session::{Ended, Session, Shown};

/// Runs at the same time. They wait more than they work.
const AT_ONCE: usize = 3;

/// Programs of other packages that plans need; `.ci/setup` installs them.
const PROGRAMS: &[&str] = &["curl", "dnsmasq", "openssl", "ping", "python3", "redis-cli", "redis-server"];

fn folder() -> PathBuf {
    root().join("testdata/verbs")
}

/// All plans with this name, by folder.
fn plans(name: &str) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(folder()).expect("testdata/verbs is there").flatten();
    let mut plans: Vec<PathBuf> = folders.map(|folder| folder.path().join(name)).collect();
    plans.sort();
    plans
}

fn read(plan: &Path) -> String {
    std::fs::read_to_string(plan).unwrap_or_else(|error| panic!("{}: {error}", plan.display()))
}

/// The first program that the plan mentions and that is not here.
fn missing(plan: &Path) -> Option<&'static str> {
    let text = read(plan);
    let here = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    if text.contains("\nnetwork:") && !networks::are_possible() {
        return Some("root and /dev/net/tun");
    }
    PROGRAMS.iter().copied().find(|program| text.contains(program) && !here(program))
}

/// Runs a plan. A file `NAME.secret` beside it is its secret of that name.
fn run(scene: &Scene, plan: &Path) -> Ended {
    let mut command = scene.run_command(plan, "plain");
    let beside = std::fs::read_dir(plan.parent().expect("a plan is in a folder")).expect("its folder").flatten();
    for file in beside.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "secret")) {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        command.arg("--secret").arg(format!("{name}@{}", file.display()));
    }
    Session::start(command, Shown::Text).end()
}

/// Services that plans start without building them. `cargo test --workspace` has built them; where only these tests were asked for, it is done
/// now, with other features of what they need.
fn are_built() {
    if ["stock", "ticker"].iter().all(|name| root().join("target/debug").join(name).exists()) {
        return;
    }
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "-p", "stock"]).current_dir(root());
    assert!(build.env_remove("CARGO_TARGET_DIR").status().expect("cargo runs this test").success());
}

/// Does `work` for every plan, some at a time, and fails with all that is wrong.
fn each(name: &str, work: impl Fn(&Path) -> Result<(), String> + Sync) {
    are_built();
    let only = std::env::var("MESHPROOF_TEST_VERB").ok();
    let wanted = |plan: &PathBuf| only.as_ref().is_none_or(|only| plan.parent() == Some(&folder().join(only)));
    let queue: Mutex<VecDeque<PathBuf>> = Mutex::new(plans(name).into_iter().filter(wanted).collect());
    let next = || queue.lock().expect("nobody panics with it").pop_front();
    let one = |plan: PathBuf| match missing(&plan) {
        None => work(&plan).err(),
        Some(program) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            Some(format!("{}: {program} is not installed; .ci/setup does it", plan.display()))
        }
        Some(program) => {
            println!("skipped: {} needs {program}", plan.display());
            None
        }
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let worker = || std::iter::from_fn(next).filter_map(one).collect::<Vec<_>>();
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a plan's run")).collect()
    });
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn each_sample_plan_of_a_verb_passes() {
    each("pass.yaml", |plan| {
        let scene = Scene::new();
        let ended = run(&scene, plan);
        scene.assert_nothing_left();
        if ended.code() == 0 { Ok(()) } else { Err(format!("exit {}\n{}", ended.code(), ended.all())) }
    });
}

#[test]
fn each_failing_twin_goes_red_at_the_line_it_names() {
    each("fail.yaml", |plan| {
        let text = read(plan);
        let marked = |mark: &'static str, code: i32| {
            (1..).zip(text.lines()).filter_map(move |(at, line)| Some((at, line.split_once(mark)?.1, code)))
        };
        let marked: Vec<(u64, &str, i32)> =
            marked("# red: ", 1).chain(marked("# error: ", 5)).chain(marked("# breached: ", 6)).collect();
        let [(line, words, code)] = marked[..] else { panic!("{}: one line is marked with `# red:`", plan.display()) };
        let scene = Scene::new();
        let ended = run(&scene, plan);
        scene.assert_nothing_left();
        let journal = Journal::read(&scene.out());
        let failures: Vec<&Value> = journal.all("failure").collect();
        let red: BTreeSet<_> = failures.iter().map(|failure| failure["place"]["line"].as_u64()).collect();
        let wrong = |what: String| Err(format!("{}: {what}\n{}", plan.display(), ended.all()));
        match () {
            () if ended.code() != code => wrong(format!("exit {}", ended.code())),
            () if red != BTreeSet::from([Some(line)]) => wrong(format!("red at {red:?}, not at line {line}")),
            () if !ended.all().contains(words) => wrong(format!("it does not say {words:?}")),
            () => Ok(()),
        }
    });
}

/// Each verb with the sample that passes and the twin that fails on purpose, below `testdata`; tests of this folder run both.
const SAMPLES: [(&str, &str, &str); 25] = [
    ("http", "verbs/http/pass", "verbs/http/fail"),
    ("tcp", "verbs/tcp/pass", "verbs/tcp/fail"),
    ("grpc", "verbs/grpc/pass", "verbs/grpc/fail"),
    ("ws", "verbs/ws/pass", "verbs/ws/fail"),
    ("exec", "verbs/exec/pass", "verbs/exec/fail"),
    ("stream", "verbs/stream/pass", "verbs/stream/fail"),
    ("load", "verbs/load/pass", "verbs/load/fail"),
    ("expect", "verbs/metrics/pass", "verbs/metrics/fail"),
    ("fault", "verbs/traffic/pass", "verbs/traffic/fail"),
    ("heal", "verbs/heal/pass", "verbs/heal/fail"),
    ("stub", "stubs/http/plan", "stubs/http/fails"),
    ("collect", "verbs/collect/pass", "verbs/collect/fail"),
    ("say", "verbs/say/pass", "verbs/say/fail"),
    ("barrier", "sync/barrier", "sync/barrier-fails"),
    ("signal", "sync/barrier", "sync/barrier-fails"),
    ("publish", "sync/topic", "sync/topic-fails"),
    ("subscribe", "sync/topic", "sync/topic-fails"),
    ("kill", "processes/kill", "processes/kill-fails"),
    ("freeze", "processes/freeze", "processes/freeze-fails"),
    ("thaw", "processes/thaw", "processes/thaw-fails"),
    ("restart", "processes/restart", "processes/restart-fails"),
    ("parallel", "flow/parallel", "flow/parallel-fails"),
    ("repeat", "flow/repeat", "flow/repeat-fails"),
    ("pause", "flow/pause", "flow/pause-fails"),
    ("churn", "verbs/churn/pass", "verbs/churn/fail"),
];

/// Whether a step of the plan has this verb, wherever it stands.
fn has_step(plan: &Value, verb: &str) -> bool {
    match plan {
        Value::Array(items) => items.iter().any(|item| item.get(verb).is_some() || has_step(item, verb)),
        Value::Object(keys) => keys.values().any(|value| has_step(value, verb)),
        _ => false,
    }
}

#[test]
fn every_verb_has_a_sample_and_a_failing_twin() {
    let verbs: BTreeSet<&str> = meshproof::plan::VERBS.iter().copied().collect();
    assert_eq!(SAMPLES.map(|(verb, ..)| verb).into_iter().collect::<BTreeSet<_>>(), verbs);
    let tests = ["conduct.rs", "stubs.rs"].map(|name| read(&root().join("orchestrator/tests/e2e").join(name))).concat();
    for (verb, passes, fails) in SAMPLES {
        for plan in [passes, fails] {
            let text = read(&root().join(format!("testdata/{plan}.yaml")));
            let parsed: Value = serde_saphyr::from_str(&text).expect("YAML");
            assert!(has_step(&parsed["tests"], verb), "{plan} has no step with {verb}");
            let is_run =
                plan.starts_with("verbs/") || tests.contains(&format!("\"{plan}\"")) || plan.starts_with("stubs/http/");
            assert!(is_run, "no test runs {plan}");
        }
    }
}
