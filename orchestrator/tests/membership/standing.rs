//! Runs in a mesh that stands: agents and services are there before them and after them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Process;
use crate::town::Town;

/// A service that nobody needs to start, and a stub whose calls are counted beyond the run.
const COUNTING: &str = "meshproof: 1\nplan: counting\nparams: { calls: { type: string, default: \"1\" } }\nservices:\n  client: {}\nstubs:\n  till:\n    at: client\n    keep: mesh\n    \
    routes: [{ id: call, when: { path: /call }, reply: { body: \"${{ call.number }}\" } }]\ntests:\n  - id: t\n    steps:\n      \
    - at: client\n        exec: { argv: [curl, -s, --max-time, \"20\", \"${{ stubs.till.url }}/call\"] }\n        \
    expect: { stdout: \"${{ params.calls }}\" }\n";

/// A run that goes on until its log has a line.
const WAITING: &str = "meshproof: 1\nplan: waiting\nservices:\n  client: { logs: { signs: { file: signs.log } } }\nstubs:\n  till: { at: client, routes: [] }\n\
    tests:\n  - id: t\n    steps:\n      - { say: waiting }\n      - { expect: { log: client.signs, contains: go }, eventually: 50s }\n";

/// Where an orchestrator's mesh file is, and whoever has it runs plans.
pub fn orchestrator(town: &Town) -> String {
    let token = town.invite("run-*", "orchestrator");
    town.done(&["mesh", "join", &token, "--out", "run.toml"]);
    "run.toml".to_owned()
}

pub fn plan(town: &Town, name: &str, text: &str) -> String {
    std::fs::write(town.path().join(name), text).expect("a new file");
    name.to_owned()
}

/// An agent with settings of its own.
pub fn agent(town: &Town, name: &str, settings: &[&str]) -> Process {
    let (token, state) = (format!("{name}.token"), format!("state-{name}"));
    if !town.path().join(&token).exists() {
        town.invite(name, "agent");
    }
    let arguments = [&["agent", "--token-file", &token, "--state", &state], settings].concat();
    let mut command = town.command(&arguments);
    command.env("MESHPROOF_LOG", "info,webrtc=error,rtc=error,tarpc=off");
    let mut agent = Process::start(command);
    agent.says("joined");
    agent
}

fn ports<const N: usize>() -> [u16; N] {
    let held: Vec<TcpListener> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    std::array::from_fn(|at| held[at].local_addr().expect("it is bound").port())
}

/// The sample plan's repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// The sample plan's services, as its own build makes them.
fn services() -> PathBuf {
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "-p", "services", "--quiet"]).current_dir(root()).env_remove("CARGO_TARGET_DIR");
    assert!(build.status().expect("cargo runs this test").success(), "the sample services do not build");
    root().join("target/release")
}

#[test]
fn the_sample_plan_passes_unchanged_beside_services_that_run_already() {
    let (town, built) = (Town::new(), services());
    let [shop, ledger, payments, to_ledger] = ports();
    let audit = town.path().join("audit.log");
    let start = |program: &str, settings: &[(&str, String)]| {
        let mut command = Command::new(built.join(program));
        command.current_dir(town.path()).envs(settings.iter().map(|(name, value)| (*name, value)));
        Process::start(command)
    };
    let _services = [
        start("ledger", &[("PORT", ledger.to_string()), ("AUDIT", audit.display().to_string())]),
        start(
            "shop",
            &[
                ("PORT", shop.to_string()),
                ("PAYMENTS_URL", format!("http://127.0.0.1:{payments}")),
                ("LEDGER", format!("127.0.0.1:{to_ledger}")),
            ],
        ),
    ];
    let at_shop = format!("http=127.0.0.1:{shop}");
    let expected = format!("payments={payments},ledger.tcp={to_ledger}");
    let (at_ledger, logs) = (format!("tcp=127.0.0.1:{ledger}"), format!("audit={}", audit.display()));
    let _agents = [
        agent(&town, "shop", &["--service", &at_shop, "--listen", &expected]),
        agent(&town, "ledger", &["--service", &at_ledger, "--logs", &logs]),
    ];
    let mesh = orchestrator(&town);
    let sample = root().join("testdata/checkout/plan.yaml").display().to_string();
    // What it leaves is there for the next one.
    for round in ["first", "second"] {
        town.done(&["run", &sample, "--mesh", &mesh, "--out", round]);
        let log =
            std::fs::read_to_string(town.path().join(round).join("logs/ledger/audit.log")).expect("it was copied");
        assert!(log.contains("posted"), "{log}");
    }
}

#[test]
fn a_stub_that_is_kept_for_the_mesh_goes_on_counting_in_the_runs_that_follow() {
    let town = Town::new();
    let _agent = agent(&town, "client", &[]);
    let (mesh, plan) = (orchestrator(&town), plan(&town, "plan.yaml", COUNTING));
    for calls in 1..=3 {
        town.done(&["run", &plan, "--mesh", &mesh, "--out", "out", "--param", &format!("calls={calls}")]);
    }
}

#[test]
fn who_takes_part_in_a_run_is_not_taken_by_another_which_is_told_by_whom() {
    let town = Town::new();
    let signs = town.path().join("signs.log");
    let log = format!("signs={}", signs.display());
    let _agent = agent(&town, "client", &["--logs", &log]);
    let (mesh, plan) = (orchestrator(&town), plan(&town, "plan.yaml", WAITING));
    let run = |out: &str| town.command(&["run", &plan, "--mesh", &mesh, "--out", out, "--progress", "json"]);
    let mut first = Process::start(run("first"));
    let begun = first.says("\"run-began\"");
    first.says("\"said\"");
    let second = run("second").output().expect("the binary was built with this test");
    let told = String::from_utf8_lossy(&second.stdout) + String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(5), "{told}");
    let holder = begun.split('"').find(|word| word.starts_with("r-")).expect(&begun);
    assert!(told.contains(&format!("already serves run `{holder}`")), "{told}");
    assert!(!told.contains("did not finish"), "{told}");
    std::fs::write(signs, "go\n").expect("its folder is there");
    first.says("\"pass\"");
}

#[test]
fn a_run_that_may_wait_says_for_whom_begins_when_the_other_is_over_and_gives_up_in_time() {
    let town = Town::new();
    let signs = town.path().join("signs.log");
    let log = format!("signs={}", signs.display());
    let _agent = agent(&town, "client", &["--logs", &log]);
    let (mesh, plan) = (orchestrator(&town), plan(&town, "plan.yaml", WAITING));
    let run = |out: &str, wait: &[&str]| {
        let arguments = ["run", &plan, "--mesh", &mesh, "--out", out, "--progress", "json"];
        town.command(&[&arguments, wait].concat())
    };
    let mut first = Process::start(run("first", &[]));
    let begun = first.says("\"run-began\"");
    let holder = begun.split('"').find(|word| word.starts_with("r-")).expect(&begun).to_owned();
    first.says("\"said\"");
    let mut second = Process::start(run("second", &["--wait", "5m"]));
    second.says(&format!("waiting for run {holder}, which has agent client"));
    let third = run("third", &["--wait", "10ms"]).output().expect("the binary was built with this test");
    let told = String::from_utf8_lossy(&third.stdout) + String::from_utf8_lossy(&third.stderr);
    assert_eq!(third.status.code(), Some(5), "{told}");
    assert!(told.contains(&format!("already serves run `{holder}`")), "{told}");
    std::fs::write(signs, "go\n").expect("its folder is there");
    first.says("\"pass\"");
    second.says("\"initialized\"");
    second.says("\"pass\"");
}

/// A mesh file with a token of that role.
pub fn person(town: &Town, name: &str, role: &[&str]) -> String {
    let (token, file) = (format!("{name}.token"), format!("{name}.toml"));
    let invite = ["mesh", "invite", &format!("{name}-*"), "--out", &token, "--role"];
    town.done(&[&invite[..], role].concat());
    town.done(&["mesh", "join", &token, "--out", &file]);
    file
}

#[test]
fn an_observer_of_a_run_looks_and_what_it_may_not_do_is_refused_with_the_reason() {
    let town = Town::new();
    let signs = town.path().join("signs.log");
    let log = format!("signs={}", signs.display());
    let _agent = agent(&town, "client", &["--logs", &log]);
    let (mesh, plan) = (orchestrator(&town), plan(&town, "plan.yaml", WAITING));
    let arguments = ["run", &plan, "--mesh", &mesh, "--out", "out", "--progress", "json"];
    let mut run = Process::start(town.command(&arguments));
    run.says("\"said\"");
    let eyes = person(&town, "eyes", &["observer"]);
    let chat = |file: &str, line: &str| {
        let output = town.ask(&["chat", "--mesh", file, "--as", "anna", "-c", line]);
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), told.into_owned())
    };
    for (line, said) in [("@all ping", "client: pong in "), ("/state @client", "run r-"), ("/who", "orchestrator")] {
        let (code, told) = chat(&eyes, line);
        assert!(code == Some(0) && told.contains(said), "{line}: {code:?} {told}");
    }
    for (line, why) in [
        (
            "@client exec touch it-was-done",
            "doing a step beside a run is for an orchestrator or an operator console, not for an observer; `meshproof mesh invite",
        ),
        // with nobody else there, only the journal would have it
        ("look at this", "writing into the journal of a run is for an orchestrator or an operator console"),
        ("@client logs signs", "reading a log takes `logs`, which the caller's token does not allow"),
    ] {
        let (code, told) = chat(&eyes, line);
        assert!(code == Some(5) && told.contains(why), "{line}: {code:?} {told}");
    }
    assert!(!town.path().join("it-was-done").exists());
    // the same by somebody who may
    let hands = person(&town, "hands", &["operator-console", "--allow", "exec"]);
    let (code, told) = chat(&hands, "@client exec touch it-was-done");
    assert_eq!(code, Some(0), "{told}");
    std::fs::write(signs, "go\n").expect("its folder is there");
    run.says("\"pass\"");
    let journal = std::fs::read_to_string(town.path().join("out/events.jsonl")).expect("the run's");
    assert!(!journal.contains("look at this"), "{journal}");
    assert_eq!(journal.matches("\"asked\"").count(), 1, "{journal}");
}

#[test]
fn an_agent_whose_orchestrator_was_killed_is_free_for_the_next_run() {
    let town = Town::new();
    let signs = town.path().join("signs.log");
    let log = format!("signs={}", signs.display());
    let mut agent = agent(&town, "client", &["--logs", &log, "--run-grace", "500ms"]);
    let (mesh, plan) = (orchestrator(&town), plan(&town, "plan.yaml", WAITING));
    let mut first =
        Process::start(town.command(&["run", &plan, "--mesh", &mesh, "--out", "first", "--progress", "json"]));
    first.says("\"said\"");
    first.kill();
    agent.says("its orchestrator has been out of reach for too long");
    agent.says("the run is finished here");
    std::fs::write(signs, "go\n").expect("its folder is there");
    town.done(&["run", &plan, "--mesh", &mesh, "--out", "second"]);
}

#[test]
fn an_agent_that_comes_back_goes_on_with_the_run() {
    let town = Town::new();
    let signs = town.path().join("signs.log");
    let log = format!("signs={}", signs.display());
    let before = agent(&town, "client", &["--logs", &log]);
    let (mesh, plan) = (
        orchestrator(&town),
        plan(&town, "plan.yaml", &WAITING.replace("eventually: 50s", "eventually: 50s, idempotent: true")),
    );
    let mut run = Process::start(town.command(&["run", &plan, "--mesh", &mesh, "--out", "out", "--progress", "json"]));
    run.says("\"said\"");
    before.kill();
    let _after = agent(&town, "client", &["--logs", &log]);
    run.says("failover-complete");
    std::fs::write(signs, "go\n").expect("its folder is there");
    run.says("\"pass\"");
}

#[test]
fn what_a_mesh_that_stands_cannot_give_is_told_before_anything_of_it_is_used() {
    let town = Town::new();
    let console = town.console("console");
    let mesh = orchestrator(&town);
    let counting = plan(&town, "counting.yaml", COUNTING);
    let told = |arguments: &[&str]| {
        let output = town.ask(&[&["run"], arguments, &["--out", "out"]].concat());
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        // however it is broken into lines
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        (output.status.code().expect("an exit"), text)
    };
    let refused = |arguments: &[&str], exit: i32, parts: &[&str]| {
        let (code, text) = told(arguments);
        assert_eq!(code, exit, "{text}");
        parts.iter().for_each(|part| assert!(text.contains(part), "{part} is not in:\n{text}"));
    };
    refused(
        &[&counting, "--mesh", &console],
        5,
        &["an operator console's, and a run takes an orchestrator's", "--role orchestrator"],
    );
    refused(&[&counting, "--mesh", "nowhere.toml"], 2, &["is no run that goes on and no file"]);

    town.done(&["mesh", "invite", "client", "--allow", "logs", "--out", "client.token"]);
    let mut command = town.command(&["agent", "--token-file", "client.token"]);
    command.env("MESHPROOF_LOG", "info");
    let mut weak = Process::start(command);
    weak.says("joined");
    refused(
        &[&counting, "--mesh", &mesh],
        5,
        &["client may not do what the plan asks of it", "does not allow exec, stub"],
    );
    weak.kill();

    let places = plan(
        &town,
        "places.yaml",
        "meshproof: 1\nplan: places\nservices:\n  shop: { exec: { argv: [shop] }, ports: { http: dynamic }, logs: \
        { audit: { file: audit.log } } }\ntests:\n  - { id: t, steps: [{ to: shop, http: { get: / } }] }\n",
    );
    let shop = agent(&town, "shop", &[]);
    refused(&[&places, "--mesh", &mesh], 5, &["nobody knows where shop listens for http", "--service http=HOST:PORT"]);
    shop.kill();
    let _shop = agent(&town, "shop", &["--service", "http=127.0.0.1:1"]);
    refused(
        &[&places, "--mesh", &mesh],
        5,
        &["nobody knows where shop writes its log audit", "--logs audit=/PATH/TO/FILE"],
    );

    let kills = plan(
        &town,
        "kills.yaml",
        "meshproof: 1\nplan: kills\nservices:\n  shop: { exec: { argv: [shop] } }\ntests:\n  \
        - { id: t, steps: [{ kill: shop }] }\n",
    );
    refused(
        &[&kills, "--mesh", &mesh],
        3,
        &["MP0113", "`shop` runs already in this mesh, so the run cannot kill it", "kills.yaml:6:"],
    );
}

#[test]
fn who_is_missing_is_named_with_those_who_are_there() {
    let town = Town::new();
    let mesh = orchestrator(&town);
    let _agent = agent(&town, "stock", &[]);
    let counting = plan(&town, "counting.yaml", COUNTING);
    let (code, told) = town.refused(&["run", &counting, "--mesh", &mesh, "--out", "out"]);
    assert_eq!(code, 5, "{told}");
    assert!(
        told.contains("mesh dev has no agent client; there are: stock (let one in with `meshproof mesh invite NAME`)"),
        "{told}"
    );
}

#[test]
fn this_machine_stands_in_for_a_service_with_a_token_that_is_made_for_it_or_given() {
    let (town, plan_text) = (Town::new(), COUNTING.replace("keep: mesh", "keep: test"));
    let (mesh, plan) = (orchestrator(&town), plan(&town, "plan.yaml", &plan_text));
    let run = |here: &str| town.ask(&["run", &plan, "--mesh", &mesh, "--here", here, "--out", "out"]);
    let made = run("client");
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    town.invite("client", "agent");
    let given = run("client=client.token");
    assert_eq!(given.status.code(), Some(0), "{given:?}");
    assert!(town.agents(&town.console("looks")).is_empty(), "it left with the run");
}

#[test]
fn who_cannot_stand_in_says_why_and_what_to_do() {
    let town = Town::new();
    let (mesh, plan) = (orchestrator(&town), plan(&town, "plan.yaml", COUNTING));
    let refused = |arguments: &[&str]| town.refused(&[&["run", &plan, "--out", "out"], arguments].concat());
    let (code, said) = refused(&["--mesh", &mesh, "--here", "client", "--root", "nowhere"]);
    assert!(
        code == 5 && said.contains("cannot stand in for client") && said.contains("--here client=client.token"),
        "{said}"
    );
    let (code, said) = refused(&["--here", "client"]);
    assert!(code == 2 && said.contains("--mesh"), "{said}");
    std::fs::write(town.path().join("bad.token"), "nothing").expect("a new file");
    let (code, said) = refused(&["--mesh", &mesh, "--here", "client=bad.token"]);
    assert!(code == 5 && said.contains("its agent has ended"), "{said}");
    assert!(said.contains("bad.token"), "{said}");
}

#[test]
fn nobody_stands_in_for_a_service_whose_agent_is_there() {
    let town = Town::new();
    let _agent = agent(&town, "client", &[]);
    let (mesh, plan) = (orchestrator(&town), plan(&town, "plan.yaml", COUNTING));
    let (code, said) = town.refused(&["run", &plan, "--mesh", &mesh, "--here", "client", "--out", "out"]);
    assert!(code == 5 && said.contains("another agent client is in the mesh; end that one first"), "{said}");
}
