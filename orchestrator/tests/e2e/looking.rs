//! `links`, `who` and `bench`, against the mesh of a run that waits in its middle.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::journal::Journal;
use crate::processes;
use crate::scene::{Scene, root};
use crate::session::Session;

/// What a bench of a second each way has to move between two agents of one machine.
const MOVED_AT_LEAST: u64 = 50_000_000;

/// Far more than heartbeats, facts and calls are in the seconds of a bench, and far less than what it moves.
const CONTROL_AT_MOST: u64 = 100_000;

/// A run that goes on until it is told to end.
pub struct Waiting {
    pub scene: Scene,
    pub session: Session,
}

impl Waiting {
    pub fn start() -> Self {
        let scene = Scene::new();
        let plan = scene.path().join("plan.yaml");
        std::fs::write(&plan, waiting_plan(scene.path())).expect("a new file");
        let mut session = scene.run(&plan);
        // What the exec step waits for is a file that only `end` makes.
        session.record("the step that waits", is_waiting);
        Self { scene, session }
    }

    pub fn ask(&self, arguments: &[&str]) -> Output {
        self.scene.meshproof().args(arguments).output().expect("the binary was built with this test")
    }

    /// One JSON document of a command that passes.
    fn told(&self, arguments: &[&str]) -> Value {
        let output = self.ask(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("one document")
    }

    pub fn end(self) {
        std::fs::write(self.scene.path().join("go"), "").expect("a new file");
        self.session.end().assert_code(0);
        self.scene.assert_nothing_left();
    }
}

/// The sample plan's services, and one step that ends when a file is there.
pub fn waiting_plan(scene: &Path) -> String {
    let plan = std::fs::read_to_string(root().join(crate::scene::CHECKOUT)).expect("the sample plan is there");
    let (head, _) = plan.split_once("tests:\n").expect("it has tests");
    let root = root();
    let root = root.to_str().expect("a plain path");
    let head = head.replace("${{ plan.dir }}/../..", root).replace("cwd: ../..", &format!("cwd: {root}"));
    let wait = format!("until [ -e {}/go ]; do sleep 0.05; done", scene.display());
    format!(
        "{head}tests:\n  - id: waits\n    timeout: 200s\n    steps:\n      - at: shop\n        \
         exec: {{ argv: [sh, -c, \"{wait}\"] }}\n        within: 200s\n        expect: {{ code: 0 }}\n"
    )
}

/// The readiness checks are steps as well, of no test.
pub fn is_waiting(record: &Value) -> bool {
    record["what"]["fact"]["step-started"]["key"]["test"] == "waits"
}

fn names(row: &Value) -> String {
    format!("{} - {}", row["left"]["name"].as_str().expect("a name"), row["right"]["name"].as_str().expect("a name"))
}

fn link<'a>(told: &'a Value, named: &str) -> &'a Value {
    let rows = told["links"].as_array().expect("a list");
    rows.iter().find(|row| names(row) == named).unwrap_or_else(|| panic!("no {named} in {told:#}"))
}

fn both_ways(row: &Value) -> u64 {
    row["bytes_there"].as_u64().expect("a number") + row["bytes_back"].as_u64().expect("a number")
}

#[test]
fn a_bench_moves_megabytes_between_two_agents_and_none_through_the_orchestrator() {
    let run = Waiting::start();
    let bench = run.told(&["bench", "--between", "shop", "ledger", "--seconds", "1", "--pings", "50", "--json"]);
    assert_eq!(bench["path"], "direct", "{bench:#}");
    let trips = &bench["round_trips"];
    assert_eq!(trips["count"], 50);
    assert!(trips["min_us"].as_u64() <= trips["p99_us"].as_u64() && trips["max_us"].as_u64() > Some(0), "{trips:#}");
    let flows = bench["goodput"].as_array().expect("a list");
    let ways: Vec<_> = flows.iter().map(|flow| (flow["from"].as_str(), flow["to"].as_str())).collect();
    assert_eq!(ways, [(Some("shop"), Some("ledger")), (Some("ledger"), Some("shop"))]);
    let moved: u64 = flows.iter().map(|flow| flow["bytes"].as_u64().expect("a number")).sum();
    assert!(flows.iter().all(|flow| flow["bytes"].as_u64() > Some(0)) && moved > MOVED_AT_LEAST, "{bench:#}");

    let links = run.told(&["links", "--json"]);
    let between = link(&links, "ledger - shop");
    assert_eq!((&between["state"], &between["path"]), (&"up".into(), &"direct".into()));
    assert!(between["rtt_us"].as_u64() > Some(0) && both_ways(between) > MOVED_AT_LEAST, "{between:#}");
    for control in ["ledger - orchestrator", "shop - orchestrator"] {
        let control = link(&links, control);
        assert_eq!((&control["state"], &control["path"]), (&"up".into(), &"direct".into()));
        assert!(control["rtt_us"].as_u64() > Some(0) && both_ways(control) < CONTROL_AT_MOST, "{control:#}");
    }
    assert_eq!(links["links"].as_array().map(Vec::len), Some(3), "a link is one row: {links:#}");
    run.end();
}

#[test]
fn who_lists_every_peer_of_the_mesh_with_what_it_may_do() {
    let run = Waiting::start();
    let told = run.told(&["who", "--json"]);
    let peers = told["peers"].as_array().expect("a list");
    let listed: Vec<_> = peers.iter().map(|peer| (peer["name"].as_str(), peer["role"].as_str())).collect();
    assert_eq!(
        listed,
        [("ledger", "agent"), ("shop", "agent"), ("orchestrator", "orchestrator")]
            .map(|(name, role)| (Some(name), Some(role)))
    );
    for agent in &peers[..2] {
        assert!(agent["up_ms"].as_u64() > Some(0) && agent["silent"].is_null(), "{agent:#}");
        assert!(agent["capabilities"].to_string().contains("stream"), "{agent:#}");
    }
    for peer in peers {
        let granted = peer["capabilities"].to_string();
        let never = ["netem", "tun\"", "grpc", "ws"].map(|capability| granted.contains(capability));
        assert_eq!(never, [false; 4], "the plan does nothing of that: {peer:#}");
    }
    let nobody = run.ask(&["bench", "--between", "shop", "nobody"]);
    assert_eq!(nobody.status.code(), Some(2));
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(said.contains("no agent is named `nobody` in this mesh; there are ledger, shop"), "{said}");
    run.end();
}

#[test]
fn stubs_are_looked_into_and_purged_from_outside_and_the_run_is_told() {
    let run = Waiting::start();
    let told = run.told(&["stubs", "--json"]);
    let stub = &told["stubs"][0];
    assert_eq!((&stub["stub"], &stub["at"], &stub["healthy"]), (&"payments".into(), &"shop".into(), &true.into()));
    assert_eq!((&stub["calls"], &stub["routes"][0]["calls"]), (&0.into(), &0.into()), "{told:#}");
    charge(stub["address"].as_str().expect("an address"));
    let called = run.told(&["stubs", "payments", "--json"]);
    assert_eq!((&called["stubs"][0]["calls"], &called["stubs"][0]["unmatched"]), (&1.into(), &0.into()), "{called:#}");
    let last = called["stubs"][0]["last"][0].as_str().expect("a call");
    assert!(last.starts_with("charge #1 -> 503"), "{last}");
    let table = String::from_utf8(run.ask(&["stubs"]).stdout).expect("a text");
    assert!(table.contains("last calls of payments:") && table.contains("charge #1 -> 503"), "{table}");

    let purged = run.told(&["stubs", "payments", "--purge", "--json"]);
    assert_eq!((&purged["stubs"][0]["calls"], &purged["stubs"][0]["last"]), (&0.into(), &Value::Array(Vec::new())));
    let nobody = run.ask(&["stubs", "nobody", "--purge"]);
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert_eq!(nobody.status.code(), Some(2), "{said}");
    assert!(said.contains("there is no stub `nobody` in this mesh; known: payments"), "{said}");
    let Waiting { scene, session } = run;
    std::fs::write(scene.path().join("go"), "").expect("a new file");
    session.end().assert_code(0);
    let journal = Journal::read(&scene.out());
    assert_eq!(
        journal.facts("stub-purged").map(|purged| purged.fact["stub"].clone()).collect::<Vec<_>>(),
        ["payments"]
    );
    scene.assert_nothing_left();
}

/// A call as the plan's route takes it.
fn charge(address: &str) {
    let mut stream = TcpStream::connect(address).expect("the stub listens");
    let body = r#"{"card":"4242"}"#;
    let head =
        format!("POST /v1/charges HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).expect("it takes a call");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}

#[test]
fn an_agent_that_is_stopped_is_a_row_that_says_so() {
    let run = Waiting::start();
    let ledger = processes::agent(&processes::mentioning(run.scene.path()), "ledger").pid;
    let send = |signal| kill_process(Pid::from_raw(ledger).expect("not 0"), signal).expect("it runs");
    send(Signal::STOP);
    let told = run.told(&["links", "--json"]);
    let table = run.ask(&["links"]);
    send(Signal::CONT);
    assert_eq!(told["silent"][0]["name"], "ledger", "{told:#}");
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let rows = table.lines().filter(|line| line.starts_with("ledger  ") && line.contains("silent"));
    assert_eq!(rows.count(), 1, "{table}");
    assert!(table.contains("does not answer"), "{table}");
    run.end();
}

#[test]
fn links_are_watched_as_they_change_until_somebody_has_seen_enough() {
    let run = Waiting::start();
    let ledger = processes::agent(&processes::mentioning(run.scene.path()), "ledger").pid;
    let send = |pid: u32, signal| {
        kill_process(Pid::from_raw(pid.cast_signed()).expect("not 0"), signal).expect("it runs");
    };
    let mut command = run.scene.meshproof();
    let mut watching =
        command.args(["links", "--watch", "--json"]).stdout(Stdio::piped()).spawn().expect("it was built");
    let mut lines = BufReader::new(watching.stdout.take().expect("piped")).lines();
    let mut until = |silent: &[&str]| loop {
        let line = lines.next().expect("it goes on").expect("a text");
        let told: Value = serde_json::from_str(&line).expect("one document a line");
        let names = told["silent"].as_array().expect("a list").iter().map(|peer| peer["name"].as_str());
        if names.eq(silent.iter().map(|name| Some(*name))) {
            return told;
        }
    };
    // agents may still connect to each other when the run has begun
    while link(&until(&[]), "ledger - shop")["state"] != "up" {}
    send(ledger.cast_unsigned(), Signal::STOP);
    until(&["ledger"]);
    send(ledger.cast_unsigned(), Signal::CONT);
    until(&[]);
    send(watching.id(), Signal::INT);
    assert_eq!(watching.wait().expect("it ends").code(), Some(130));
    run.end();
}

#[test]
fn without_a_run_or_with_a_bad_mesh_file_the_commands_say_what_to_do() {
    let scene = Scene::new();
    let file = scene.path().join("mesh.toml");
    std::fs::write(&file, "mesh = 3\n").expect("a new file");
    let bad = file.to_str().expect("a plain path");
    for (arguments, code, why) in [
        (&["links"][..], 2, "no run goes on here; start one with `meshproof run PLAN`"),
        (&["who", "--mesh", "r-1"], 2, "`r-1` is no run that goes on and no file"),
        (&["links", "--mesh", bad], 2, "mesh.toml:1: "),
        (&["bench", "--between", "shop", "shop"], 2, "a link has two ends"),
    ] {
        let output = scene.meshproof().args(arguments).output().expect("the binary was built with this test");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(why), "{arguments:?} said: {said}");
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn of_two_runs_one_has_to_be_named() {
    let run = Waiting::start();
    // The second run is of the same user: the folders are shared, the reports are not.
    let second = run.scene.path().join("second");
    let mut command = run.scene.meshproof();
    command.arg("run").arg(run.scene.path().join("plan.yaml")).arg("--out").arg(second).args(["--progress", "json"]);
    let mut other = Session::start(command, crate::session::Shown::Records);
    other.record("the step that waits", is_waiting);
    let output = run.ask(&["links"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let (_, runs) = said.split_once("several runs go on: ").unwrap_or_else(|| panic!("{said}"));
    let (runs, _) = runs.split_once("; say which with --mesh RUN").unwrap_or_else(|| panic!("{said}"));
    let runs: Vec<&str> = runs.split(", ").collect();
    assert_eq!(runs.len(), 2, "{said}");
    for named in runs {
        assert_eq!(run.told(&["links", "--mesh", named, "--json"])["run"], *named);
        assert_eq!(run.told(&["links", "--mesh", &named[..10], "--json"])["run"], *named, "a beginning is enough");
        // in the chat of one, commands about a run are about that one
        assert_eq!(run.told(&["chat", "--mesh", named, "-c", "/show --json"])["run"]["run"], *named);
        let report = run.told(&["chat", "--mesh", named, "-c", "/report --format json"]);
        assert_eq!(
            (&report["run"], &report["goes_on"], &report["verdict"]),
            (&json!(named), &json!(true), &Value::Null)
        );
    }
    std::fs::write(run.scene.path().join("go"), "").expect("a new file");
    other.end().assert_code(0);
    run.end();
}
