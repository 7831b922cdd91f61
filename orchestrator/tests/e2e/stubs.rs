//! Sample plans about stubs, each with a twin that goes red where it says so.

use std::collections::BTreeSet;
use std::process::Stdio;

use crate::journal::Journal;
use crate::scene::{Scene, root};
use crate::session::{Session, Shown};

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn passes(plan: &str) -> Journal {
    let scene = Scene::new();
    let ended = scene.run_plain(format!("testdata/stubs/{plan}/plan.yaml")).end();
    ended.assert_code(0);
    scene.assert_nothing_left();
    Journal::read(&scene.out())
}

/// Runs a plan whose lines that end in `red` are to be those that fail, each test of it by one of them.
fn goes_red(plan: &str) {
    let (scene, path) = (Scene::new(), format!("testdata/stubs/{plan}/fails.yaml"));
    let ended = scene.run_plain(&path).end();
    ended.assert_code(1);
    let text = read(&path);
    let lines = text.lines().zip(1_u64..).filter(|(line, _)| line.trim_end().ends_with("# red"));
    let expected: BTreeSet<Option<u64>> = lines.map(|(_, number)| Some(number)).collect();
    let journal = Journal::read(&scene.out());
    let failures = journal.all("failure").map(|failure| failure["place"]["line"].as_u64());
    assert_eq!(failures.collect::<BTreeSet<_>>(), expected, "{}", ended.all());
    scene.assert_nothing_left();
}

/// `check` refuses the plan with these words, and starts nothing.
fn is_refused(plan: &str) {
    let scene = Scene::new();
    let mut command = scene.meshproof();
    command.args(["check", &format!("testdata/stubs/{plan}/plan.yaml")]).stdin(Stdio::null());
    let ended = Session::start(command, Shown::Text).end();
    ended.assert_code(3);
    assert_eq!(ended.stderr(), read(&format!("testdata/stubs/{plan}/diagnostics.txt")));
}

#[test]
fn an_http_stub_takes_answers_remembers_and_forgets_what_the_plan_says() {
    let journal = passes("http");
    let reset = journal.facts("stub-called").find(|call| call.fact["route"] == "cut").expect("it was called");
    assert_eq!(reset.fact["status"], 0);
}

#[test]
fn an_http_stub_goes_red_where_a_call_is_not_what_the_plan_says() {
    goes_red("http");
}

#[test]
fn a_raw_stub_takes_lines_and_bytes_and_breaks_connections() {
    passes("tcp");
}

#[test]
fn a_raw_stub_goes_red_where_a_conversation_is_not_what_the_plan_says() {
    goes_red("tcp");
}

#[test]
fn a_grpc_stub_takes_answers_remembers_and_forgets_what_the_plan_says() {
    let journal = passes("grpc");
    let last = journal.facts("stub-called").find(|call| call.fact["route"] == "sum").expect("it was called");
    let request = last.fact["request"].as_str().expect("a text");
    assert!(request.contains("acme.Till/Sum") && request.ends_with(": OK"), "{request}");
}

#[test]
fn a_grpc_stub_goes_red_where_a_call_is_not_what_the_plan_says() {
    goes_red("grpc");
}

#[test]
fn a_stub_over_tls_sees_the_name_that_was_asked_for_and_takes_only_whom_it_knows() {
    passes("tls");
}

#[test]
fn a_stub_over_tls_goes_red_where_name_trust_or_certificate_is_not_what_the_plan_says() {
    goes_red("tls");
}

#[test]
fn hosts_that_a_service_picks_at_run_time_are_answered_rewritten_or_refused() {
    let journal = passes("upstreams");
    let seen = |route: &str| journal.facts("stub-called").find(|call| call.fact["route"] == route).expect("a call");
    let request = |route: &str| seen(route).fact["request"].as_str().expect("a text").to_owned();
    assert!(request("charge").starts_with("POST https://api.bank.example/charges "), "{}", request("charge"));
    assert_eq!(request("tracking"), "CONNECT https://a.tracking.example: refused");
    assert_eq!((&seen("books").fact["status"], &seen("safe").fact["status"]), (&200.into(), &200.into()));
}

#[test]
fn a_proxy_goes_red_where_a_host_or_a_call_is_not_what_the_plan_says() {
    goes_red("upstreams");
}

#[test]
fn what_a_stub_cannot_do_is_refused_as_unsupported_before_anything_starts() {
    is_refused("unsupported");
}
