//! Programs that ask the run through the API of their agent, as members of groups.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::journal::Journal;
use crate::networks;
use crate::scene::{Scene, root};
use crate::session::{Session, Shown};

/// A plan with two nodes that run this shell script; its folder has the script.
fn plan(scene: &Scene, script: &str) -> std::path::PathBuf {
    plan_with(scene, "", script)
}

fn plan_with(scene: &Scene, network: &str, script: &str) -> std::path::PathBuf {
    let members = "groups:\n  nodes:\n    count: 2\n    exec: { argv: [sh, node.sh] }\n    files: { node.sh: { from: node.sh } }\n    \
        params: { rounds: \"3\" }\ntests:\n  - id: api\n    timeout: 120s\n    steps: [{ say: begun }]\n    after: [{ collect: [logs] }]\n";
    let text = format!("meshproof: 1\nplan: api\n{network}{members}");
    let at = scene.path().join("plan.yaml");
    std::fs::write(&at, text).expect("a writable folder");
    std::fs::write(scene.path().join("node.sh"), script).expect("a writable folder");
    at
}

/// What the program printed.
fn printed(scene: &Scene, member: &str) -> String {
    std::fs::read_to_string(scene.out().join(format!("logs/{member}/stdout.log"))).expect("its log was collected")
}

/// Commands of a block of the page, and what it says that they print.
fn shown(block: usize) -> Vec<(String, String)> {
    let page = std::fs::read_to_string(root().join("docs/sidecar-api.md")).expect("the page is here");
    let block = page.split("```console\n").nth(block + 1).and_then(|rest| rest.split_once("```")).expect("commands").0;
    let mut shown: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), shown.last_mut()) {
            (Some(command), _) => shown.push((command.to_owned(), String::new())),
            (None, Some((_, printed))) => *printed += &format!("{line}\n"),
            (None, None) => panic!("{line:?} stands before the first command"),
        }
    }
    shown
}

/// Whether it is that text, in which `…` stands for anything within a line.
fn is_as_shown(printed: &str, shown: &str) -> bool {
    let pattern = regex::escape(shown.trim_end()).replace('…', ".*");
    regex::Regex::new(&format!("^{pattern}$")).expect("it is escaped").is_match(printed.trim_end())
}

#[test]
fn what_the_page_of_the_api_says_is_so() {
    what_is_shown_is_so(0, "");
}

#[test]
fn what_the_page_says_of_the_network_is_so() {
    if networks::are_possible() {
        what_is_shown_is_so(1, "network: { egress: none }\n");
    }
}

/// Runs the commands of a block of the page in a member of a group.
fn what_is_shown_is_so(block: usize, network: &str) {
    const MARK: &str = "----";
    let scene = Scene::new();
    let shown = shown(block);
    assert!(shown.len() > 10, "{shown:?}");
    let commands: String = shown.iter().map(|(command, _)| format!("echo {MARK}\n{command}\n")).collect();
    let script = format!(
        "case $HOSTNAME in\nnodes-1) {commands}\necho {MARK}; curl -s -X POST $MESHPROOF_API/signal/over ;;\n\
         *) curl -s \"$MESHPROOF_API/barrier/over?count=1\" ;;\nesac\n"
    );
    scene.run(plan_with(&scene, network, &script)).end().assert_code(0);
    scene.assert_nothing_left();
    let printed = printed(&scene, "nodes-1");
    let answers: Vec<&str> = printed.split(&format!("{MARK}\n")).skip(1).take(shown.len()).collect();
    assert_eq!(answers.len(), shown.len(), "{printed}");
    for ((command, expected), answer) in shown.iter().zip(answers) {
        assert!(is_as_shown(answer, expected), "{command}\nprints\n{answer}\nand the page says\n{expected}");
    }
}

/// Waits for the file `go` beside the plan.
fn waits_for_go(scene: &Path) -> String {
    format!("until test -e {}/go; do sleep 0.05; done", scene.display())
}

fn asked(ask: &str) -> impl Fn(&Value) -> bool {
    move |record| record["what"]["fact"]["program-asked"]["ask"][ask].is_object()
}

#[test]
fn who_waits_at_a_barrier_is_answered_by_the_orchestrator_that_takes_over() {
    let scene = Scene::new();
    let script = format!(
        "case $HOSTNAME in\nnodes-1) curl -s -X POST $MESHPROOF_API/signal/early; curl -sf -X POST $MESHPROOF_API/barrier/up || exit 3 ;;\n\
         *) {}; curl -s -X POST $MESHPROOF_API/signal/early; curl -sf -X POST $MESHPROOF_API/barrier/up || exit 4 ;;\nesac\n",
        waits_for_go(scene.path())
    );
    let mut session = scene.run(plan(&scene, &script));
    session.record("a program that waits", asked("barrier"));
    session.signal(Signal::KILL);
    let mut command = scene.meshproof();
    command.args(["attach", "--take-over", "--progress", "json"]);
    let mut next = Session::start(command, Shown::Records);
    next.record("the take-over", |record| record["what"]["taken-over"].is_object());
    std::fs::write(scene.path().join("go"), "").expect("a writable folder");
    next.end().assert_code(0);
    scene.assert_nothing_left();
    assert_eq!(printed(&scene, "nodes-1"), "{\"seq\":1}\n{}\n");
    assert_eq!(printed(&scene, "nodes-2"), "{\"seq\":2}\n{}\n", "what was counted before is still counted");
}

#[test]
fn a_member_that_dies_is_named_and_who_waits_for_it_is_told() {
    let scene = Scene::new();
    let script = "case $HOSTNAME in\nnodes-1) curl -s -X POST $MESHPROOF_API/barrier/up && exit 3 ;;\n*) echo no disk >&2; exit 7 ;;\nesac\n";
    let began = std::time::Instant::now();
    let ended = scene.run_plain(plan(&scene, &format!("{script}sleep 60\n"))).end();
    ended.assert_code(1);
    scene.assert_nothing_left();
    let said = ended.all();
    assert!(said.contains("nodes-2: exit code 7"), "{said}");
    assert!(said.contains("no disk"), "its last words are evidence: {said}");
    assert!(began.elapsed().as_secs() < 60, "nobody waits for what cannot be");
}

#[test]
fn programs_find_the_api_where_it_was_when_another_agent_takes_the_place_of_theirs() {
    let scene = Scene::new();
    let script = format!(
        "curl -s -X POST $MESHPROOF_API/signal/before\n{}\nuntil curl -sf -X POST \"$MESHPROOF_API/signal/after\"; do sleep 0.1; done\n\
         curl -sf \"$MESHPROOF_API/barrier/after?count=2\"\n",
        waits_for_go(scene.path())
    );
    let at = plan(&scene, &script);
    let text = std::fs::read_to_string(&at).expect("it was written");
    let steps = "[{ barrier: { name: before, of: nodes }, within: 60s }, { kill: { agent: nodes-1 } }, { at: nodes-1, exec: { shell: \"touch ${{ plan.dir }}/go\" }, within: 60s }]";
    std::fs::write(&at, text.replace("[{ say: begun }]", steps)).expect("a writable folder");
    let ended = scene.run(&at).end();
    ended.assert_code(0);
    scene.assert_nothing_left();
    assert_eq!(printed(&scene, "nodes-1").matches("{}").count(), 1, "{}", ended.all());
}

#[test]
fn a_coordinator_measures_its_runners_slow_data_network_and_the_control_network_stays_fast() {
    if !networks::are_possible() {
        return;
    }
    let scene = Scene::new();
    scene.run_plain(root().join("testdata/coordinated/plan.yaml")).end().assert_code(0);
    scene.assert_nothing_left();
    let printed = printed(&scene, "coordinator-1");
    assert_eq!(printed.matches("ms").count(), 2, "{printed}");
}

#[test]
fn programs_of_testgrounds_sdks_run_unchanged_and_get_the_network_that_they_ask_for() {
    let has_npm = std::process::Command::new("npm").arg("--version").output().is_ok();
    if !has_npm {
        println!("skipped: there is no npm to bring Testground's SDK for JavaScript");
    }
    if !has_npm || !networks::are_possible() {
        return;
    }
    let scene = Scene::new();
    scene.run_plain(root().join("testdata/testground/plan.yaml")).end().assert_code(0);
    scene.assert_nothing_left();
    let journal = Journal::read(&scene.out());
    let of = |ask: &str| journal.records().iter().filter(|record| asked(ask)(record)).count();
    assert_eq!(of("network"), 4, "each asked for its own latency");
    assert_eq!(of("measured"), 6, "and those in Rust wrote down the way to each of the three others");
}
