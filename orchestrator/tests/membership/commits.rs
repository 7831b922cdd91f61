//! Commits that agents of a mesh test.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::process::Process;
use crate::town::Town;

/// A repository of six commits, of which the fourth breaks it; and today's test of it, which none of them has.
fn repository(town: &Town) {
    let path = town.path().join("repository");
    std::fs::create_dir_all(&path).expect("a new folder");
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=A", "-c", "user.email=a@example.org"];
        let done = Command::new("git").args(who).args(args).current_dir(&path).status().expect("git is installed");
        assert!(done.success(), "git {args:?}");
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    for commit in 0..6 {
        std::fs::write(path.join("answer"), if commit < 3 { "42\n" } else { "41\n" }).expect("written");
        std::fs::write(path.join("number"), format!("{commit}\n")).expect("written");
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message", &format!("change {commit}")]);
    }
    // leaves a process behind that nobody would find again by its group, and a file in its tree
    let today =
        format!("#!/bin/sh\npwd\ntest ! -e left || exit 3\ntouch left\nsetsid sleep {} &\ngrep -q 42 answer\n", nap());
    std::fs::write(path.join("today.sh"), today).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path.join("today.sh"), mode).expect("ours");
}

fn runner(town: &Town, name: &str) -> Process {
    let token = town.invite(name, "agent");
    let mut command = town.command(&["agent", "--token-file", &token, "--labels", "role=build", "--shell"]);
    command.args(["--state", &format!("state-{name}")]);
    let mut agent = Process::start(command);
    agent.says("joined");
    agent
}

/// All that a command said.
fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// No other test, and no other copy of this one, sleeps so long.
fn nap() -> String {
    (100_000 + std::process::id()).to_string()
}

fn sleepers() -> usize {
    let line = format!("sleep\0{}\0", nap());
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    processes
        .filter(|process| std::fs::read(process.path().join("cmdline")).is_ok_and(|its| its == line.as_bytes()))
        .count()
}

#[test]
fn agents_of_a_mesh_clone_commits_through_it_and_find_the_culprit_together() {
    let town = Town::new();
    repository(&town);
    let _runners = ["runner-1", "runner-2"].map(|name| runner(&town, name));
    let me = town.invite("run-*", "orchestrator");
    town.done(&["mesh", "join", &me, "--out", "me.toml"]);
    let bisect = |agents: &str| {
        let args = ["bisect", "--repo", "repository", "--good", "HEAD~5", "--mesh", "me.toml", "--agents", agents];
        town.ask(&[&args[..], &["--overlay", "today.sh", "--out", "out", "--", "./today.sh"]].concat())
    };

    let ended = bisect("role=build");
    let said = told(&ended);
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(said.contains("tested by runner-1, runner-2"), "{said}");
    let results = std::fs::read(town.path().join("out/commits.json")).expect("written");
    let results: Value = serde_json::from_slice(&results).expect("JSON");
    assert_eq!(results["found"]["culprit"]["subject"], "change 3", "{said}");
    let outputs: Vec<&str> = results["commits"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|commit| commit["attempts"][0]["output"].as_str())
        .collect();
    let places: Vec<&str> =
        outputs.iter().filter_map(|output| Some(output.lines().next()?.split_once(' ')?.1)).collect();
    assert!(places.len() >= 4 && places.iter().all(|place| place.ends_with("/tree")), "{outputs:#?}");
    assert!(places.iter().all(|place| !Path::new(place).exists()), "nothing is kept: {places:?}");
    let journals = std::fs::read_dir(town.path().join("out/runs")).expect("written").flatten();
    let journals: Vec<String> =
        journals.map(|run| std::fs::read_to_string(run.path().join("events.jsonl")).expect("written")).collect();
    for name in ["runner-1", "runner-2"] {
        assert!(journals.iter().any(|journal| journal.contains(name)), "{name} has tested some");
    }
    if may_isolate() {
        assert_eq!(sleepers(), 0, "what the tests left running has ended with them");
    }

    let plan = "meshproof: 1\nplan: both\nrepo: { path: repository }\ncommits: { list: [HEAD, HEAD~5] }\n\
        check: { run: grep -q 42 answer }\nparallel: 2\n";
    std::fs::write(town.path().join("plan.yaml"), plan).expect("a new file");
    let ran = town.ask(&["run", "plan.yaml", "--mesh", "me.toml", "--out", "of-the-plan"]);
    let said = told(&ran);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("tested by ") && said.contains("1 passed, 1 failed"), "{said}");

    let refused = bisect("nobody");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("no agent is meant by `nobody`; there are: runner-1, runner-2"), "{said}");
}

#[test]
fn a_commit_that_an_agent_cannot_get_is_an_error_and_no_failure() {
    let town = Town::new();
    repository(&town);
    let token = town.invite("bare", "agent");
    let mut command = town.command(&["agent", "--token-file", &token, "--shell"]);
    command.env("PATH", "/nowhere");
    let mut agent = Process::start(command);
    agent.says("joined");
    let me = town.invite("run-*", "orchestrator");
    town.done(&["mesh", "join", &me, "--out", "me.toml"]);
    let ended =
        town.ask(&["commits", "--repo", "repository", "HEAD", "--mesh", "me.toml", "--out", "out", "--", "false"]);
    let said = told(&ended);
    assert_eq!(ended.status.code(), Some(5), "{said}");
    assert!(said.contains("the clone exited with 127") && !said.contains(" failed"), "{said}");
}

/// Whether programs can be put into a namespace of processes here, as root can.
fn may_isolate() -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(["--fork", "--pid", "--kill-child", "--mount-proc", "true"]);
    unshare.output().is_ok_and(|done| done.status.success())
}
