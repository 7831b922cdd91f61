//! The images of `deploy/`: what is in them, and runs whose agents are containers with addresses of their own.

mod clouds;
mod compose;
mod podman;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use podman::{Container, Yard};

use crate::process::Process;
use crate::town::Town;

/// The most that the agent's image may have, in megabytes.
const AGENT_MB: f64 = 25.0;

/// A run that goes on until the ledger's log has a line.
const WAITING: &str = "meshproof: 1\nplan: waiting\nservices:\n  ledger: { logs: { audit: { file: audit.log } } }\ntests:\n  - id: t\n    steps:\n      \
    - { say: waiting }\n      - { expect: { log: ledger.audit, contains: go }, eventually: 50s, idempotent: true }\n";

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
    images.arg("test").env("CONTAINERS_CONF", podman::settings()).env("IMAGES", "agent signaling sample");
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

    let (town, line) = Town::without_signaling("ws");
    let mut yard = Yard::new("");
    let dev = yard.network("dev", 97);
    let meshes = line.split_whitespace().skip_while(|word| *word != "--mesh").nth(1).expect(&line);
    yard.start(&Container {
        name: "signaling",
        image: "signaling",
        address: Some((&dev, 2)),
        variables: &[("MESHPROOF_MESHES", meshes)],
        ..Container::default()
    });
    let url = format!("ws://{}:7070/mesh", dev.address(2));
    let service = |name: &'static str, address, variables: &[(&str, &str)]| {
        let program = format!("/{name}");
        let audit = yard.volume("audit");
        yard.start(&Container {
            name,
            image: "sample",
            address: Some((&dev, address)),
            variables,
            volumes: &[(&audit, "/audit")],
            arguments: &[&program],
            ..Container::default()
        });
    };
    service("ledger", 3, &[("PORT", "7000"), ("AUDIT", "/audit/audit.log")]);
    service("shop", 4, &[("PORT", "8080"), ("PAYMENTS_URL", "http://127.0.0.1:9001"), ("LEDGER", "127.0.0.1:9002")]);
    let agent = |name: &'static str, variables: &[(&str, &str)]| {
        let (container, beside) = (format!("{name}-agent"), yard.name(name));
        let token = yard.secret(&container, &town.path().join(town.invite(name, "agent")));
        let audit = yard.volume("audit");
        yard.start(&Container {
            name: &container,
            image: "agent",
            beside: Some(&beside),
            variables: &[&[("MESHPROOF_SIGNALING", url.as_str())], variables].concat(),
            volumes: &[(&audit, "/audit")],
            secret: Some(&token),
            ..Container::default()
        });
        yard.log(&container).says("joined");
        container
    };
    let at_ledger = [("MESHPROOF_SERVICE", "tcp=127.0.0.1:7000"), ("MESHPROOF_LOGS", "audit=/audit/audit.log")];
    let ledger = agent("ledger", &at_ledger);
    agent(
        "shop",
        &[("MESHPROOF_SERVICE", "http=127.0.0.1:8080"), ("MESHPROOF_LISTEN", "payments=9001,ledger.tcp=9002")],
    );

    // this machine's own way into that network
    let here = dev.address(1);
    let token = town.invite("run-*", "orchestrator");
    town.done(&["mesh", "join", &token, "--signaling", &url, "--addresses", &here, "--out", "run.toml"]);
    let run = |plan, out| ["run", plan, "--mesh", "run.toml", "--addresses", &here, "--out", out, "--progress", "json"];
    let sample = root().join("testdata/checkout/plan.yaml").display().to_string();
    town.done(&run(&sample, "sample"));

    std::fs::write(town.path().join("waiting.yaml"), WAITING).expect("a new file");
    let mut waiting = Process::start(town.command(&run("waiting.yaml", "waiting")));
    waiting.says("\"said\"");
    yard.kill(&ledger);
    waiting.says("failover-complete");
    let log = yard.mountpoint("audit").join("audit.log");
    let mut log = std::fs::File::options().append(true).open(log).expect("the ledger writes it");
    log.write_all(b"go\n").expect("there is room");
    let ended = waiting.says("\"run-ended\"");
    assert!(ended.contains("\"verdict\":\"pass\""), "{ended}");
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
