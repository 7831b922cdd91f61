//! Services that no run starts: they are there before, take part, and are there after it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::journal::Journal;
use crate::scene::Scene;

/// Far above what a line takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers `OK` to every line, on a port of its own, until the test process ends.
fn clerk() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

fn answer(mut stream: TcpStream) {
    let Ok(reader) = stream.try_clone() else { return };
    for line in BufReader::new(reader).lines().map_while(Result::ok) {
        if stream.write_all(format!("OK {line}\n").as_bytes()).is_err() {
            return;
        }
    }
}

fn plan(port: u16) -> String {
    format!(
        "meshproof: 1\nplan: already\nservices:\n  \
         clerk: {{ ports: {{ tcp: {port} }}, ready: {{ tcp: {{ send: \"hello\\n\" }}, expect: {{ line: OK hello }}, eventually: 1s }} }}\n  \
         asker: {{}}\ntests:\n  - id: asked\n    steps:\n      \
         - {{ to: clerk, tcp: {{ send: \"one\\n\" }}, expect: {{ line: OK one }} }}\n      \
         - {{ at: asker, to: clerk, tcp: {{ send: \"two\\n\" }}, expect: {{ line: OK two }} }}\n      \
         - at: asker\n        exec: {{ argv: [echo, \"${{{{ services.clerk.tcp.direct }}}}\"] }}\n        expect: {{ stdout: \"127.0.0.1:{port}\" }}\n      \
         - fault: {{ traffic: asker -> clerk, refuse: true }}\n      \
         - {{ at: asker, to: clerk, tcp: {{ send: \"three\\n\" }}, expect: {{ error: refused }} }}\n      \
         - heal: all\n      \
         - {{ at: asker, to: clerk, tcp: {{ send: \"four\\n\" }}, expect: {{ line: OK four }} }}\n"
    )
}

#[test]
fn a_service_that_runs_already_is_waited_for_called_disturbed_and_left_as_it_was() {
    let port = clerk();
    let scene = Scene::new();
    let file = scene.path().join("plan.yaml");
    std::fs::write(&file, plan(port)).expect("room for a plan");
    scene.run(&file).end().assert_code(0);
    let journal = Journal::read(&scene.out());
    assert_eq!(journal.all("service-started").count(), 0, "nothing was started");
    let ready: Vec<&Value> = journal.all("service-ready").map(|ready| &ready["service"]).collect();
    assert_eq!(ready.len(), 2, "{ready:?}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it is still there");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(b"after\n").expect("it takes lines");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("it answers");
    assert_eq!(line, "OK after\n");
    scene.assert_nothing_left();
}

#[test]
fn a_service_that_should_run_already_and_does_not_is_named_before_any_test() {
    // Bound and not listening: nobody else gets the port, and who connects is refused.
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None);
    let socket = socket.expect("a socket");
    rustix::net::bind(&socket, &std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let bound: std::net::SocketAddr =
        rustix::net::getsockname(&socket).expect("bound").try_into().expect("an internet address");
    let scene = Scene::new();
    let file = scene.path().join("plan.yaml");
    std::fs::write(&file, plan(bound.port())).expect("room for a plan");
    let ended = scene.run_plain(&file).end();
    ended.assert_code(1);
    assert!(ended.all().contains("clerk") && ended.all().contains("refused"), "{}", ended.all());
    assert!(Journal::read(&scene.out()).verdicts().is_empty(), "{}", ended.all());
    scene.assert_nothing_left();
}

#[test]
fn what_a_program_prints_is_told_while_its_step_goes_on() {
    let scene = Scene::new();
    let (file, go) = (scene.path().join("plan.yaml"), scene.path().join("go"));
    let script = format!("echo first; echo beside >&2; until [ -e {} ]; do sleep 0.05; done; echo last", go.display());
    let step = format!("{{ at: here, exec: {{ shell: \"{script}\" }}, within: 120s }}");
    let text =
        format!("meshproof: 1\nplan: prints\nservices: {{ here: {{}} }}\ntests: [{{ id: t, steps: [{step}] }}]\n");
    std::fs::write(&file, text).expect("room for a plan");
    let mut session = scene.run(&file);
    // Two pipes: either may be heard first.
    let mut awaited = BTreeSet::from([("stdout", "first"), ("stderr", "beside")]);
    while !awaited.is_empty() {
        let record = session.record("what is printed", |record| record["what"]["fact"].get("printed").is_some());
        let printed = &record["what"]["fact"]["printed"];
        let text = printed["text"].as_str().expect("a text");
        awaited.retain(|(pipe, said)| printed["pipe"] != *pipe || !text.contains(said));
    }
    // The step cannot have ended: it waits for this.
    std::fs::write(&go, "").expect("a new file");
    session.record("the last line", |record| {
        record["what"]["fact"]["printed"]["text"].as_str().is_some_and(|text| text.contains("last"))
    });
    session.end().assert_code(0);
    scene.assert_nothing_left();
}
