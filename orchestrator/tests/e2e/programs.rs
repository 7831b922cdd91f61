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
    let at = plan(&scene, &script);
    let text = std::fs::read_to_string(&at).expect("it was written");
    // more than keep what the run has come to
    std::fs::write(&at, text.replace("count: 2", "count: 9")).expect("a writable folder");
    let mut session = scene.run(&at);
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
    let mut others: Vec<String> = (2..=9).map(|number| printed(&scene, &format!("nodes-{number}"))).collect();
    others.sort_unstable();
    let counted: Vec<String> = (2..=9).map(|count| format!("{{\"seq\":{count}}}\n{{}}\n")).collect();
    assert_eq!(others, counted, "what was counted before is still counted");
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

/// The plan kills that agent once all have signalled, and lets them go on when its next instance is there.
fn kills_the_agent_of_the_first(at: &Path) {
    let text = std::fs::read_to_string(at).expect("it was written");
    let steps = "[{ barrier: { name: before, of: nodes }, within: 60s }, { kill: { agent: nodes-1 } }, { at: nodes-1, exec: { shell: \"touch ${{ plan.dir }}/go\" }, within: 60s }]";
    std::fs::write(at, text.replace("[{ say: begun }]", steps)).expect("a writable folder");
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
    kills_the_agent_of_the_first(&at);
    let ended = scene.run(&at).end();
    ended.assert_code(0);
    scene.assert_nothing_left();
    assert_eq!(printed(&scene, "nodes-1").matches("{}").count(), 1, "{}", ended.all());
}

/// The plan with this many members, of whom so many share an agent.
fn shared(at: &Path, count: usize, per_agent: usize) {
    let text = std::fs::read_to_string(at).expect("it was written");
    let text = text.replace("count: 2", &format!("count: {count}\n    per-agent: {per_agent}"));
    std::fs::write(at, text).expect("a writable folder");
}

#[test]
fn members_that_share_an_agent_go_on_when_another_one_takes_its_place() {
    let scene = Scene::new();
    let script = format!(
        "curl -s -X POST $MESHPROOF_API/signal/before\n{}\nuntil curl -sf -X POST \"$MESHPROOF_API/barrier/after?of=nodes\"; do sleep 0.1; done\n\
         curl -s $MESHPROOF_API/params; echo $TEST_OUTPUTS_PATH $SYNC_SERVICE_PORT\n\
         test $HOSTNAME = nodes-2 && echo kept > $TEST_OUTPUTS_PATH/result\ntrue\n",
        waits_for_go(scene.path())
    );
    let at = plan(&scene, &script);
    shared(&at, 5, 3);
    kills_the_agent_of_the_first(&at);
    let ended = scene.run(&at).end();
    ended.assert_code(0);
    scene.assert_nothing_left();
    let journal = Journal::read(&scene.out());
    let initialized: Vec<&str> = journal.all("initialized").filter_map(|what| what["agent"].as_str()).collect();
    assert_eq!(initialized, ["nodes-1", "nodes-4"], "five members at two agents");
    let mut ports = std::collections::BTreeSet::new();
    for number in 1..=5 {
        let name = format!("nodes-{number}");
        let printed = printed(&scene, &name);
        let about = printed.lines().find(|line| line.contains("\"group-members\"")).expect("its part");
        let about: Value = serde_json::from_str(about).expect("JSON");
        assert_eq!((&about["name"], &about["number"]), (&Value::from(name.as_str()), &Value::from(number)));
        assert_eq!(about["members"].as_array().map(Vec::len), Some(5));
        let (outputs, port) = printed.trim_end().rsplit_once(' ').expect("two words");
        assert!(outputs.ends_with(&format!("/services/{name}/outputs")), "{outputs}");
        ports.insert(port.to_owned());
    }
    assert_eq!(ports.len(), 5, "each has an API of its own");
    let kept = std::fs::read_to_string(scene.out().join("services/nodes-2/outputs/result"));
    assert_eq!(kept.expect("what it put there is kept"), "kept\n");
    assert!(!scene.out().join("services/nodes-1").exists(), "it put nothing there");
}

#[test]
fn a_member_that_dies_beside_others_of_its_agent_is_named_within_five_seconds() {
    let scene = Scene::new();
    let script = "case $HOSTNAME in\nnodes-2) curl -s -X POST $MESHPROOF_API/signal/here; kill -9 $$ ;;\n\
                  *) curl -s -X POST $MESHPROOF_API/barrier/up ;;\nesac\n";
    let at = plan(&scene, script);
    shared(&at, 4, 4);
    let text = std::fs::read_to_string(&at).expect("it was written");
    let text = text.replace("timeout: 120s", "timeout: 120s\n    pass-when: { nodes: \">= 3\" }");
    std::fs::write(&at, text).expect("a writable folder");
    let ended = scene.run_plain(&at).end();
    ended.assert_code(0);
    scene.assert_nothing_left();
    assert!(ended.all().contains("nodes-2: SIGKILL"), "{}", ended.all());
    assert!(printed(&scene, "nodes-3").contains("gone: nodes-2"), "{}", printed(&scene, "nodes-3"));
    let journal = Journal::read(&scene.out());
    let at_ms = |what: &dyn Fn(&Value) -> bool| {
        let record = journal.records().iter().find(|record| what(record)).expect("it is there");
        record["at_ms"].as_u64().expect("a time")
    };
    let died = at_ms(&|record: &Value| record["what"]["member-ended"]["member"] == "nodes-2");
    let told = at_ms(&|record: &Value| record["what"]["member-ended"]["member"] == "nodes-3");
    assert!(told - died < 5_000, "{} ms", told - died);
}

#[test]
fn agents_make_the_links_of_a_topology_before_anybody_needs_them_and_no_others() {
    let scene = Scene::new();
    let at = plan(&scene, &format!("{}\n", waits_for_go(scene.path())));
    let text = std::fs::read_to_string(&at).expect("it was written");
    let text = text
        .replace("count: 2", "count: 8\n    per-agent: 2")
        .replace("plan: api", "plan: api\ntopology: { kind: ring }");
    std::fs::write(&at, text).expect("a writable folder");
    let mut session = scene.run(&at);
    // which end offers is a matter of their keys
    let agents = ["nodes-1", "nodes-3", "nodes-5", "nodes-7"];
    let mut left: Vec<(&str, &str)> = agents.iter().copied().zip(agents.iter().copied().cycle().skip(1)).collect();
    while !left.is_empty() {
        let offered = session.record("a link", |record| record["what"]["fact"]["link-offered"].is_object());
        let (from, to) = (offered["from"].as_str(), offered["what"]["fact"]["link-offered"]["to"].as_str());
        let (Some(from), Some(to)) = (from, to) else { panic!("{offered}") };
        // copies of events need one other agent each, which is one of these
        let at = left.iter().position(|link| *link == (from, to) || *link == (to, from));
        at.map(|at| left.remove(at));
    }
    std::fs::write(scene.path().join("go"), "").expect("a writable folder");
    session.end().assert_code(0);
    scene.assert_nothing_left();
    let journal = Journal::read(&scene.out());
    let across = |record: &&Value| {
        let ends = [record["from"].as_str(), record["what"]["fact"]["link-offered"]["to"].as_str()];
        ends == [Some("nodes-1"), Some("nodes-5")] || ends == [Some("nodes-5"), Some("nodes-1")]
    };
    assert_eq!(journal.records().iter().filter(across).count(), 0, "nobody needs it");
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
