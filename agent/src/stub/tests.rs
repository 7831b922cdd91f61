use std::time::Duration;

use meshproof_proto::event::StubCall;
use meshproof_proto::expr::ValueTemplate;
use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{RequestPart, StubReply, StubRoute, Unmatched};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::action::{Answer, Came};

const LONG: Duration = Duration::from_secs(20);

fn value(value: Value) -> ValueTemplate {
    ValueTemplate::fixed(&value)
}

fn reply(status: u16, times: u64, body: Body) -> StubReply {
    StubReply { status, headers: Vec::new(), body, delay_ms: 0, times }
}

/// The provider of the sample plan.
fn payments() -> StubOrder {
    let card = Matcher::Paths(vec![("$.card".to_owned(), Matcher::Equals(value(json!("4242"))))]);
    let id = Template::parse("ch_${{ call.number }}").expect("a template");
    let body = ValueTemplate::Map(vec![
        ("id".to_owned(), ValueTemplate::Text(id)),
        ("card".to_owned(), ValueTemplate::Text(Template::parse("${{ request.json.card }}").expect("a template"))),
    ]);
    let charge = StubRoute {
        id: "charge".to_owned(),
        method: Some("POST".to_owned()),
        path: Some("/v1/charges".to_owned()),
        when: vec![(RequestPart::Json, card)],
        replies: vec![reply(503, 2, Body::Empty), reply(201, 1, Body::Json(body))],
    };
    let odd = StubRoute {
        id: "odd".to_owned(),
        method: None,
        path: Some("/odd/*".to_owned()),
        when: Vec::new(),
        replies: vec![reply(200, 1, Body::Text(Template::parse("${{ request.json.no }}").expect("a template")))],
    };
    StubOrder { name: "payments".to_owned(), port: 0, unmatched: Unmatched::Fail, routes: vec![charge, odd] }
}

async fn stub() -> (StubServer, mpsc::Receiver<Fact>) {
    let (facts, told) = mpsc::channel(64);
    (StubServer::bind(payments(), facts, 7).await.expect("binds"), told)
}

async fn call(stub: &StubServer, path: &str, json: Value) -> Answer {
    call_within(stub, path, json, LONG).await
}

async fn call_within(stub: &StubServer, path: &str, json: Value, within: Duration) -> Answer {
    let action = HttpAction {
        target: Target { label: "payments".to_owned(), address: stub.address().to_string() },
        method: "POST".to_owned(),
        path: Template::text(path),
        headers: Vec::new(),
        body: Body::Json(value(json)),
    };
    perform(&Action::Http(action), &Value::Null, within).await
}

fn status(answer: &Answer) -> u16 {
    match &answer.came {
        Came::Http(http) => http.status.unwrap_or_else(|| panic!("no status: {answer:?}")),
        other => panic!("not HTTP: {other:?}"),
    }
}

async fn fact(told: &mut mpsc::Receiver<Fact>) -> StubCall {
    match told.recv().await {
        Some(Fact::StubCalled(call)) => call,
        other => panic!("not a call: {other:?}"),
    }
}

#[tokio::test]
async fn replies_come_in_turn_with_their_templates_filled_and_every_call_is_told() {
    let (stub, mut told) = stub().await;
    let card = json!({"card": "4242"});
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(status(&call(&stub, "/v1/charges", card.clone()).await));
    }
    let third = call(&stub, "/v1/charges", card.clone()).await;
    let fourth = call(&stub, "/v1/charges?again=1", card).await;
    assert_eq!(statuses, [503, 503]);
    assert_eq!((status(&third), third.json()), (201, Some(json!({"id": "ch_3", "card": "4242"}))));
    assert_eq!((status(&fourth), fourth.json()), (201, Some(json!({"id": "ch_4", "card": "4242"}))));
    assert_eq!((stub.calls(Some("charge")), stub.calls(Some("odd")), stub.calls(None)), (Some(4), Some(0), Some(4)));
    assert_eq!(stub.calls(Some("no-such")), None);
    for (number, status) in [(1, 503), (2, 503), (3, 201), (4, 201)] {
        let call = fact(&mut told).await;
        assert_eq!((call.number, call.status, call.unexpected), (number, status, false));
        assert_eq!((call.stub.as_str(), call.route.as_deref()), ("payments", Some("charge")));
    }
}

#[tokio::test]
async fn a_stub_that_begins_anew_remembers_no_call_and_stays_disturbed() {
    let (stub, mut told) = stub().await;
    let card = || json!({"card": "4242"});
    assert_eq!(status(&call(&stub, "/v1/charges", card()).await), 503);
    assert_eq!(status(&call(&stub, "/v1/charges", card()).await), 503);
    assert_eq!(status(&call(&stub, "/nowhere", card()).await), 404);
    let shape = Shape { latency_us: 1_000, ..Shape::default() };
    stub.begin_fault(shape).expect("supported");
    stub.begin_anew();
    assert_eq!((stub.calls(Some("charge")), stub.calls(None), stub.last_calls().len()), (Some(0), Some(0), 0));
    assert_eq!(status(&call(&stub, "/v1/charges", card()).await), 503);
    assert_eq!((stub.calls(Some("charge")), stub.calls(None)), (Some(1), Some(1)));
    for number in [1, 2, 1, 1] {
        assert_eq!(fact(&mut told).await.number, number);
    }
    assert!(stub.end_fault("slow").await.is_some_and(|report| report.effective));
}

#[tokio::test]
async fn a_call_that_no_route_takes_is_unexpected_and_hears_which_route_is_near() {
    let (stub, mut told) = stub().await;
    let answer = call(&stub, "/v1/charges", json!({"card": "1111"})).await;
    assert_eq!(status(&answer), 404);
    let problem = answer.json().expect("JSON");
    assert_eq!(problem["meshproof"]["nearest"]["route"], "charge");
    let because = problem["meshproof"]["nearest"]["because"].as_str().expect("a text");
    assert!(because.contains("$.card") && because.contains("1111"), "{because}");
    let fact = fact(&mut told).await;
    assert_eq!((fact.route, fact.unexpected, fact.number), (None, true, 1));
    assert_eq!((stub.calls(None), stub.calls(Some("charge"))), (Some(1), Some(0)));
}

#[tokio::test]
async fn a_reply_that_cannot_be_made_does_not_pass_for_an_answer() {
    let (stub, mut told) = stub().await;
    assert_eq!(status(&call(&stub, "/odd/a/b", json!({})).await), 500);
    let fact = fact(&mut told).await;
    assert!(fact.unexpected && fact.request.contains("`request.json.no` is not set"), "{fact:?}");
}

#[tokio::test]
async fn an_endless_body_is_broken_off_and_told() {
    let (stub, mut told) = stub().await;
    let mut stream = TcpStream::connect(stub.address()).await.expect("connects");
    let head = format!("POST /v1/charges HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", u64::MAX / 4);
    stream.write_all(head.as_bytes()).await.expect("writes");
    while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
    let fact = fact(&mut told).await;
    assert_eq!((fact.status, fact.unexpected, stub.calls(Some("charge"))), (413, true, Some(0)));
}

#[tokio::test]
async fn latency_is_added_and_measured_on_the_calls_that_came() {
    let (stub, _told) = stub().await;
    let shape = Shape { latency_us: 60_000, jitter_us: 5_000, ..Shape::default() };
    stub.begin_fault(shape.clone()).expect("supported");
    for _ in 0..3 {
        let answer = call(&stub, "/v1/charges", json!({"card": "4242"})).await;
        assert!(answer.took >= Duration::from_millis(55), "{:?}", answer.took);
    }
    let report = stub.end_fault("slow").await.expect("was active");
    assert_eq!((report.asked, report.effective, report.healed), (shape.to_string(), true, true));
    assert!(report.measured.ends_with("(3 replies)"), "{}", report.measured);
    assert!(report.deviation_percent.is_some_and(|percent| percent < 50.0), "{:?}", report.deviation_percent);
    assert_eq!(stub.end_fault("slow").await, None);
}

#[tokio::test]
async fn a_fault_that_nobody_met_is_probed_and_the_probe_is_no_call() {
    let (stub, _told) = stub().await;
    stub.begin_fault(Shape { latency_us: 20_000, ..Shape::default() }).expect("supported");
    let report = stub.end_fault("slow").await.expect("was active");
    assert!(report.effective && report.healed && report.measured.ends_with("(1 probe)"), "{report:?}");
    assert!(report.deviation_percent.is_some());
    assert_eq!(stub.calls(None), Some(0));
    stub.begin_fault(Shape::default()).expect("supported");
    assert!(!stub.end_fault("nothing").await.expect("was active").effective);
}

#[tokio::test]
async fn a_black_hole_answers_nobody_until_it_is_healed() {
    let (stub, mut told) = stub().await;
    stub.begin_fault(Shape { loss_percent: 100.0, ..Shape::default() }).expect("supported");
    let mut changes = stub.changes();
    let held = call(&stub, "/v1/charges", json!({"card": "4242"}));
    let heal = async {
        changes.changed().await.expect("the stub lives");
        stub.end_fault("hole").await.expect("was active")
    };
    let (answer, report) = tokio::join!(held, heal);
    assert_eq!(status(&answer), 503);
    assert!(report.effective && report.healed && report.measured.starts_with("held 1"), "{report:?}");
    assert_eq!(fact(&mut told).await.status, 503);
}

#[tokio::test]
async fn a_client_that_leaves_before_its_reply_is_told_with_status_0() {
    let (stub, mut told) = stub().await;
    stub.begin_fault(Shape { loss_percent: 100.0, ..Shape::default() }).expect("supported");
    call_within(&stub, "/v1/charges", json!({"card": "4242"}), Duration::from_millis(100)).await;
    assert_eq!(fact(&mut told).await.status, 0);
    let unseen = stub.end_fault("hole").await.expect("was active");
    assert!(unseen.effective && unseen.healed, "{unseen:?}");
}

#[tokio::test]
async fn closing_frees_the_port_and_ends_open_connections() {
    let (stub, _told) = stub().await;
    let address = stub.address();
    let mut open = TcpStream::connect(address).await.expect("connects");
    stub.close().await;
    let mut rest = Vec::new();
    // Closed by a reset or an end, but closed.
    let _ = tokio::time::timeout(LONG, open.read_to_end(&mut rest)).await.expect("closed");
    assert!(TcpStream::connect(address).await.is_err());
    std::net::TcpListener::bind(address).expect("the port is free");
}
