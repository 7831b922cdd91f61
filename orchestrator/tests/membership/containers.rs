//! The images of `deploy/`: what is in them, and runs whose agents are containers with addresses of their own.

mod apart;
mod clouds;
mod cluster;
mod compose;
mod everywhere;
mod kubernetes;
mod own;
mod podman;
mod stands;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use stands::Stands;

use crate::process::Process;

/// The most that the agent's image may have, in megabytes.
const AGENT_MB: f64 = 25.0;

/// A run that goes on until the ledger's log has a line.
const WAITING: &str = "meshproof: 1\nplan: waiting\nservices:\n  ledger: { logs: { audit: { file: audit.log } } }\ntests:\n  - id: t\n    steps:\n      \
    - { say: waiting }\n      - { expect: { log: ledger.audit, contains: go }, eventually: 50s, idempotent: true }\n";

/// The sample plan.
fn sample() -> String {
    root().join("testdata/checkout/plan.yaml").display().to_string()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// What `deploy/images` says of the images, which it builds once for all of these tests.
fn images() -> &'static str {
    static SIZES: OnceLock<String> = OnceLock::new();
    SIZES.get_or_init(build)
}

fn build() -> String {
    let mut images = Command::new(root().join("deploy/images"));
    images.arg("test").env("CONTAINERS_CONF", podman::settings()).env("IMAGES", "agent agent-net signaling sample");
    // what cargo tells a test of its package is not for the build of others
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") && !name.contains("HOME")) {
        if name != "CARGO_TARGET_DIR" {
            images.env_remove(name);
        }
    }
    let output = images.output().expect("it is a script");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    println!("{said}");
    said.into_owned()
}

fn is_possible() -> bool {
    let Some(missing) = podman::missing() else { return true };
    println!("skipped: containers, because {} {}", missing.what, missing.why);
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci || !missing.could_be_installed, "CI has podman and musl-tools");
    false
}

#[test]
fn agents_in_containers_serve_a_run_from_outside_and_come_back_when_they_are_killed() {
    if !is_possible() {
        return;
    }
    small_and_with_nothing_but_the_program(images());

    let stands = Stands::new("", 97);
    let town = &stands.town;
    town.done(&stands.run(&sample(), "sample"));

    std::fs::write(town.path().join("waiting.yaml"), WAITING).expect("a new file");
    let mut waiting = Process::start(town.command(&stands.run("waiting.yaml", "waiting")));
    waiting.says("\"said\"");
    stands.yard.kill("ledger-agent");
    waiting.says("failover-complete");
    let log = stands.yard.mountpoint("audit").join("audit.log");
    let mut log = std::fs::File::options().append(true).open(log).expect("the ledger writes it");
    log.write_all(b"go\n").expect("there is room");
    let ended = waiting.says("\"run-ended\"");
    assert!(ended.contains("\"verdict\":\"pass\""), "{ended}");
}

#[test]
fn the_agents_image_with_network_tools_changes_networks_where_it_may_and_nowhere_else() {
    if !is_possible() {
        return;
    }
    images();
    let tried = |capabilities: &[&str], tool: &[&str]| {
        let locked = ["run", "--rm", "--read-only", "--network", "none", "--cap-drop", "all"];
        let (program, arguments) = tool.split_first().expect("a program");
        let image = ["--entrypoint", program, "meshproof-agent:test-net"];
        podman::tried(&[&locked[..], capabilities, &image, arguments].concat())
    };
    let shaped =
        ["tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", "1mbit", "burst", "32kbit", "latency", "400ms"];
    for tool in [&["ip", "link", "set", "lo", "down"][..], &["nft", "add", "table", "inet", "t"], &shaped] {
        let done = tried(&["--cap-add", "NET_ADMIN"], tool);
        assert!(done.is_ok(), "{tool:?}: {done:?}");
        let refused = tried(&[], tool).expect_err("it is nobody's to do");
        assert!(refused.to_lowercase().contains("operation not permitted"), "{tool:?}: {refused}");
    }
    let version = tried(&[], &["/meshproof-agent", "--version"]).expect("the agent is in it");
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

fn small_and_with_nothing_but_the_program(sizes: &str) {
    let agent = sizes.lines().find(|line| line.starts_with("meshproof-agent:")).expect("it says the agent's");
    let megabytes: f64 = agent.split_whitespace().nth(1).and_then(|size| size.parse().ok()).expect("a number");
    assert!(megabytes < AGENT_MB, "{agent}");
    for image in ["agent", "signaling"] {
        let name = format!("meshproof-{image}:test");
        let locked = ["run", "--rm", "--read-only", "--cap-drop", "all", "--network", "none"];
        let version = podman::done(&[&locked[..], &[&name, "--version"]].concat());
        assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
        let user = podman::done(&["image", "inspect", "--format", "{{.Config.User}}", &name]);
        assert_eq!(user.trim(), "65532:65532");
        let shell = podman::tried(&[&locked[..], &["--entrypoint", "/bin/sh", &name]].concat());
        assert!(shell.expect_err("there is no shell").contains("/bin/sh"));
    }
}
