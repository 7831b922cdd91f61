use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use meshproof_mesh::NoLink;
use meshproof_proto::event::{Outcome, StepResult};
use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::id::{Digest, RunId, Term};
use meshproof_proto::mask::Masker;
use meshproof_proto::matcher::{Comparison, Matcher, Quantity};
use meshproof_proto::order::{
    Action, Authority, Check, DataSource, ReceiveOrder, RecordStreamId, Save, StepKey, StepOrder, StreamAction, Target,
    TcpAction,
};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::blobs::Blobs;
use crate::logs::LogStore;
use crate::notes::Notes;
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

fn no_logs() -> LogStore {
    LogStore::open(&BTreeMap::new(), &Permits::default().logs)
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
        key: None,
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

/// The only stream that there is.
fn only(stream: DuplexStream) -> impl FnMut() -> std::future::Ready<Result<DuplexStream, NoLink>> + Send {
    let mut stream = Some(stream);
    move || std::future::ready(stream.take().ok_or(NoLink))
}

/// From its beginning.
async fn sent<F: Future<Output = Result<DuplexStream, NoLink>> + Send>(
    (order, action): (&StepOrder, &StreamAction),
    open: impl FnMut() -> F + Send,
    stores: Stores<'_>,
) -> StepResult {
    send((order, action), (Answers::default(), open), (stores, &Notes::default()), &Masker::default()).await
}

fn receiving_order(apply: Action) -> ReceiveOrder {
    let Action::Stream(StreamAction { stream, key, .. }) = order(stream(0), Vec::new()).action else {
        panic!("a stream")
    };
    let from = "shop".parse().expect("a name");
    ReceiveOrder { authority: order(self::stream(0), Vec::new()).authority, stream, from, apply, key }
}

fn stores<'d>(logs: &'d LogStore, blobs: &'d Blobs) -> Stores<'d> {
    Stores { logs, blobs }
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
    let receiving =
        tokio::spawn(
            async move { receive(&receiving_order(apply), &Permits::default(), far, &Masker::default()).await },
        );
    let result = sent((order, action), only(near), stores(&no_logs(), &Blobs::default())).await;
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

/// A service that has the other one log its next line only when the one before has come.
async fn feeding(log: std::path::PathBuf, lines: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("the receiver");
        let mut stream = BufReader::new(stream);
        let mut asked = String::new();
        for line in lines {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&log).expect("a log");
            std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).expect("room");
            asked.clear();
            stream.read_line(&mut asked).await.expect("open");
            stream.write_all(asked.replace("POST", "OK").as_bytes()).await.expect("open");
        }
    });
    address
}

#[tokio::test]
async fn lines_of_a_log_are_sent_as_they_come_json_as_what_it_says_and_any_other_as_a_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("events.log");
    std::fs::write(&path, "{\"id\": 1}\n\n").expect("room");
    let address = feeding(path.clone(), &["plain words", "[17]", "not asked for"]).await;
    let logs = BTreeMap::from([("events".to_owned(), path.to_string_lossy().into_owned())]);
    let logs = LogStore::open(&logs, &Permits::default().logs);
    let data = DataSource::Log { log: "events".to_owned(), count: 3 };
    let whole = |text: &str| Template::parse(text).expect("parses");
    let checks = vec![
        check("each.line", Matcher::Equals(ValueTemplate::Text(whole("OK ${{ record }}")))),
        check("records", Matcher::Equals(ValueTemplate::fixed(&json!(3)))),
    ];
    let order = order(StreamAction { data, ..stream(0) }, checks);
    let Action::Stream(action) = &order.action else { panic!("a stream") };
    let post = TcpAction { target: Target::plain("ledger.tcp", address), send: whole("POST ${{ record }}\n") };
    let (near, far) = duplex(64 * 1024);
    let receiving = tokio::spawn(async move {
        receive(&receiving_order(Action::Tcp(post)), &Permits::default(), far, &Masker::default()).await
    });
    let result = sent((&order, action), only(near), stores(&logs, &Blobs::default())).await;
    assert_eq!(result.outcome, Outcome::Ok, "{result:?}");
    assert_eq!(receiving.await.expect("no panic").expect("not broken"), 3);

    let none = DataSource::Log { log: "audit".to_owned(), count: 1 };
    let (near, _far) = duplex(64 * 1024);
    let action = StreamAction { data: none, ..stream(0) };
    let result = sent((&order, &action), only(near), stores(&logs, &Blobs::default())).await;
    assert!(matches!(&result.outcome, Outcome::Error { message } if message.contains("no log `audit`")), "{result:?}");
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
    let (logs, blobs) = (no_logs(), Blobs::default());
    let (result, ()) = tokio::join!(sent((&order, action), only(near), stores(&logs, &blobs)), vanishing);
    assert!(matches!(&result.outcome, Outcome::CallFailed { .. }), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_ends_the_stream_at_its_deadline() {
    let order = order(stream(10), checks(10));
    let Action::Stream(action) = &order.action else { panic!("a stream") };
    let (near, _far) = duplex(1024);
    let result = tokio::time::timeout(
        Duration::from_secs(31),
        sent((&order, action), only(near), stores(&no_logs(), &Blobs::default())),
    )
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
    let result = sent((&order, &action), only(near), stores(&no_logs(), &Blobs::default())).await;
    assert!(matches!(&result.outcome, Outcome::Error { message } if message.contains("`nothing` is not set")));
}

/// A receiver that applies some records, answers fewer, and is gone; another one goes on.
#[tokio::test]
async fn a_stream_whose_records_have_keys_goes_on_behind_the_last_answer_and_what_comes_again_has_its_key() {
    let (address, _connections) = ledger(|_| false).await;
    let keyed = StreamAction { key: Some("k".to_owned()), ..stream(100) };
    let order = order(keyed, checks(100));
    let Action::Stream(action) = &order.action else { panic!("a stream") };
    let seen: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let receiving = ReceiveOrder { key: Some("k".to_owned()), ..receiving_order(apply(address)) };
    let mut opened = 0;
    let open = || {
        opened += 1;
        let (near, far) = duplex(64 * 1024);
        let (receiving, seen, dies) = (receiving.clone(), Arc::clone(&seen), opened < 3);
        tokio::spawn(async move {
            if dies {
                // of 30 records 20 are answered
                let mut far = BufReader::new(far);
                for _ in 0..30 {
                    let Ok(Some(crate::wire::Record { index, .. })) = frames::take(&mut far).await else { return };
                    seen.lock().expect("whole").push(format!("k-{index}"));
                    let came = crate::action::Came::Tcp(crate::action::TcpAnswer {
                        line: Some(format!("OK {index}")),
                        body: String::new(),
                    });
                    let answer = crate::action::Answer { sent: String::new(), came, error: None, took: Duration::ZERO };
                    let mut bytes = Vec::new();
                    frames::put(&mut bytes, &crate::wire::Applied { index, answer }).expect("small");
                    if seen.lock().expect("whole").len() % 30 <= 20 && seen.lock().expect("whole").len() % 30 > 0 {
                        let _ = far.write_all(&bytes).await;
                    }
                }
                return;
            }
            let _ = receive(&receiving, &Permits::default(), far, &Masker::default()).await;
        });
        std::future::ready(Ok(near))
    };
    let result = send(
        (&order, action),
        (Answers::default(), open),
        (stores(&no_logs(), &Blobs::default()), &Notes::default()),
        &Masker::default(),
    )
    .await;
    assert_eq!((&result.outcome, opened), (&Outcome::Ok, 3), "{result:?}");
    let seen = seen.lock().expect("whole").clone();
    assert_eq!(seen.len(), 60);
    assert_eq!(seen[20..30], seen[30..40], "what was not answered came again, with the same keys");
}

#[tokio::test]
async fn another_instance_goes_on_with_what_was_noted_of_the_answers() {
    let (address, _connections) = ledger(|_| false).await;
    let keyed = StreamAction { key: Some("k".to_owned()), ..stream(100) };
    let order = order(keyed, checks(100));
    let Action::Stream(action) = &order.action else { panic!("a stream") };
    let so_far = super::answers::SoFar { applied: 40, bytes: 9, ..Default::default() };
    let noted = Answers { micros: vec![10; 40], so_far };
    let (near, far) = duplex(64 * 1024);
    let receiving = ReceiveOrder { key: Some("k".to_owned()), ..receiving_order(apply(address)) };
    let receiver = tokio::spawn(async move { receive(&receiving, &Permits::default(), far, &Masker::default()).await });
    let result = send(
        (&order, action),
        (noted, only(near)),
        (stores(&no_logs(), &Blobs::default()), &Notes::default()),
        &Masker::default(),
    )
    .await;
    assert_eq!(result.outcome, Outcome::Ok, "{result:?}");
    assert_eq!(receiver.await.expect("no panic").expect("not broken"), 60, "and not those that were answered");
}

#[test]
fn a_record_has_the_key_of_its_stream_and_its_number_unless_it_has_one_of_its_own() {
    let seen = |record: Value, look: &str, key: Option<&str>| {
        Template::parse(&format!("${{{{ {look} }}}}")).expect("parses").render(&scope((record, 7), key)).ok()
    };
    assert_eq!(seen(json!({ "id": 1 }), "record.key", Some("k")).as_deref(), Some("k-7"));
    assert_eq!(seen(json!({ "id": 1 }), "record.id", Some("k")).as_deref(), Some("1"));
    assert_eq!(seen(json!({ "id": 1 }), "record", Some("k")).as_deref(), Some("{\"id\":1}"), "it is what it was");
    assert_eq!(seen(json!({ "key": "own" }), "record.key", Some("k")).as_deref(), Some("own"));
    assert_eq!(seen(json!("plain"), "record", Some("k")).as_deref(), Some("plain"));
    assert_eq!(seen(json!("plain"), "record.key", Some("k")).as_deref(), Some("k-7"));
    assert_eq!(seen(json!([4, 5]), "record[1]", Some("k")).as_deref(), Some("5"));
    assert_eq!(seen(json!({ "id": 1 }), "record.key", None), None);
}
