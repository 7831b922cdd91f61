//! A run answers machines over plain HTTP: whether it lives, whether it goes on, and its figures.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

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

#[test]
fn a_run_tells_whether_it_lives_whether_it_goes_on_and_its_figures() {
    let scene = Scene::new();
    let mut run = with_health(&scene, "127.0.0.1:0");
    let mut address = String::new();
    let told = std::cell::RefCell::new(&mut address);
    run.line("where it listens", |line| {
        let found = line.split_once("health and metrics are told").and_then(|(_, rest)| rest.split_once("127.0.0.1:"));
        let port: Option<String> = found.map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect());
        if let Some(port) = &port {
            **told.borrow_mut() = format!("127.0.0.1:{port}");
        }
        port.is_some()
    });
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
