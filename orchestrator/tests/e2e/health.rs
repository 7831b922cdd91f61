//! A run answers machines over plain HTTP: whether it lives, whether it goes on, and its figures.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use rustix::process::Signal;

use crate::attached::{go, plan};
use crate::scene::Scene;
use crate::session::{Session, Shown};

/// Status and body.
fn ask(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: run\r\nconnection: close\r\n\r\n").expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    (status, text.split_once("\r\n\r\n").expect("a body").1.to_owned())
}

fn with_health(scene: &Scene, address: &str) -> Session {
    let mut command = scene.run_command(&plan(scene), "plain");
    command.args(["--health", address]).env("MESHPROOF_LOG", "info");
    Session::start(command, Shown::Text)
}

/// Where it says that it listens.
fn listens(session: &mut Session) -> String {
    let address = std::cell::RefCell::new(String::new());
    session.line("where it listens", |line| {
        let found = line.split_once("health and metrics are told").and_then(|(_, rest)| rest.split_once("127.0.0.1:"));
        let port: Option<String> = found.map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect());
        port.map(|port| *address.borrow_mut() = format!("127.0.0.1:{port}")).is_some()
    });
    address.into_inner()
}

#[test]
fn a_run_tells_whether_it_lives_whether_it_goes_on_and_its_figures() {
    let scene = Scene::new();
    let mut run = with_health(&scene, "127.0.0.1:0");
    let address = listens(&mut run);
    assert_eq!(ask(&address, "/healthz"), (200, "ok\n".to_owned()), "also while it is made ready");
    run.said("ready");
    // its one service is ready: its loop answers, and its one agent is linked
    assert_eq!(ask(&address, "/readyz"), (200, "ok\n".to_owned()));
    let (status, figures) = ask(&address, "/metrics");
    assert_eq!(status, 200);
    for line in [
        "meshproof_run_agents{state=\"linked\"} 1",
        "meshproof_run_agents{state=\"away\"} 0",
        "meshproof_run_steps_total{verdict=\"pass\"} 0",
        "meshproof_run_term 1",
        "plan=\"followed\"",
        "# TYPE meshproof_journal_lines counter",
        "# EOF",
    ] {
        assert!(figures.contains(line), "{line} in:\n{figures}");
    }
    assert_eq!(ask(&address, "/nowhere").0, 404);
    go(&scene, "well");
    run.end().assert_code(0);
    TcpStream::connect(&address).expect_err("nobody listens there any more");
    scene.assert_nothing_left();
}

#[test]
fn an_address_that_is_taken_is_a_mistake_of_usage_and_nothing_is_started() {
    let scene = Scene::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let ended = with_health(&scene, &address).end();
    ended.assert_code(2);
    assert!(ended.all().contains(&format!("cannot listen on {address}, where --health says")), "{}", ended.all());
    assert!(!scene.out().join("events.jsonl").exists());
    scene.assert_nothing_left();
}

#[test]
fn one_that_stands_by_lives_and_is_ready_once_it_commands_the_run() {
    let scene = Scene::new();
    let mut run = with_health(&scene, "127.0.0.1:0");
    run.said("ready");
    let mut command = scene.meshproof();
    command
        .args(["attach", "--standby", "--progress", "plain", "--health", "127.0.0.1:0"])
        .env("MESHPROOF_LOG", "info");
    let mut standby = Session::start(command, Shown::Text);
    let address = listens(&mut standby);
    standby.said("standing by for");
    assert_eq!(ask(&address, "/healthz"), (200, "ok\n".to_owned()));
    for path in ["/readyz", "/metrics"] {
        let (status, why) = ask(&address, path);
        assert_eq!((status, why.as_str()), (503, "it stands by: another orchestrator commands the run\n"), "{path}");
    }
    run.signal(Signal::KILL);
    standby.said("another orchestrator goes on");
    assert_eq!(ask(&address, "/readyz"), (200, "ok\n".to_owned()));
    let (status, figures) = ask(&address, "/metrics");
    assert_eq!(status, 200);
    for line in ["meshproof_run_term 2", "meshproof_run_agents{state=\"linked\"} 1", "process_cpu_seconds_total "] {
        assert!(figures.contains(line), "{line} in:\n{figures}");
    }
    go(&scene, "well");
    standby.end().assert_code(0);
    scene.assert_nothing_left();
}

#[test]
fn only_who_may_command_a_run_answers_for_it() {
    let scene = Scene::new();
    let ended = scene.meshproof().args(["attach", "--health", "127.0.0.1:0"]).output().expect("it starts");
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("add --standby or --take-over"), "{said}");
}
