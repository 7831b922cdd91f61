use std::pin::pin;
use std::time::Duration;

use meshproof_proto::event::{StubCall, StubError};
use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{
    Action, Body, Ends, HttpAction, RequestPart, Says, Slow, StubReply, StubRoute, Takes, Target,
};
use meshproof_proto::shaper::Only;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::action::{Answer, Came, perform};

const LONG: Duration = Duration::from_secs(20);

fn value(value: Value) -> ValueTemplate {
    ValueTemplate::fixed(&value)
}

fn reply(status: u16, times: u64, body: Body) -> StubReply {
    StubReply { times, ..StubReply::http(status, body) }
}

/// The provider of the sample plan.
fn payments() -> StubOrder {
    let card = Matcher::Paths(vec![("$.card".to_owned(), Matcher::Equals(value(json!("4242"))))]);
    let id = Template::parse("ch_${{ call.number }}").expect("a template");
    let body = ValueTemplate::Map(vec![
        ("id".to_owned(), ValueTemplate::Text(id)),
        ("card".to_owned(), ValueTemplate::Text(Template::parse("${{ request.json.card }}").expect("a template"))),
    ]);
    let replies = vec![reply(503, 2, Body::Empty), reply(201, 1, Body::Json(body))];
    let charge = StubRoute {
        when: vec![(RequestPart::Json, card)],
        ..StubRoute::http("charge", (Some("POST"), Some("/v1/charges")), replies)
    };
    let broken = Body::Text(Template::parse("${{ request.json.no }}").expect("a template"));
    let odd = StubRoute::http("odd", (None, Some("/odd/*")), vec![reply(200, 1, broken)]);
    StubOrder::http("payments", vec![charge, odd])
}

fn run() -> RunId {
    RunId("r".to_owned())
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
        target: Target::plain("payments", stub.address().to_string()),
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
        Some(Fact::StubCalled(call) | Fact::StubErred { call, .. }) => call,
        other => panic!("not a call: {other:?}"),
    }
}

/// A call that the stub could not answer as the plan says.
async fn erred(told: &mut mpsc::Receiver<Fact>) -> (StubCall, StubError) {
    match told.recv().await {
        Some(Fact::StubErred { call, error }) => (call, error),
        other => panic!("no error: {other:?}"),
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
    stub.begin_fault(shape, &run()).expect("supported");
    stub.begin_test();
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
    let (fact, error) = erred(&mut told).await;
    assert_eq!(error, StubError::NoReply);
    assert!(fact.unexpected && fact.request.contains("`request.json.no` is not set"), "{fact:?}");
}

#[tokio::test]
async fn an_endless_body_is_broken_off_and_told() {
    let (stub, mut told) = stub().await;
    let mut stream = TcpStream::connect(stub.address()).await.expect("connects");
    let head = format!("POST /v1/charges HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", u64::MAX / 4);
    stream.write_all(head.as_bytes()).await.expect("writes");
    while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
    let (fact, error) = erred(&mut told).await;
    assert_eq!(error, StubError::Unsupported);
    assert_eq!((fact.status, fact.unexpected, stub.calls(Some("charge"))), (413, true, Some(0)));
}

#[tokio::test]
async fn latency_is_added_and_measured_on_the_calls_that_came() {
    let (stub, _told) = stub().await;
    let shape = Shape { latency_us: 60_000, jitter_us: 5_000, ..Shape::default() };
    stub.begin_fault(shape.clone(), &run()).expect("supported");
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
async fn a_fault_for_some_calls_slows_those_and_neither_the_others_nor_our_own() {
    let (stub, _told) = stub().await;
    let of_red = |red: bool| {
        let matcher = Matcher::Equals(value(json!(if red { "red" } else { "blue" })));
        let only =
            Only::Headers(vec![("content-type".to_owned(), Matcher::Exists(red)), ("x-team".to_owned(), matcher)]);
        Shape { latency_us: 60_000, only: Some(only), ..Shape::default() }
    };
    let asked = |team: &str| HttpAction {
        target: Target::plain("payments", stub.address().to_string()),
        method: "POST".to_owned(),
        path: Template::text("/v1/charges"),
        headers: vec![("X-Team".to_owned(), Template::text(team))],
        body: Body::Json(value(json!({"card": "4242"}))),
    };
    stub.begin_fault(of_red(true), &run()).expect("supported");
    let slow = perform(&Action::Http(asked("red")), &Value::Null, LONG).await;
    assert!(slow.took >= Duration::from_millis(60), "{:?}", slow.took);
    perform(&Action::Http(asked("blue")), &Value::Null, LONG).await;
    let report = stub.end_fault("slow").await.expect("was active");
    assert!(report.effective && report.healed, "{report:?}");
    assert!(report.measured.ends_with("(1 reply), not 1 reply of others"), "{report:?}");

    stub.begin_fault(of_red(false), &run()).expect("supported");
    perform(&Action::Http(asked("blue")), &Value::Null, LONG).await;
    let report = stub.end_fault("for nobody").await.expect("was active");
    assert_eq!((report.measured.as_str(), report.effective), ("nothing to 1 reply of others", false));
}

#[tokio::test]
async fn a_fault_that_nobody_met_is_probed_and_the_probe_is_no_call() {
    let (stub, _told) = stub().await;
    stub.begin_fault(Shape { latency_us: 20_000, ..Shape::default() }, &run()).expect("supported");
    let report = stub.end_fault("slow").await.expect("was active");
    assert!(report.effective && report.healed && report.measured.ends_with("(1 probe)"), "{report:?}");
    assert!(report.deviation_percent.is_some());
    assert_eq!(stub.calls(None), Some(0));
    stub.begin_fault(Shape::default(), &run()).expect("supported");
    assert!(!stub.end_fault("nothing").await.expect("was active").effective);
}

#[tokio::test]
async fn a_fault_that_ends_is_over_for_services_before_it_is_measured() {
    let (stub, _told) = stub().await;
    stub.begin_fault(Shape { latency_us: 60_000_000, ..Shape::default() }, &run()).expect("supported");
    let mut changes = stub.changes();
    let mut waits = pin!(call(&stub, "/v1/charges", json!({"card": "4242"})));
    tokio::select! {
        _ = &mut waits => panic!("it is not disturbed"),
        changed = changes.changed() => changed.expect("the stub lives"),
    }
    let mut ending = pin!(stub.end_fault("slow"));
    let comes = async { (waits.await, call(&stub, "/v1/charges", json!({"card": "4242"})).await) };
    tokio::select! {
        _ = &mut ending => panic!("its probe takes a minute"),
        (waited, came) = comes => assert_eq!((status(&waited), status(&came)), (503, 503)),
    }
}

#[tokio::test]
async fn a_black_hole_answers_nobody_until_it_is_healed() {
    let (stub, mut told) = stub().await;
    stub.begin_fault(Shape { loss_percent: 100.0, ..Shape::default() }, &run()).expect("supported");
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
    stub.begin_fault(Shape { loss_percent: 100.0, ..Shape::default() }, &run()).expect("supported");
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

/// A stub with one route for everything.
async fn single(replies: Vec<StubReply>, journal: u64) -> (StubServer, mpsc::Receiver<Fact>) {
    let order = StubOrder::http("one", vec![StubRoute::http("it", (None, None), replies)]);
    let (facts, told) = mpsc::channel(64);
    (StubServer::bind(StubOrder { journal, ..order }, facts, 7).await.expect("binds"), told)
}

fn text(text: &str) -> Body {
    Body::Text(Template::text(text))
}

/// All that the stub says to a request on a connection of its own, and how it ended.
async fn raw_answer(stub: &StubServer) -> (String, std::io::Result<()>) {
    let mut stream = TcpStream::connect(stub.address()).await.expect("connects");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("writes");
    let mut seen = Vec::new();
    let ended = stream.read_to_end(&mut seen).await.map(drop);
    (String::from_utf8(seen).expect("text"), ended)
}

#[tokio::test]
async fn a_reset_is_a_reset_before_the_reply_and_in_the_middle_of_its_body() {
    let ends = |ends| StubReply { ends, ..StubReply::http(200, text("0123456789")) };
    let (stub, mut told) = single(vec![ends(Ends::Reset), ends(Ends::ResetInBody), ends(Ends::Closed)], 10).await;
    let (seen, ended) = raw_answer(&stub).await;
    assert_eq!((seen.as_str(), ended.map_err(|error| error.kind())), ("", Err(std::io::ErrorKind::ConnectionReset)));
    let (seen, ended) = raw_answer(&stub).await;
    assert!(seen.contains("content-length: 10") && seen.ends_with("\r\n\r\n01234"), "{seen}");
    assert_eq!(ended.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
    let (seen, ended) = raw_answer(&stub).await;
    assert!(seen.contains("connection: close") && seen.ends_with("0123456789") && ended.is_ok(), "{seen}");
    for status in [0, 200, 200] {
        assert_eq!(fact(&mut told).await.status, status);
    }
}

#[tokio::test]
async fn a_slow_body_takes_its_time_and_comes_whole() {
    let slow = Some(Slow { over_ms: 200, pieces: 5 });
    let (stub, _told) = single(vec![StubReply { slow, ..StubReply::http(200, text("0123456789")) }], 10).await;
    let began = Instant::now();
    let (seen, ended) = raw_answer(&stub).await;
    assert!(seen.ends_with("\r\n\r\n0123456789") && ended.is_ok(), "{seen}");
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_the_journal_has_no_room_for_is_counted_and_told_as_a_number() {
    let (stub, mut told) = single(vec![StubReply::http(200, text("x"))], 2).await;
    for _ in 0..5 {
        assert_eq!(status(&call(&stub, "/", json!({})).await), 200);
    }
    assert_eq!((stub.calls(Some("it")), stub.last_calls().len()), (Some(5), 2));
    for number in [1, 2] {
        assert_eq!(fact(&mut told).await.number, number);
    }
    stub.begin_test();
    assert_eq!(told.recv().await, Some(Fact::StubCallsUntold { stub: "one".to_owned(), calls: 3 }));
    assert_eq!(status(&call(&stub, "/", json!({})).await), 200);
    assert_eq!(fact(&mut told).await.number, 1);
}

#[tokio::test]
async fn a_call_that_fails_the_test_is_told_also_when_the_journal_is_full() {
    let order = StubOrder { journal: 0, ..StubOrder::http("one", Vec::new()) };
    let (facts, mut told) = mpsc::channel(64);
    let stub = StubServer::bind(order, facts, 7).await.expect("binds");
    assert_eq!(status(&call(&stub, "/", json!({})).await), 404);
    assert!(fact(&mut told).await.unexpected);
}

#[tokio::test]
async fn purging_forgets_and_new_routes_answer_from_their_first_reply() {
    let (stub, _told) = stub().await;
    let card = || json!({"card": "4242"});
    let other = vec![StubReply { times: 1, ..StubReply::http(202, Body::Empty) }, StubReply::http(200, Body::Empty)];
    let routes = vec![StubRoute::http("charge", (None, None), other)];
    for expected in [503, 503, 201] {
        assert_eq!(status(&call(&stub, "/v1/charges", card()).await), expected);
    }
    stub.change(&StubChange::Replace(routes)).expect("few routes");
    for expected in [202, 200] {
        assert_eq!(status(&call(&stub, "/elsewhere", card()).await), expected);
    }
    assert_eq!(stub.calls(Some("charge")), Some(5), "calls of the old routes stay counted");
    stub.change(&StubChange::Purge).expect("always possible");
    assert_eq!((stub.calls(Some("charge")), stub.calls(None)), (Some(0), Some(0)));
    assert_eq!(status(&call(&stub, "/v1/charges", card()).await), 503, "the plan's routes are back");
    let report = stub.look().report().await;
    assert_eq!((report.healthy, report.unmatched, report.last.len()), (true, 0, 1));
    assert_eq!(report.routes, [("charge".to_owned(), 1), ("odd".to_owned(), 0)]);
}

#[tokio::test]
async fn a_kept_stub_goes_on_where_it_was_in_the_next_test_and_the_next_run() {
    let order = |keep| StubOrder { keep, ..payments() };
    let (facts, _told) = mpsc::channel(64);
    let first = StubServer::bind(order(Keep::Mesh), facts.clone(), 7).await.expect("binds");
    let card = || json!({"card": "4242"});
    assert_eq!(status(&call(&first, "/v1/charges", card()).await), 503);
    first.begin_test();
    assert_eq!(status(&call(&first, "/v1/charges", card()).await), 503);
    let kept = first.kept();
    first.close().await;
    let second = StubServer::bind_with(
        order(Keep::Mesh),
        Around {
            facts: facts.clone(),
            seed: 7,
            masker: Arc::default(),
            permits: Arc::default(),
            notes: Notes::default(),
        },
        Before { kept, ..Before::default() },
    )
    .await
    .expect("binds");
    assert_eq!(second.calls(Some("charge")), Some(2));
    assert_eq!(status(&call(&second, "/v1/charges", card()).await), 201);
    let run = StubServer::bind(order(Keep::Run), facts, 7).await.expect("binds");
    assert!(run.kept().is_none());
}

#[tokio::test]
async fn a_stub_that_is_held_is_not_healthy() {
    let (stub, _told) = stub().await;
    assert!(stub.is_healthy().await);
    stub.begin_fault(Shape { loss_percent: 100.0, ..Shape::default() }, &run()).expect("supported");
    assert!(!stub.is_healthy().await);
    stub.end_fault("hole").await.expect("was active");
    assert!(stub.is_healthy().await);
}

/// A raw stub: a banner, a line with a sequence, exact bytes, a reset.
async fn raw_stub() -> (StubServer, mpsc::Receiver<Fact>) {
    let says = |says| StubReply { says, ..StubReply::http(200, Body::Empty) };
    let send = |text: &str| says(Says::Text(Template::parse(text).expect("a template")));
    let route = |id: &str, takes: Takes, replies| {
        let when = match &takes {
            Takes::Line => vec![(RequestPart::Line, Matcher::Regex(format!("^{}", id.to_uppercase())))],
            _ => Vec::new(),
        };
        StubRoute { id: id.to_owned(), takes, when, replies }
    };
    let bye = StubReply { ends: Ends::Closed, ..send("221 bye\r\n") };
    let routes = vec![
        route("banner", Takes::Connection, vec![send("220 ready\r\n")]),
        route("get", Takes::Line, vec![send("miss ${{ request.line }}\n"), send("hit ${{ call.number }}\n")]),
        route("binary", Takes::Bytes(vec![0, 1, 2, 3]), vec![says(Says::Bytes(vec![9, 8]))]),
        route("drop", Takes::Line, vec![StubReply { ends: Ends::Reset, ..send("") }]),
        route("quit", Takes::Line, vec![bye]),
    ];
    let order = StubOrder { protocol: Protocol::Tcp, ..StubOrder::http("raw", routes) };
    let (facts, told) = mpsc::channel(64);
    (StubServer::bind(order, facts, 7).await.expect("binds"), told)
}

/// Sends the pieces one by one, then reads until the stub ends the connection.
async fn conversation(stub: &StubServer, pieces: &[&[u8]]) -> (Vec<u8>, std::io::Result<()>) {
    let mut stream = TcpStream::connect(stub.address()).await.expect("connects");
    stream.set_nodelay(true).expect("a socket");
    for piece in pieces {
        stream.write_all(piece).await.expect("writes");
        tokio::task::yield_now().await;
    }
    let mut seen = Vec::new();
    let ended = stream.read_to_end(&mut seen).await.map(drop);
    (seen, ended)
}

#[tokio::test]
async fn a_raw_stub_takes_lines_and_bytes_and_greets() {
    let (stub, mut told) = raw_stub().await;
    let said: &[&[u8]] = &[b"GET a\r\nGE", b"T b\n", &[0, 1], &[2, 3], b"QUIT\n"];
    let (seen, ended) = conversation(&stub, said).await;
    assert_eq!(seen, b"220 ready\r\nmiss GET a\nhit 2\n\x09\x08221 bye\r\n", "{}", seen.escape_ascii());
    assert!(ended.is_ok());
    for (route, request) in [
        ("banner", "a connection"),
        ("get", "GET a"),
        ("get", "GET b"),
        ("binary", "4 bytes: \\x00\\x01\\x02\\x03"),
        ("quit", "QUIT"),
    ] {
        let call = fact(&mut told).await;
        assert_eq!((call.route.as_deref(), call.request.as_str()), (Some(route), request));
    }
    let order = ["banner", "get", "binary", "quit"].map(str::to_owned);
    assert_eq!(stub.in_order(&order), Ok(()));
}

#[tokio::test]
async fn a_raw_stub_resets_and_ends_what_it_does_not_know() {
    let (stub, mut told) = raw_stub().await;
    let (_, ended) = conversation(&stub, &[b"DROP\n"]).await;
    assert_eq!(ended.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
    let (_, ended) = conversation(&stub, &[b"HELO\n"]).await;
    assert!(ended.is_err(), "a call nobody expected is not answered");
    let routes: Vec<_> = [fact(&mut told).await, fact(&mut told).await, fact(&mut told).await, fact(&mut told).await]
        .map(|call| (call.route, call.unexpected))
        .into();
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(routes, [(named("banner"), false), (named("drop"), false), (named("banner"), false), (None, true)]);
}

#[tokio::test]
async fn a_raw_stub_is_disturbed_and_probed_like_any_other() {
    let (stub, _told) = raw_stub().await;
    stub.begin_fault(Shape { latency_us: 20_000, ..Shape::default() }, &run()).expect("supported");
    let report = stub.end_fault("slow").await.expect("was active");
    assert!(report.effective && report.healed, "{report:?}");
    assert!(stub.is_healthy().await);
}
