//! Whole agents in a real mesh, driven as an orchestrator drives them.

mod ahead;
mod benches;
mod blobs;
mod copying;
mod datagrams;
mod mirroring;
mod process;
mod remembering;
mod tunnels;
mod turns;
mod world;

use std::time::{Duration, Instant};

use meshproof_proto::event::{Fact, Outcome};
use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::id::RunId;
use meshproof_proto::identity::Capability;
use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{
    Action, Authority, Body, Bounds, Check, DataSource, Direction, ExecAction, FaultOrder, FaultTarget, HttpAction,
    Keep, ReceiveOrder, RecordStreamId, StepKey, StepOrder, StreamAction, StubOrder, StubReply, StubRoute, Target,
    TcpAction,
};
use meshproof_proto::rpc::Refusal;
use meshproof_proto::shaper::Shape;
use serde_json::json;
use tarpc::context;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use world::{World, authority, key, name};

/// A service that answers each line with `OK` and the line, and ends when its client does.
async fn service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream));
        }
    });
    address
}

async fn converse(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
        if stream.write_all(format!("OK {line}").as_bytes()).await.is_err() {
            return;
        }
        line.clear();
    }
    // The client has said everything; this is the service's last word.
    let _ = stream.write_all(b"bye\n").await;
}

fn step(key: StepKey, action: Action, checks: Vec<Check>) -> Box<StepOrder> {
    let saves = Vec::new();
    let (within_ms, eventually_ms) = (20_000, None);
    Box::new(StepOrder { authority: authority(), key, action, checks, saves, within_ms, eventually_ms, after: None })
}

fn tcp(address: &str, send: &str) -> Action {
    Action::Tcp(TcpAction {
        target: Target::plain("ledger.tcp", address),
        send: Template::parse(send).expect("parses"),
    })
}

fn cut(lease_ms: u64) -> Box<FaultOrder> {
    Box::new(FaultOrder {
        authority: authority(),
        fault: "cut".to_owned(),
        target: FaultTarget::Traffic { peer: name("ledger"), direction: Direction::Both },
        shape: Shape { loss_percent: 100.0, ..Shape::default() },
        lease_ms,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_flow_through_a_tunnel_with_both_ends_and_refusals_kept() {
    let world = World::new().await;
    world.agent("shop", &Capability::ALL);
    world.agent("ledger", &Capability::ALL);
    let mut mesh = world.orchestrator(&["ledger", "shop"]).await;
    mesh.initialize("ledger", Some(&service().await), &[]).await;
    let tunnel = mesh.initialize("shop", None, &["ledger"]).await.tunnels["ledger.tcp"].clone();
    assert_eq!(mesh.initialize("shop", None, &["ledger"]).await.tunnels["ledger.tcp"], tunnel, "a repeated order");

    let talk = async {
        let mut client = TcpStream::connect(&tunnel).await.expect("listens");
        let large = format!("{}\n", "x".repeat(3_000_000));
        let (mut reader, mut writer) = client.split();
        let writing = async {
            writer.write_all(large.as_bytes()).await.expect("flows");
            writer.shutdown().await.expect("flows");
        };
        let mut answer = String::new();
        let (read, ()) = tokio::join!(reader.read_to_string(&mut answer), writing);
        read.expect("flows");
        assert!(answer == format!("OK {large}bye\n"));
    };
    mesh.during(talk).await;
    // Each link between agents is two facts.
    let linked = |facts: Vec<Fact>| {
        let links = facts.into_iter().filter_map(|fact| match fact {
            Fact::LinkOffered { to } => Some(format!("offered to {to}")),
            Fact::LinkAcknowledged { from } => Some(format!("acknowledged from {from}")),
            _ => None,
        });
        links.collect::<Vec<_>>()
    };
    mesh.until(|mesh| !mesh.facts("shop").is_empty() && !mesh.facts("ledger").is_empty()).await;
    let mut all = linked(mesh.facts("shop"));
    all.extend(linked(mesh.facts("ledger")));
    all.sort();
    let one_way = ["acknowledged from shop", "offered to ledger"];
    let other_way = ["acknowledged from ledger", "offered to shop"];
    assert!(all == one_way || all == other_way, "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dial_that_is_refused_resets_the_connection_at_the_listener() {
    let world = World::new().await;
    world.agent("shop", &Capability::ALL);
    world.agent("ledger", &Capability::ALL);
    let mut mesh = world.orchestrator(&["ledger", "shop"]).await;
    let free = TcpListener::bind("127.0.0.1:0").await.expect("loopback").local_addr().expect("bound").to_string();
    mesh.initialize("ledger", Some(&free), &[]).await;
    let tunnel = mesh.initialize("shop", None, &["ledger"]).await.tunnels["ledger.tcp"].clone();
    let order = step(key("1"), tcp(&tunnel, "hello\n"), Vec::new());
    mesh.client("shop").start(context::current(), order).await.expect("answered").expect("taken");
    let result = mesh.ended("shop", &key("1")).await;
    assert!(matches!(&result.outcome, Outcome::CallFailed { message } if message.contains("reset")), "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_records_are_applied_at_the_other_agent_and_checked_at_the_sender() {
    let world = World::new().await;
    world.agent("shop", &Capability::ALL);
    world.agent("ledger", &Capability::ALL);
    let mut mesh = world.orchestrator(&["ledger", "shop"]).await;
    let ledger = service().await;
    mesh.initialize("ledger", Some(&ledger), &[]).await;
    mesh.initialize("shop", None, &[]).await;

    let (stream, from) = (RecordStreamId(1), name("shop"));
    let apply = tcp(&ledger, "POST ${{ record.id }}\n");
    let receive = ReceiveOrder { authority: authority(), stream, from, apply, key: None };
    mesh.client("ledger").receive(context::current(), Box::new(receive)).await.expect("answered").expect("taken");
    let record = vec![
        ("id".to_owned(), ValueTemplate::Text(Template::parse("${{ index }}").expect("parses"))),
        ("pad".to_owned(), ValueTemplate::Text(Template::text("x".repeat(1_000)))),
    ];
    let data = DataSource::Generate { count: 1_000, json: ValueTemplate::Map(record) };
    let checks = vec![
        Check { field: "each.line".to_owned(), matcher: Matcher::Regex("^OK POST".to_owned()) },
        Check { field: "records".to_owned(), matcher: Matcher::Equals(ValueTemplate::fixed(&json!(1_000))) },
    ];
    let action = Action::Stream(StreamAction { stream, to: name("ledger"), data, pace: None, key: None });
    let order = step(key("1"), action, checks);
    for _ in 0..2 {
        let started = mesh.client("shop").start(context::current(), order.clone()).await;
        started.expect("answered").expect("a repeated order is taken, and not run again");
    }
    let result = mesh.ended("shop", &key("1")).await;
    assert_eq!(result.outcome, Outcome::Ok, "{result:?}");

    let finished = mesh.client("shop").finish(context::current(), authority()).await;
    assert_eq!(finished.expect("answered").expect("taken"), []);
    let bytes = |fact: &Fact| match fact {
        Fact::LinkBytes { sent, .. } => Some((sent[&name("ledger")], sent[&name("orchestrator")])),
        _ => None,
    };
    mesh.until(|mesh| mesh.facts("shop").iter().any(|fact| bytes(fact).is_some())).await;
    let (to_ledger, to_orchestrator) = mesh.facts("shop").iter().find_map(bytes).expect("waited for");
    assert!(to_ledger > 1_000_000 && to_orchestrator < to_ledger / 100, "{to_ledger} and {to_orchestrator}");
    let starts = mesh.facts("shop").into_iter().filter(|fact| matches!(fact, Fact::StepStarted { .. }));
    assert_eq!(starts.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_holds_the_tunnels_bytes_until_it_is_healed_and_is_measured() {
    let world = World::new().await;
    world.agent("shop", &Capability::ALL);
    world.agent("ledger", &Capability::ALL);
    let mut mesh = world.orchestrator(&["ledger", "shop"]).await;
    mesh.initialize("ledger", Some(&service().await), &[]).await;
    let tunnel = mesh.initialize("shop", None, &["ledger"]).await.tunnels["ledger.tcp"].clone();
    let mut client = BufReader::new(TcpStream::connect(&tunnel).await.expect("listens"));
    let mut line = String::new();
    client.write_all(b"before\n").await.expect("open");
    mesh.during(client.read_line(&mut line)).await.expect("flows");

    let shop = mesh.client("shop");
    shop.begin_fault(context::current(), cut(30_000)).await.expect("answered").expect("taken");
    client.write_all(b"during\n").await.expect("open");
    let read = tokio::time::timeout(Duration::from_millis(600), client.fill_buf());
    mesh.during(read).await.expect_err("held");
    let report = mesh.during(shop.heal_fault(context::current(), authority(), "cut".to_owned())).await;
    let report = report.expect("answered").expect("healed");
    assert_eq!(report.measured, "loss 100% (1 connection, 7 B held, 0 B passed)");
    assert!(report.effective && report.healed, "{report:?}");
    mesh.during(client.read_line(&mut line)).await.expect("flows");
    assert_eq!(line, "OK before\nOK during\n");
    let again = mesh.during(shop.heal_fault(context::current(), authority(), "cut".to_owned())).await;
    assert_eq!(again.expect("answered").expect("known"), report, "a repeated order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_nobody_renews_ends_by_itself_and_a_silent_one_is_proved_by_probes() {
    let world = World::new().await;
    world.agent("shop", &Capability::ALL);
    world.agent("ledger", &Capability::ALL);
    let mut mesh = world.orchestrator(&["ledger", "shop"]).await;
    mesh.initialize("ledger", None, &[]).await;
    mesh.initialize("shop", None, &["ledger"]).await;
    let began = Instant::now();
    let shop = mesh.client("shop");
    shop.begin_fault(context::current(), cut(400)).await.expect("answered").expect("taken");
    let status = shop.status(context::current()).await.expect("answered").expect("anybody may ask");
    assert_eq!(status.faults_active, ["cut"]);
    let ended = |facts: Vec<Fact>| {
        facts.into_iter().find_map(|fact| if let Fact::FaultEnded(report) = fact { Some(report) } else { None })
    };
    mesh.until(|mesh| ended(mesh.facts("shop")).is_some()).await;
    let report = ended(mesh.facts("shop")).expect("waited for");
    assert!(report.effective && report.healed && report.measured.contains("probes only"), "{report:?}");
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_begins_once_and_with_stubs_that_nobody_has_called() {
    let world = World::new().await;
    world.agent("shop", &Capability::ALL);
    let mut mesh = world.orchestrator(&["shop"]).await;
    let address = mesh.initialize_with_stub("shop", "pay").await;
    let shop = mesh.client("shop");
    let call = |id: &str| {
        let target = Target::plain("pay", address.clone());
        let (method, path) = ("GET".to_owned(), Template::text("/"));
        let call = HttpAction { target, method, path, headers: Vec::new(), body: Body::Empty };
        let answered = Check { field: "status".to_owned(), matcher: Matcher::Exists(true) };
        step(key(id), Action::Http(call), vec![answered])
    };
    let called = |id: &str, times: u64| {
        let expected = Action::ExpectStub { stub: "pay".to_owned(), route: None };
        let matcher = Matcher::Equals(ValueTemplate::fixed(&json!(times)));
        step(key(id), expected, vec![Check { field: "calls".to_owned(), matcher }])
    };
    let begin = || shop.begin_test(context::current(), authority(), "t".to_owned());
    for (order, begins) in [
        (call("ready"), false),
        (called("1", 1), true),
        (called("2", 0), false),
        (call("3"), true),
        (called("4", 1), false),
    ] {
        let id = order.key.clone();
        shop.start(context::current(), order).await.expect("answered").expect("taken");
        assert_eq!(mesh.ended("shop", &id).await.outcome, Outcome::Ok, "{id}");
        if begins {
            assert_eq!(begin().await.expect("answered"), Ok(()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_asks_sees_the_calls_of_a_stub_and_those_of_the_run_before_if_they_are_kept() {
    let world = World::new().await;
    world.agent("shop", &Capability::ALL);
    let mut mesh = world.orchestrator(&["shop"]).await;
    let shop = mesh.client("shop");
    let reply = StubReply::http(200, Body::Empty);
    let stub = |keep| StubOrder {
        keep,
        ..StubOrder::http("pay", vec![StubRoute::http("it", (None, None), vec![reply.clone()])])
    };
    let mut seen = Vec::new();
    for (run, keep) in [("r-1", Keep::Mesh), ("r-2", Keep::Mesh), ("r-3", Keep::Run)] {
        let authority = Authority { run: RunId(run.to_owned()), ..authority() };
        let address = mesh.initialize_run_with_stub("shop", authority.clone(), stub(keep)).await;
        let mut stream = TcpStream::connect(&address).await.expect("listens");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: pay\r\nConnection: close\r\n\r\n").await.expect("written");
        stream.read_to_end(&mut Vec::new()).await.expect("answered");
        let reports = mesh.during(shop.stubs(context::current())).await.expect("answered").expect("anybody may look");
        let [report] = &reports[..] else { panic!("one stub: {reports:?}") };
        assert!(report.healthy && report.address == address, "{report:?}");
        seen.push((report.routes.clone(), report.last.len()));
        mesh.during(shop.finish(context::current(), authority)).await.expect("answered").expect("taken");
    }
    let calls = |calls: u64, last: usize| (vec![("it".to_owned(), calls)], last);
    assert_eq!(seen, [calls(1, 1), calls(2, 2), calls(1, 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_between_agents_that_nothing_links_did_nothing_and_leaves_nothing_to_heal() {
    let world = World::new().await;
    world.agent("shop", &Capability::ALL);
    world.agent("ledger", &Capability::ALL);
    let mut mesh = world.orchestrator(&["ledger", "shop"]).await;
    mesh.initialize("ledger", None, &[]).await;
    mesh.initialize("shop", None, &[]).await;
    let shop = mesh.client("shop");
    shop.begin_fault(context::current(), cut(60_000)).await.expect("answered").expect("taken");
    let report = mesh.during(shop.heal_fault(context::current(), authority(), "cut".to_owned())).await;
    let report = report.expect("answered").expect("known");
    assert!(!report.effective && report.healed, "{report:?}");
    assert_eq!(report.measured, "nothing passes between them through the mesh");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_are_not_for_this_agent_or_run_are_refused_with_the_reason() {
    let world = World::new().await;
    world.agent("shop", &[Capability::Exec]);
    let mesh = world.orchestrator(&["shop"]).await;
    let shop = mesh.client("shop");
    let exec = |authority| {
        let action = ExecAction {
            argv: vec![Template::text("true")],
            env: Vec::new(),
            stdin: None,
            cwd: None,
            limits: Bounds::default(),
        };
        Box::new(StepOrder { authority, ..*step(key("1"), Action::Exec(action), Vec::new()) })
    };
    let start = |authority| shop.start(context::current(), exec(authority));
    assert_eq!(start(authority()).await.expect("answered"), Err(Refusal::NoSuchRun("r1".to_owned())));
    mesh.initialize("shop", None, &[]).await;
    let stub = Action::ExpectStub { stub: "pay".to_owned(), route: None };
    let stub = shop.start(context::current(), step(key("2"), stub, Vec::new())).await.expect("answered");
    assert_eq!(stub, Err(Refusal::Capability("stub".to_owned())));
    let mut other = authority();
    other.plan = meshproof_proto::id::Digest([9; 32]);
    assert!(matches!(start(other).await.expect("answered"), Err(Refusal::OtherPlan { .. })));
    let mut old = authority();
    old.term = meshproof_proto::id::Term(0);
    assert_eq!(start(old).await.expect("answered"), Err(Refusal::OldTerm { offered: 0, current: 1 }));
}
