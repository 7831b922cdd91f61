//! `run --on kubernetes`: what becomes of its namespace, and what is told of pods that are not as they should be.

use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::cluster::{self, Cluster};
use super::{images, is_possible};
use crate::process::Process;
use crate::town::Town;

/// A town, and a cluster that has nothing in it yet.
struct Place {
    town: Town,
    cluster: Cluster,
}

/// None: it was said why.
fn place(part: &str) -> Option<Place> {
    if !is_possible() {
        return None;
    }
    if let Some(missing) = cluster::missing() {
        println!("skipped: a cluster, because there is no {missing}; .ci/setup brings it");
        assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "CI has {missing}");
        return None;
    }
    images();
    let (town, _) = Town::without_signaling("ws");
    let cluster = Cluster::start(&town, part);
    Some(Place { town, cluster })
}

impl Place {
    /// A plan of that name with one service, whose line is of the plan's services, and these steps.
    fn plan(&self, name: &str, service: &str, steps: &str) -> String {
        let file = format!("{name}.yaml");
        let image = self.cluster.image("sample");
        let text = format!(
            "meshproof: 1\nplan: {name}\nservices:\n  ledger:\n    image: \"{image}\"\n    {service}\n    ports: {{ tcp: dynamic }}\n\
             tests:\n  - id: t\n    steps:\n{steps}"
        );
        std::fs::write(self.town.path().join(&file), text).expect("a new file");
        file
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.cluster.reached_by(self.town.command(arguments), &self.town)
    }

    fn run(&self, plan: &str) -> Command {
        self.command(&["run", plan, "--on", "kubernetes", "--out", "out", "--progress", "plain"])
    }

    fn clean(&self, more: &[&str]) -> String {
        let output = self.command(&[&["clean", "--on", "kubernetes"], more].concat()).output().expect("it was built");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        said(&output)
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The ledger as its image has it: it starts nothing by itself.
const LEDGER: &str = "exec: { argv: [/ledger] }\n    env: { PORT: \"${{ self.tcp.port }}\", AUDIT: \"${{ self.dir }}/${{ self.name }}.log\" }\n    \
    files: { words: \"${{ plan.name }}\" }\n    logs: { audit: { file: ledger.log } }";

const ASKED: &str = "      - { to: ledger, tcp: { send: \"POST a\\n\" }, expect: { line: /^OK/ } }\n      \
    - { expect: { log: ledger.audit, contains: posted }, eventually: 20s }\n";

const WRONG: &str = "      - { to: ledger, tcp: { send: \"POST a\\n\" }, expect: { line: /^NO/ } }\n";

#[test]
fn a_namespace_goes_with_a_run_that_passed_and_is_kept_of_one_that_did_not_until_its_time_is_up() {
    let Some(place) = place("k") else { return };
    let (town, cluster) = (&place.town, &place.cluster);
    let passed = place.run(&place.plan("passes", LEDGER, ASKED)).output().expect("it was built");
    assert_eq!(passed.status.code(), Some(0), "{}", said(&passed));
    cluster.is_empty(town, "passes");
    let log = std::fs::read_to_string(town.path().join("out/logs/ledger/pod.log")).expect("it was taken");
    assert!(log.contains("[pod/ledger/meshproof-agent]"), "{log}");
    assert!(!town.path().join("out/mesh.toml").exists(), "that mesh is gone");

    let failed = place.run(&place.plan("fails", LEDGER, WRONG)).output().expect("it was built");
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    let namespaces = cluster.namespaces(town, "fails");
    let [namespace] = &namespaces[..] else { panic!("one was expected: {namespaces:?}") };
    let name = namespace["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("mesh-run-fails-"), "{name}");
    assert_eq!(namespace["metadata"]["annotations"]["meshproof.dev/state"], "kept");
    assert!(said(&failed).contains(&format!("the namespace {name} is kept until ")), "{}", said(&failed));
    let pods = cluster.kubectl(town, &["get", "pods", &format!("--namespace={name}"), "--output=name"]);
    assert_eq!(pods.lines().collect::<Vec<_>>(), ["pod/ledger", "pod/signaling"]);

    let told = place.clean(&[]);
    assert!(told.contains(&format!("the namespace {name} of a run that did not pass is kept until ")), "{told}");
    assert_eq!(cluster.namespaces(town, "fails")[0]["status"]["phase"], "Active");
    let past = "meshproof.dev/expires=2026-01-01T00:00:00Z";
    cluster.kubectl(town, &["annotate", "namespace", name, past, "--overwrite"]);
    let told = place.clean(&[]);
    assert!(
        told.contains(&format!("the namespace {name}, whose time was up at 2026-01-01T00:00:00Z, is removed")),
        "{told}"
    );
    cluster.is_empty(town, "fails");
}

#[test]
fn a_namespace_goes_with_a_run_that_is_interrupted_and_one_whose_orchestrator_was_killed_is_found() {
    let Some(place) = place("i") else { return };
    let (town, cluster) = (&place.town, &place.cluster);
    let waits = "      - { expect: { log: ledger.audit, contains: never }, eventually: 100s, idempotent: true }\n";
    let plan = place.plan("waits", LEDGER, waits);
    // before there is anybody to be asked, and while the plan goes on
    for moment in ["makes the namespace", "ready ["] {
        let mut run = Process::start(place.run(&plan));
        run.says(moment);
        kill_process(run.pid(), Signal::INT).expect("it goes on");
        let seen = run.seen().join("\n");
        assert_eq!(run.exit(), Some(130), "{seen}");
        cluster.is_empty(town, "waits");
    }
    let mut run = Process::start(place.run(&plan));
    run.says("ready [");
    assert_eq!(place.clean(&[]), "nothing was left\n", "it goes on");
    run.kill();
    let told = place.clean(&[]);
    assert!(told.contains(", whose run was killed, is removed"), "{told}");
    cluster.is_empty(town, "waits");
}

/// The processes of that program whose parent this one is.
fn children(parent: Pid, program: &str) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").expect("it is there").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_one = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let of = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<i32>().ok());
        of == Some(parent.as_raw_nonzero().get()) && line.contains(program)
    };
    pids.filter(is_one).filter_map(Pid::from_raw).collect()
}

#[test]
fn a_run_in_a_cluster_goes_on_when_the_way_to_signaling_breaks_off() {
    let Some(place) = place("w") else { return };
    // the agent goes on for so long, and says what came of it when there is a way again
    let load = "      - { to: ledger, load: { tcp: { send: \"STATUS a\\n\" }, rate: 5/s, duration: 6s } }\n";
    let steps = format!("      - {{ say: forwarded-until-here }}\n{load}{ASKED}");
    let mut run = Process::start(place.run(&place.plan("goes-on", LEDGER, &steps)));
    run.says("forwarded-until-here");
    let ways = children(run.pid(), "port-forward");
    let [way] = ways[..] else { panic!("there is one way to signaling: {ways:?}") };
    kill_process(way, Signal::KILL).expect("it goes on");
    run.says("pass: 1 test");
    assert_eq!(run.exit(), Some(0));
    place.cluster.is_empty(&place.town, "goes-on");
}

#[test]
fn what_does_not_become_ready_is_told_with_its_events_and_what_it_printed() {
    let Some(place) = place("n") else { return };
    let (town, cluster) = (&place.town, &place.cluster);
    let plan = place.plan("nowhere", LEDGER, ASKED);
    let path = town.path().join(&plan);
    let there = std::fs::read_to_string(&path).expect("it was written");
    std::fs::write(&path, there.replace("meshproof-sample", "meshproof-is-nowhere")).expect("it can be written");
    let output = place.run(&plan).output().expect("it was built");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let told = said(&output);
    assert!(
        told.contains("pod ledger: service cannot be started, ImagePullBackOff: ")
            && told.contains("events of the pod ledger"),
        "{told}"
    );
    let report = std::fs::read_to_string(town.path().join("out/junit.xml")).expect("it was written");
    assert!(report.contains("Failed to pull image"), "{report}");

    // whether it was seen as ready for a moment, or not at all
    let crashes = "exec: { argv: [/ledger] }\n    env: { PORT: nothing, AUDIT: \"${{ self.dir }}/audit.log\" }\n    \
                   ready: { tcp: { send: \"STATUS a\\n\" }, eventually: 5s }";
    let asked = "      - { to: ledger, tcp: { send: \"POST a\\n\" }, expect: { line: /^OK/ } }\n";
    let output = place.run(&place.plan("crashes", crashes, asked)).output().expect("it was built");
    let told = said(&output);
    assert_ne!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("log of service in the pod ledger"), "{told}");

    let told = place.clean(&["--kept"]);
    assert_eq!(told.matches(", whose run did not pass, is removed").count(), 2, "{told}");
    cluster.is_empty(town, "nowhere");
    cluster.is_empty(town, "crashes");
}

#[test]
fn what_the_api_server_refuses_is_told_and_nothing_stays() {
    let Some(place) = place("r") else { return };
    let (town, cluster) = (&place.town, &place.cluster);
    let templates = town.path().join("deploy/templates");
    std::fs::create_dir_all(&templates).expect("a new folder");
    let of = |line: &str| {
        let text = format!("spec:\n  {line}\n  containers:\n    - name: x\n");
        std::fs::write(templates.join("ledger.yaml"), text).expect("a new file");
        let output = place.run(&place.plan("refused", LEDGER, ASKED)).output().expect("it was built");
        assert_eq!(output.status.code(), Some(5), "{output:?}");
        cluster.is_empty(town, "refused");
        said(&output)
    };
    let told = of("hostNetwork: true");
    assert!(told.contains("violates PodSecurity") && told.contains("hostNetwork"), "{told}");
    // where a real server says that there is no such field
    let told = of("restartPolice: Never");
    assert!(told.contains("restartPolice"), "{told}");
}

#[test]
fn a_cluster_that_cannot_be_reached_is_told_in_one_line() {
    if cluster::missing().is_some() {
        return;
    }
    let (town, _) = Town::without_signaling("ws");
    let config = town.path().join("config");
    // port 1 is nobody's
    let nobody = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{ "name": "x", "cluster": { "server": "http://127.0.0.1:1" } }],
        "contexts": [{ "name": "x", "context": { "cluster": "x", "user": "x" } }], "users": [{ "name": "x", "user": {} }],
    });
    std::fs::write(&config, nobody.to_string()).expect("a new file");
    let plan = "meshproof: 1\nplan: p\nservices:\n  a: { image: x, ports: { tcp: 80 } }\ntests:\n  - { id: t, steps: [{ say: x }] }\n";
    std::fs::write(town.path().join("plan.yaml"), plan).expect("a new file");
    // what is wrong without it is told without it
    std::fs::write(town.path().join("bare.yaml"), plan.replace("image: x", "exec: { argv: [x] }")).expect("a new file");
    let dry = town.command(&["run", "bare.yaml", "--on", "kubernetes", "--dry-run"]).output().expect("it was built");
    assert_eq!(dry.status.code(), Some(3), "{dry:?}");
    assert!(said(&dry).contains("deploy/templates/a.yaml"), "{dry:?}");
    let mut run = town.command(&["run", "plan.yaml", "--on", "kubernetes", "--out", "out", "--progress", "json"]);
    let output = run.env("KUBECONFIG", &config).env("KUBECACHEDIR", town.path()).output().expect("it was built");
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let records = String::from_utf8_lossy(&output.stdout).into_owned();
    let failures = records.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let titles: Vec<String> =
        failures.map(|record| record.to_string()).filter(|record| record.contains("\"failure\"")).collect();
    assert!(titles.iter().any(|title| title.contains("kubectl create") && title.contains("refused")), "{titles:?}");
}
