use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use meshproof_proto::event::{Outcome, StepResult};
use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::id::{Digest, RunId, Term};
use meshproof_proto::mask::Masker;
use meshproof_proto::matcher::{Comparison, Matcher, Quantity};
use meshproof_proto::order::{
    Action, Authority, Body, Check, HttpAction, LoadAction, LoadModel, Save, Share, Stage, StepKey, StepOrder, Target,
};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::generator::{Under, make};
use super::judge::judge;
use super::tally::Tally;
use super::{help, lead};
use crate::permits::Permits;

/// A service that answers with the number that it was sent, and what it saw.
#[derive(Default)]
struct Service {
    calls: AtomicU64,
    connections: AtomicU64,
    numbers: Mutex<BTreeSet<u64>>,
    /// Calls with these numbers are answered with 503.
    refuses: Option<fn(u64) -> bool>,
    /// Nobody is answered without one of these.
    gate: Option<Semaphore>,
}

impl Service {
    async fn start(self) -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let service = Arc::new(self);
        let served = Arc::clone(&service);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                served.connections.fetch_add(1, Ordering::Relaxed);
                let served = Arc::clone(&served);
                let answer = service_fn(move |request| answer(Arc::clone(&served), request));
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
            }
        });
        (service, address)
    }
}

async fn answer(service: Arc<Service>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    service.calls.fetch_add(1, Ordering::Relaxed);
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let number: Option<u64> = std::str::from_utf8(&body).ok().and_then(|text| text.parse().ok());
    if let Some(gate) = &service.gate {
        gate.acquire().await.expect("nobody closes it").forget();
    }
    if let Some(number) = number {
        service.numbers.lock().expect("nobody panics with it").insert(number);
    }
    let mut response = Response::new(Full::new(body));
    if let (Some(refuses), Some(number)) = (service.refuses, number)
        && refuses(number)
    {
        *response.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

fn post(address: &str) -> Action {
    Action::Http(HttpAction {
        target: Target::plain("site.http", address),
        method: "POST".to_owned(),
        path: Template::text("/"),
        headers: Vec::new(),
        body: Body::Text(Template::parse("${{ index }}").expect("an expression")),
    })
}

fn load(call: Action, model: LoadModel, stages: &[(f64, f64, u64)]) -> LoadAction {
    let stage = |(from, to, duration_ms): &(f64, f64, u64)| Stage { from: *from, to: *to, duration_ms: *duration_ms };
    let stages = stages.iter().map(stage).collect();
    let (each, helpers) = (Vec::new(), Vec::new());
    LoadAction { call: Box::new(call), each, within_ms: 5_000, model, stages, share: Share::WHOLE, helpers }
}

const OPEN: LoadModel = LoadModel::Open { in_flight: 100 };

fn under() -> Under {
    Under { permits: Arc::new(Permits::default()), masker: Arc::new(Masker::default()), parent: None }
}

fn order(load: &LoadAction, checks: Vec<Check>) -> StepOrder {
    StepOrder {
        authority: Authority { run: RunId("r1".to_owned()), term: Term(1), plan: Digest::of(b"plan") },
        key: StepKey { test: "t".to_owned(), step: "0".to_owned(), attempt: 1 },
        action: Action::Load(Box::new(load.clone())),
        checks,
        saves: vec![Save { name: "calls".to_owned(), path: "$.calls".to_owned() }],
        within_ms: 10_000,
        eventually_ms: None,
        after: None,
    }
}

fn check(field: &str, comparison: Comparison, quantity: Quantity) -> Check {
    Check { field: field.to_owned(), matcher: Matcher::Compare(comparison, quantity) }
}

async fn made(load: LoadAction) -> Tally {
    make(load, under()).await.expect("a thread")
}

#[tokio::test]
async fn at_a_rate_each_call_is_made_once_and_when_it_is_due() {
    let (service, address) = Service::default().start().await;
    let began = Instant::now();
    let tally = made(load(post(&address), OPEN, &[(0.0, 400.0, 250), (400.0, 400.0, 250)])).await;
    assert_eq!((tally.calls, tally.failed, tally.unsent, tally.took.total()), (150, 0, 0, 150), "{tally:?}");
    assert_eq!(*service.numbers.lock().expect("nobody panics"), (0..150).collect());
    assert!(began.elapsed() >= Duration::from_millis(497), "{:?}", began.elapsed());
    assert!(service.connections.load(Ordering::Relaxed) < 100, "connections are used again");
}

#[tokio::test]
async fn a_user_has_one_call_at_a_time_over_one_connection_and_stages_say_how_many_there_are() {
    let (service, address) = Service::default().start().await;
    let tally =
        made(load(post(&address), LoadModel::Closed, &[(3.0, 3.0, 200), (0.0, 0.0, 100), (1.0, 1.0, 100)])).await;
    assert_eq!((tally.failed, tally.calls), (0, service.calls.load(Ordering::Relaxed)));
    assert!(tally.calls > 4, "{tally:?}");
    // the first user comes twice
    assert_eq!(service.connections.load(Ordering::Relaxed), 4);
    assert!(tally.elapsed >= Duration::from_millis(400));
}

#[tokio::test]
async fn what_has_to_wait_for_room_takes_from_when_it_was_due() {
    // its end is far away, so each call finds room at last
    let stages = [(100.0, 100.0, 200), (0.0, 0.0, 60_000)];
    let (service, address) = Service { gate: Some(Semaphore::new(0)), ..Service::default() }.start().await;
    let making = tokio::spawn(made(load(post(&address), LoadModel::Open { in_flight: 1 }, &stages)));
    while service.calls.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    // when another one that begins now has made its last call, all calls of this one are due for as long as that one's were
    let (_, free) = Service::default().start().await;
    assert_eq!(made(load(post(&free), OPEN, &stages)).await.calls, 20);
    service.gate.as_ref().expect("it has one").add_permits(20);
    let tally = making.await.expect("no panic");
    assert_eq!((tally.calls, tally.failed, tally.unsent), (20, 0, 0), "{tally:?}");
    // the first waited for 190 ms, the next for 180, and so on
    let slow = tally.took.at(0.7).expect("some");
    assert!(slow >= Duration::from_millis(120), "{slow:?}");
}

#[tokio::test]
async fn what_finds_no_room_until_the_end_is_not_sent() {
    // all are due at once, two find room, and what is given up is so well after the end
    let (service, address) = Service { gate: Some(Semaphore::new(0)), ..Service::default() }.start().await;
    let stages = [(1000.0, 1000.0, 10), (0.0, 0.0, 3_000)];
    let held = load(post(&address), LoadModel::Open { in_flight: 2 }, &stages);
    let held = LoadAction { within_ms: 3_500, ..held };
    let tally = made(held.clone()).await;
    assert_eq!((service.calls.load(Ordering::Relaxed), tally.calls, tally.unsent), (2, 2, 8), "{tally:?}");
    let Outcome::CallFailed { message } = judge(&order(&held, Vec::new()), tally, Duration::ZERO).outcome else {
        panic!("all failed")
    };
    assert_eq!(message, "10 of 10 calls failed: timeout (2), not sent in time (8)");
}

#[tokio::test]
async fn calls_that_fail_are_counted_by_their_reason_and_fail_the_step_unless_so_many_may() {
    let refuses = Some((|number| number % 4 == 0) as fn(u64) -> bool);
    let (_, address) = Service { refuses, ..Service::default() }.start().await;
    let load = load(post(&address), OPEN, &[(200.0, 200.0, 200)]);
    let tally = made(load.clone()).await;
    assert_eq!((tally.calls, tally.failed, tally.reasons["status 503"], tally.took.total()), (40, 10, 10, 30));
    assert!(tally.shown.len() == 3 && tally.shown[0].text.contains("503"), "{:?}", tally.shown);
    let judged = |checks| judge(&order(&load, checks), tally.clone(), Duration::ZERO);
    let message = "10 of 40 calls failed: status 503 (10)".to_owned();
    assert_eq!(judged(Vec::new()).outcome, Outcome::CallFailed { message });
    let fine = judged(vec![check("failed", Comparison::LessOrEqual, Quantity::Percent(25.0))]);
    assert_eq!((fine.outcome, fine.saved["calls"].as_str()), (Outcome::Ok, "40"));
    let Outcome::Failed(failures) = judged(vec![check("failed", Comparison::Less, Quantity::Percent(25.0))]).outcome
    else {
        panic!("too many failed")
    };
    assert_eq!(failures[0].mismatch.actual, "25.00% (status 503 (10))");
}

#[tokio::test]
async fn each_answer_is_checked_and_the_first_that_does_not_hold_is_told() {
    let (_, address) = Service::default().start().await;
    let is = |text: &str| Matcher::Not(Box::new(Matcher::Equals(ValueTemplate::Text(Template::text(text)))));
    let mut load = load(post(&address), OPEN, &[(200.0, 200.0, 100)]);
    load.each = vec![Check { field: "body".to_owned(), matcher: is("7") }];
    let tally = made(load.clone()).await;
    assert_eq!((tally.failed, tally.broken[&0].call, tally.broken[&0].count), (1, 7, 1), "{tally:?}");
    let each = Check { field: "each.body".to_owned(), matcher: is("7") };
    let Outcome::Failed(failures) = judge(&order(&load, vec![each]), tally, Duration::ZERO).outcome else {
        panic!("one did not hold")
    };
    assert_eq!((failures[0].check, failures[0].mismatch.actual.as_str()), (0, "\"7\" (call 7; 1 of 20 calls)"));
}

#[tokio::test]
async fn a_call_that_cannot_be_made_ends_the_load_at_once() {
    let broken = load(post("no port"), LoadModel::Closed, &[(2.0, 2.0, 60_000)]);
    let tally = made(broken.clone()).await;
    assert!(tally.calls <= 2 && tally.impossible.is_some(), "{tally:?}");
    let judged = judge(&order(&broken, Vec::new()), tally, Duration::ZERO);
    assert!(matches!(judged.outcome, Outcome::Error { .. }), "{judged:?}");
}

#[tokio::test]
async fn whoever_gives_a_load_up_ends_it() {
    let (service, address) = Service::default().start().await;
    let mut making = Box::pin(made(load(post(&address), LoadModel::Closed, &[(1.0, 1.0, 60_000)])));
    while service.calls.load(Ordering::Relaxed) < 5 {
        assert!(futures::poll!(&mut making).is_pending());
        tokio::task::yield_now().await;
    }
    drop(making);
    // the connection closes, and with it the count stands still
    let mut before = u64::MAX;
    while before != service.calls.load(Ordering::Relaxed) {
        before = service.calls.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_helper_makes_its_share_when_it_is_told_to_and_its_leader_alone_makes_the_rest() {
    let (service, address) = Service::default().start().await;
    let whole = load(post(&address), OPEN, &[(300.0, 300.0, 100)]);
    let share = |number| LoadAction { share: Share { number, of: 2 }, ..whole.clone() };
    let (near, far) = tokio::io::duplex(64 * 1024);
    let helping = tokio::spawn(help(share(1), under(), far));
    let ready = super::together::ready_on("helper".parse().expect("a name"), near).await.expect("it says so");
    assert_eq!(service.calls.load(Ordering::Relaxed), 0, "it waits to be told");
    let tally = super::together::with(share(0), vec![ready], under()).await.expect("both parts");
    helping.await.expect("no panic").expect("its leader took its part");
    assert_eq!((tally.calls, tally.took.total()), (30, 30));
    assert_eq!(*service.numbers.lock().expect("nobody panics"), (0..30).collect());
}

#[tokio::test]
async fn a_helper_whose_leader_is_gone_stops_and_a_leader_whose_helper_is_gone_says_so() {
    let (service, address) = Service::default().start().await;
    let long = load(post(&address), LoadModel::Closed, &[(1.0, 1.0, 60_000)]);
    let (near, far) = tokio::io::duplex(64 * 1024);
    let helping = tokio::spawn(help(long.clone(), under(), far));
    let ready = super::together::ready_on("helper".parse().expect("a name"), near).await.expect("it says so");
    let leading = tokio::spawn(super::together::with(long.clone(), vec![ready], under()));
    while service.calls.load(Ordering::Relaxed) < 5 {
        tokio::task::yield_now().await;
    }
    leading.abort();
    assert!(helping.await.expect("no panic").is_err());

    let (near, far) = tokio::io::duplex(64 * 1024);
    let helping = tokio::spawn(help(long.clone(), under(), far));
    let ready = super::together::ready_on("helper".parse().expect("a name"), near).await.expect("it says so");
    let leading = tokio::spawn(super::together::with(long, vec![ready], under()));
    let before = service.calls.load(Ordering::Relaxed);
    while service.calls.load(Ordering::Relaxed) < before + 5 {
        tokio::task::yield_now().await;
    }
    helping.abort();
    let told = leading.await.expect("no panic").expect_err("a part is missing").to_string();
    assert!(told.starts_with("the agent of `helper` stopped taking part"), "{told}");
}

#[tokio::test]
async fn a_load_of_one_agent_is_judged_by_its_own_figures() {
    let (_, address) = Service::default().start().await;
    let load = load(post(&address), OPEN, &[(100.0, 100.0, 100)]);
    let checks = vec![
        check("rate", Comparison::Greater, Quantity::PerSecond(20.0)),
        check("p99", Comparison::Less, Quantity::DurationNs(5_000_000_000)),
        check("duration", Comparison::Less, Quantity::DurationNs(1_000)),
    ];
    let StepResult { outcome, evidence, .. } = lead(&order(&load, checks), load.clone(), Vec::new(), under()).await;
    let Outcome::Failed(failures) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failures.iter().map(|failure| failure.check).collect::<Vec<_>>(), [2]);
    assert!(evidence[0].title == "load" && evidence[0].text.starts_with("10 calls, "), "{evidence:?}");
}
