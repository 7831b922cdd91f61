//! Machines ask agents and signaling servers how they are.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::process::Process;
use crate::town::Town;

fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect(&answer);
    (status, body.to_owned())
}

/// The value of a figure, by its name and labels as they are told.
fn figure(address: &str, name: &str) -> Option<f64> {
    let (status, text) = get(address, "/metrics");
    assert_eq!((status, text.ends_with("# EOF\n")), (200, true), "{text}");
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn free() -> String {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    address.expect("a free port").to_string()
}

#[test]
fn an_agent_is_ready_once_it_is_registered_and_tells_its_figures() {
    let (mut town, line) = Town::without_signaling("ws");
    let (token, health) = (town.invite("shop", "agent"), free());
    let mut command = town.command(&["agent", "--token-file", &token, "--health", &health]);
    command.env("MESHPROOF_LOG", "info,webrtc=error,rtc=error,tarpc=off");
    let mut agent = Process::start(command);
    agent.says("health and metrics are told");
    assert_eq!(get(&health, "/healthz"), (200, "ok\n".to_owned()));
    let (status, why) = get(&health, "/readyz");
    assert!(status == 503 && why.contains("no signaling server is reached"), "{why}");

    town.start_signaling(&line);
    let joined = agent.says("joined");
    for said in
        ["mesh=dev", "name=shop", "peers=\"nobody else so far\"", "paths=\"direct at 127.0.0.1, else relayed by ws://"]
    {
        assert!(joined.contains(said), "{joined}");
    }
    agent.says("signaling is there");
    assert_eq!(get(&health, "/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(figure(&health, "meshproof_signaling_servers{state=\"up\"}"), Some(1.0));
    assert_eq!(figure(&health, "meshproof_links{state=\"up\"}"), Some(0.0));
    assert!(figure(&health, "process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));
    assert!(figure(&health, "process_cpu_seconds_total").is_some());
    let console = town.console("console");
    assert_eq!(town.agents(&console), ["shop"]);
    assert!(figure(&health, "meshproof_links{state=\"up\"}").is_some(), "the console may have gone");
    assert_eq!(get(&health, "/secrets").0, 404);
}

#[test]
fn an_agent_that_is_asked_for_no_log_says_in_one_line_that_it_has_joined() {
    let town = Town::new();
    let token = town.invite("shop", "agent");
    let mut command = town.command(&["agent", "--token-file", &token]);
    command.env_remove("MESHPROOF_LOG");
    let mut agent = Process::start(command);
    let line = agent.says("joined");
    assert!(line.contains("mesh=dev name=shop peers="), "{line}");
    assert_eq!(agent.seen(), [line], "nothing before it");
}

#[test]
fn a_signaling_server_tells_who_watches_over_it_how_many_peers_it_has() {
    let (mut town, line) = Town::without_signaling("ws");
    let health = free();
    town.start_signaling(&format!("{line} --health {health}"));
    assert_eq!(get(&health, "/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(figure(&health, "meshproof_signaling_peers{mesh=\"dev\"}"), Some(0.0));
    let token = town.invite("shop", "agent");
    let mut agent = town.agent("shop", &token);
    agent.says("signaling is there");
    assert_eq!(figure(&health, "meshproof_signaling_peers{mesh=\"dev\"}"), Some(1.0));
    assert!(figure(&health, "meshproof_signaling_messages_sent_total").is_some_and(|sent| sent >= 1.0));
    let (status, _) = get(&format!("127.0.0.1:{}", town.port()), "/metrics");
    assert_eq!(status, 404, "peers are not told the names of meshes");
}

#[test]
fn logs_are_an_object_a_line_where_they_are_collected() {
    let town = Town::new();
    let token = town.invite("shop", "agent");
    let mut command = town.command(&["agent", "--token-file", &token]);
    command.envs([("MESHPROOF_LOG", "info,webrtc=error,rtc=error,tarpc=off"), ("MESHPROOF_LOG_FORMAT", "json")]);
    let mut agent = Process::start(command);
    let line = agent.says("signaling is there");
    for line in agent.seen().iter().chain([&line]) {
        let told: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(told["timestamp"].is_string() && told["level"] == "INFO" && told["message"].is_string(), "{line}");
    }
    let told: serde_json::Value = serde_json::from_str(&line).expect("it was looked at");
    assert_eq!(told["url"], town.url());
}

#[test]
fn a_place_for_health_that_is_taken_is_told() {
    let town = Town::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let token = town.invite("shop", "agent");
    let (code, told) = town.refused(&["agent", "--token-file", &token, "--health", &address]);
    assert!(code != 0 && told.contains(&format!("cannot listen on {address}, where --health says")), "{told}");
}
