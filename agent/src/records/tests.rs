use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use meshproof_proto::event::{Outcome, StepResult};
use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::id::{Digest, RunId, Term};
use meshproof_proto::mask::Masker;
use meshproof_proto::matcher::{Comparison, Matcher, Quantity};
use meshproof_proto::order::{
    Action, Authority, Check, DataSource, RecordStreamId, Save, StepKey, StepOrder, StreamAction, Target, TcpAction,
};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, duplex};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::permits::Permits;

/// A service that answers `OK n` to `POST n`, and `ERR` where `fails` says so. Gives its address and how many connections it saw.
async fn ledger(fails: fn(u64) -> bool) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    let connections = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            converse(BufReader::new(stream), fails).await;
        }
    });
    (address, connections)
}

async fn converse(mut stream: BufReader<TcpStream>, fails: fn(u64) -> bool) {
    let mut line = String::new();
    while stream.read_line(&mut line).await.expect("open") > 0 {
        let word = line.trim().strip_prefix("POST ").expect("a record");
        let failing = word.parse().is_ok_and(fails);
        let answer = if failing { "ERR\n".to_owned() } else { format!("OK {word}\n") };
        stream.write_all(answer.as_bytes()).await.expect("open");
        line.clear();
    }
}

fn apply(address: String) -> Action {
    Action::Tcp(TcpAction {
        target: Target::plain("ledger.tcp", address),
        send: Template::parse("POST ${{ record.id }}\n").expect("parses"),
    })
}

fn stream(count: u64) -> StreamAction {
    let map = vec![
        ("id".to_owned(), ValueTemplate::Text(Template::parse("${{ index }}").expect("parses"))),
        ("pad".to_owned(), ValueTemplate::Text(Template::text("x".repeat(1_000)))),
    ];
    StreamAction {
        stream: RecordStreamId(1),
        to: "ledger".parse().expect("a name"),
        data: DataSource::Generate { count, json: ValueTemplate::Map(map) },
        pace: None,
    }
}

fn order(action: StreamAction, checks: Vec<Check>) -> StepOrder {
    StepOrder {
        authority: Authority { run: RunId("r".to_owned()), term: Term(1), plan: Digest([0; 32]) },
        key: StepKey { test: "t".to_owned(), step: "1".to_owned(), attempt: 1 },
        action: Action::Stream(action),
        checks,
        saves: vec![Save { name: "slowest".to_owned(), path: "$.latency.p99".to_owned() }],
        within_ms: 30_000,
        eventually_ms: None,
        after: None,
    }
}

fn check(field: &str, matcher: Matcher) -> Check {
    Check { field: field.to_owned(), matcher }
}

fn checks(records: u64) -> Vec<Check> {
    let line = Template::parse("OK ${{ record.id }}").expect("parses");
    vec![
        check("each.line", Matcher::Regex("^OK".to_owned())),
        check("each.line", Matcher::Equals(ValueTemplate::Text(line))),
        check("records", Matcher::Equals(ValueTemplate::fixed(&json!(records)))),
        check("latency.p99", Matcher::Compare(Comparison::Less, Quantity::DurationNs(10_000_000_000))),
    ]
}

/// Sender and receiver over a pipe.
async fn streamed(order: &StepOrder, apply: Action) -> StepResult {
    let Action::Stream(action) = &order.action else { panic!("a stream") };
    let (near, far) = duplex(64 * 1024);
    let receiving = tokio::spawn(async move { receive(&apply, &Permits::default(), far, &Masker::default()).await });
    let result = send(order, action, near, &Masker::default()).await;
    let _ = receiving.await.expect("no panic");
    result
}

#[tokio::test]
async fn every_record_is_applied_over_one_connection_and_its_answer_checked_by_the_sender() {
    let (address, connections) = ledger(|_| false).await;
    let began = Instant::now();
    let result = streamed(&order(stream(10_000), checks(10_000)), apply(address)).await;
    println!("10,000 records took {:?}", began.elapsed());
    assert_eq!(result.outcome, Outcome::Ok, "{result:?}");
    assert!(result.saved["slowest"].parse::<f64>().expect("milliseconds") < 1_000.0);
    assert!(result.evidence.is_empty());
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_check_that_answers_do_not_meet_is_named_with_the_first_of_them_and_their_number() {
    let (address, _connections) = ledger(|number| number % 10 == 7).await;
    let result = streamed(&order(stream(100), checks(100)), apply(address)).await;
    let Outcome::Failed(failures) = &result.outcome else { panic!("{result:?}") };
    assert_eq!(failures.iter().map(|failure| failure.check).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(failures[0].mismatch.actual, "\"ERR\" (record 7; 10 of 100 records)");
    assert_eq!(failures[1].mismatch.expected, "\"OK 7\"");
    let titles: Vec<_> = result.evidence.iter().map(|item| item.title.as_str()).collect();
    assert_eq!(titles, ["stream", "record 7", "record 17", "record 27", "record 37", "record 47"]);
    assert!(result.saved.is_empty());
}

#[tokio::test]
async fn a_service_that_is_not_there_fails_the_stream_unless_the_plan_expects_it() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("loopback").local_addr().expect("bound").to_string();
    let result = streamed(&order(stream(3), checks(3)), apply(free.clone())).await;
    assert!(
        matches!(&result.outcome, Outcome::CallFailed { message } if message.contains("3 of 3 records")),
        "{result:?}"
    );
    let refused = Matcher::Equals(ValueTemplate::fixed(&json!("refused")));
    let result = streamed(&order(stream(3), vec![check("each.error", refused)]), apply(free)).await;
    assert_eq!(result.outcome, Outcome::Ok);
}

#[tokio::test]
async fn an_agent_that_vanishes_in_the_middle_fails_the_stream() {
    let order = order(stream(10), checks(10));
    let Action::Stream(action) = &order.action else { panic!("a stream") };
    let (near, mut far) = duplex(64 * 1024);
    let vanishing = async {
        far.read_u8().await.expect("a record");
        drop(far);
    };
    let masker = Masker::default();
    let (result, ()) = tokio::join!(send(&order, action, near, &masker), vanishing);
    assert!(matches!(&result.outcome, Outcome::CallFailed { .. }), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_ends_the_stream_at_its_deadline() {
    let order = order(stream(10), checks(10));
    let Action::Stream(action) = &order.action else { panic!("a stream") };
    let (near, _far) = duplex(1024);
    let result = tokio::time::timeout(Duration::from_secs(31), send(&order, action, near, &Masker::default()))
        .await
        .expect("ended");
    assert!(matches!(&result.outcome, Outcome::CallFailed { message } if message.contains("30s")), "{result:?}");
}

#[tokio::test]
async fn records_that_cannot_be_made_are_an_error_of_the_order() {
    let mut action = stream(10);
    let json = ValueTemplate::Text(Template::parse("${{ nothing }}").expect("parses"));
    action.data = DataSource::Generate { count: 10, json };
    let order = order(action.clone(), Vec::new());
    let (near, _far) = duplex(1024);
    let result = send(&order, &action, near, &Masker::default()).await;
    assert!(matches!(&result.outcome, Outcome::Error { message } if message.contains("`nothing` is not set")));
}
