//! Runs that are followed over their mesh, by peers that know nothing of them but the mesh.

use crate::process::Process;
use crate::standing::{agent, orchestrator, person, plan};
use crate::town::Town;

/// Goes on until its log has a line, and fails then.
const FAILING: &str = "meshproof: 1\nplan: failing\nservices:\n  client: { logs: { signs: { file: signs.log } } }\n\
    tests:\n  - id: t\n    steps:\n      - { say: waiting }\n      - { expect: { log: client.signs, contains: go }, eventually: 50s }\n      \
    - { expect: { log: client.signs, contains: come } }\n";

#[test]
fn a_run_is_followed_over_its_mesh_from_its_first_event_to_its_end_and_its_code() {
    let town = Town::new();
    let signs = town.path().join("signs.log");
    let log = format!("signs={}", signs.display());
    let _agent = agent(&town, "client", &["--logs", &log]);
    let (mesh, plan) = (orchestrator(&town), plan(&town, "plan.yaml", FAILING));
    let eyes = person(&town, "eyes", &["observer"]);
    let mut run = Process::start(town.command(&["run", &plan, "--mesh", &mesh, "--out", "out", "--progress", "json"]));
    let begun = run.says("\"run-began\"");
    let name = begun.split('"').find(|word| word.starts_with("r-")).expect(&begun).to_owned();
    run.says("\"said\"");
    let follow = |arguments: &[&str]| town.command(&[&["attach", "--mesh", &eyes], arguments].concat());
    let mut records = Process::start(follow(&["--progress", "json"]));
    let mut lines = Process::start(follow(&[&name[..6], "--progress", "plain"]));
    records.says("\"said\"");
    lines.says("waiting");
    let (code, told) = town.refused(&["attach", "r-other", "--mesh", &eyes]);
    assert_eq!(code, 2, "{told}");
    let none = format!("nobody commands the run `r-other` in this mesh (these go on: {name})");
    assert!(told.contains(&none), "{told}");
    std::fs::write(signs, "go\n").expect("its folder is there");
    records.says("\"run-ended\"");
    lines.says("1 failed");
    lines.says("reports are on the machine of whoever commanded it");
    let seen: Vec<String> = records.seen().iter().filter(|line| line.starts_with('{')).cloned().collect();
    assert_eq!([records.exit(), lines.exit(), run.exit()], [Some(1); 3]);
    let journal = std::fs::read_to_string(town.path().join("out/events.jsonl")).expect("the run's");
    assert_eq!(seen, journal.lines().collect::<Vec<_>>());
}

#[test]
fn where_nobody_commands_a_run_it_is_said() {
    let town = Town::new();
    let _agent = agent(&town, "client", &[]);
    let eyes = person(&town, "eyes", &["observer"]);
    let (code, told) = town.refused(&["attach", "--mesh", &eyes]);
    assert!(code == 2 && told.contains("nobody commands a run in this mesh"), "{code}: {told}");
}

#[test]
fn who_follows_a_run_hears_when_nobody_goes_on_with_it() {
    let town = Town::new();
    let log = format!("signs={}", town.path().join("signs.log").display());
    let _agent = agent(&town, "client", &["--logs", &log, "--run-grace", "500ms"]);
    let (mesh, plan) = (orchestrator(&town), plan(&town, "plan.yaml", FAILING));
    let eyes = person(&town, "eyes", &["observer"]);
    let mut run = Process::start(town.command(&["run", &plan, "--mesh", &mesh, "--out", "out", "--progress", "json"]));
    run.says("\"said\"");
    let mut follower = Process::start(town.command(&["attach", "--mesh", &eyes, "--progress", "json"]));
    follower.says("\"said\"");
    run.kill();
    follower.says("broke off: whoever commanded it is gone, and none of its agents waits for another");
    assert_eq!(follower.exit(), Some(5));
}
