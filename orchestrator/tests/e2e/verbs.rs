//! Every verb and noun has a sample plan below `testdata/verbs` that passes, and a twin that fails at the line it names.
//!
//! In a `fail.yaml` the line that goes red ends with `# red: WORDS`: the failure points at it, and WORDS stand in what is shown. A
//! plan that needs a program which is not here is skipped, aloud, and fails where it could have been installed (CI).

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

use crate::journal::Journal;
use crate::scene::{Scene, root};
use crate::session::{Ended, Session, Shown};

/// Runs at the same time. They wait more than they work.
const AT_ONCE: usize = 3;

/// Programs of other packages that plans need; `.ci/setup` installs them.
const PROGRAMS: &[&str] = &["curl", "dnsmasq", "openssl", "python3", "redis-cli", "redis-server"];

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

/// Does `work` for every plan, some at a time, and fails with all that is wrong.
fn each(name: &str, work: impl Fn(&Path) -> Result<(), String> + Sync) {
    // What plans build is built once, before several of them want it.
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "-p", "services", "-p", "stock"]).current_dir(root());
    assert!(build.env_remove("CARGO_TARGET_DIR").status().expect("cargo runs this test").success());
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
        let marked: Vec<(u64, &str)> =
            (1..).zip(text.lines()).filter_map(|(at, line)| Some((at, line.split_once("# red: ")?.1))).collect();
        let [(line, words)] = marked[..] else { panic!("{}: one line is marked with `# red:`", plan.display()) };
        let scene = Scene::new();
        let ended = run(&scene, plan);
        scene.assert_nothing_left();
        let journal = Journal::read(&scene.out());
        let failures: Vec<&Value> = journal.all("failure").collect();
        let red: BTreeSet<_> = failures.iter().map(|failure| failure["place"]["line"].as_u64()).collect();
        let wrong = |what: String| Err(format!("{}: {what}\n{}", plan.display(), ended.all()));
        match () {
            () if ended.code() != 1 => wrong(format!("exit {}", ended.code())),
            () if red != BTreeSet::from([Some(line)]) => wrong(format!("red at {red:?}, not at line {line}")),
            () if !ended.all().contains(words) => wrong(format!("it does not say {words:?}")),
            () => Ok(()),
        }
    });
}
