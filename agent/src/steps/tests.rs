use std::io::Write as _;

use meshproof_proto::event::Fact;
use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::id::{Digest, RunId, Term};
use meshproof_proto::matcher::{Comparison, Matcher, Quantity};
use meshproof_proto::order::{
    Authority, Body, Bounds, Check, ExecAction, HttpAction, RecordStreamId, Save, ServicePlace, StepKey, StreamAction,
    StubOrder, StubReply, StubRoute, Target,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::action::Connections;
use crate::action::perform;
use crate::logs::Mark;
use crate::permits::{Permits, Settings};

mod count;
mod live;

const LONG_MS: u64 = 20_000;

pub(super) fn order(action: Action, checks: &[(&str, Matcher)]) -> StepOrder {
    let checks = checks.iter().map(|(field, matcher)| Check { field: (*field).to_owned(), matcher: matcher.clone() });
    StepOrder {
        authority: Authority { run: run_id(), term: Term(1), plan: Digest::of(b"plan") },
        key: StepKey { test: "t".to_owned(), step: "1".to_owned(), attempt: 1 },
        action,
        checks: checks.collect(),
        saves: Vec::new(),
        within_ms: LONG_MS,
        eventually_ms: None,
        after: None,
    }
}

fn run_id() -> RunId {
    RunId("run".to_owned())
}

pub(super) fn equals(value: Value) -> Matcher {
    Matcher::Equals(ValueTemplate::fixed(&value))
}

fn contains(text: &str) -> Matcher {
    Matcher::Contains(ValueTemplate::fixed(&json!(text)))
}

fn at_least(number: f64) -> Matcher {
    Matcher::Compare(Comparison::GreaterOrEqual, Quantity::Number(number))
}

struct World {
    dir: tempfile::TempDir,
    beside: Beside,
    heard: mpsc::Receiver<Fact>,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let logs = ["audit", "stdout"].map(|log| (log.to_owned(), path(&dir, log)));
        let (facts, heard) = mpsc::channel(64);
        let number = ValueTemplate::Text(Template::parse("${{ call.number }}").expect("a template"));
        let body = || Body::Json(ValueTemplate::Map(vec![("number".to_owned(), number.clone())]));
        let replies = vec![StubReply { times: 2, ..StubReply::http(503, body()) }, StubReply::http(200, body())];
        let stub = StubOrder::http("pay", vec![StubRoute::http("charge", (None, None), replies)]);
        let stub = StubServer::bind(stub, facts.clone(), 1).await.expect("binds");
        let stubs = BTreeMap::from([("pay".to_owned(), stub)]);
        let permits = Arc::new(permits());
        let metrics = Metrics::open(&ServicePlace::default(), facts.clone(), Arc::clone(&permits));
        let beside = Beside {
            facts,
            logs: LogStore::open(&logs.into_iter().collect(), &permits.logs),
            stubs,
            metrics,
            notes: Default::default(),
            permits,
            connections: Connections::default(),
            blobs: Default::default(),
            masker: Arc::default(),
        };
        Self { dir, beside, heard }
    }

    fn write(&self, log: &str, text: &str) {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path(&self.dir, log));
        file.expect("opens").write_all(text.as_bytes()).expect("writes");
    }

    fn http(&self) -> Action {
        Action::Http(HttpAction {
            target: Target::plain("pay", self.beside.stubs["pay"].address().to_string()),
            method: "GET".to_owned(),
            path: Template::text("/"),
            headers: Vec::new(),
            body: Body::Empty,
        })
    }

    async fn call(&self) {
        let answer = perform(&self.http(), &Value::Null, Duration::from_millis(LONG_MS)).await;
        assert_eq!(answer.error, None);
    }

    async fn run(&self, order: &StepOrder) -> StepResult {
        run_step(order, &self.beside).await
    }
}

/// Steps here are lines of a shell.
fn permits() -> Permits {
    Permits::of(Settings { shell: true, ..Settings::default() })
}

fn path(dir: &tempfile::TempDir, log: &str) -> String {
    dir.path().join(format!("{log}.log")).display().to_string()
}

fn log(log: &str) -> Action {
    Action::ExpectLog { log: log.to_owned() }
}

fn stub(route: Option<&str>) -> Action {
    Action::ExpectStub { stub: "pay".to_owned(), route: route.map(str::to_owned) }
}

fn failed_checks(result: &StepResult) -> Vec<u32> {
    match &result.outcome {
        Outcome::Failed(failures) => failures.iter().map(|failure| failure.check).collect(),
        other => panic!("not failed checks: {other:?}"),
    }
}

#[tokio::test]
async fn a_call_that_holds_saves_and_tells_only_what_its_phases_took() {
    let world = World::new().await;
    let mut order = order(world.http(), &[("status", equals(json!(503))), ("json", Matcher::Exists(true))]);
    order.saves = vec![Save { name: "n".to_owned(), path: "$.number".to_owned() }];
    let result = world.run(&order).await;
    assert_eq!((result.outcome, result.tries, result.saved["n"].as_str()), (Outcome::Ok, 1, "1"));
    let [phases] = &result.evidence[..] else { panic!("{:?}", result.evidence) };
    assert!(phases.title == "phases" && phases.text.contains("connect") && phases.text.contains("wait"), "{phases:?}");
}

#[tokio::test]
async fn a_call_that_does_not_hold_shows_the_exchange() {
    let world = World::new().await;
    let result = world.run(&order(world.http(), &[("status", equals(json!(200)))])).await;
    assert_eq!(failed_checks(&result), [0]);
    let titles: Vec<_> = result.evidence.iter().map(|evidence| evidence.title.as_str()).collect();
    assert_eq!(titles, ["request", "response"]);
    assert!(result.evidence[0].text.starts_with("GET /") && result.evidence[1].text.starts_with("503"));
    let unasked = world.run(&order(world.http(), &[])).await;
    assert!(matches!(unasked.outcome, Outcome::CallFailed { .. }));
}

#[tokio::test]
async fn a_save_that_finds_nothing_fails_the_step() {
    let world = World::new().await;
    let mut order = order(world.http(), &[("status", Matcher::Exists(true))]);
    order.saves = vec![Save { name: "n".to_owned(), path: "$.no".to_owned() }];
    let result = world.run(&order).await;
    assert!(matches!(&result.outcome, Outcome::CallFailed { message } if message.contains("$.no")), "{result:?}");
}

#[tokio::test]
async fn eventually_a_call_is_repeated_until_it_holds() {
    let world = World::new().await;
    let order = StepOrder { eventually_ms: Some(LONG_MS), ..order(world.http(), &[]) };
    let result = world.run(&order).await;
    assert_eq!((result.outcome, result.tries), (Outcome::Ok, 3));
}

#[tokio::test]
async fn eventually_has_an_end_and_tells_the_last_whole_try() {
    let world = World::new().await;
    let check = [("status", equals(json!(418)))];
    let order = StepOrder { eventually_ms: Some(150), ..order(world.http(), &check) };
    let result = world.run(&order).await;
    assert_eq!(failed_checks(&result), [0]);
    assert!(result.tries > 1 && result.duration_ms < LONG_MS as f64, "{result:?}");
}

#[tokio::test]
async fn what_holds_only_just_before_the_time_is_over_passes() {
    let world = World::new().await;
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    // Waits of 20, 40 and so on end at 2260 ms; the next one, of a second, would go past the end. A program may take 400 ms.
    let script = format!("test $(date +%s%3N) -ge {}", since_1970.as_millis() + 2_600);
    let argv = ["sh", "-c", &script].map(Template::text).to_vec();
    let exec = Action::Exec(ExecAction { argv, env: Vec::new(), stdin: None, cwd: None, limits: Bounds::default() });
    let result = world.run(&StepOrder { eventually_ms: Some(3_000), ..order(exec, &[]) }).await;
    assert_eq!(result.outcome, Outcome::Ok, "{result:?}");
    assert!(result.tries > 1 && result.duration_ms >= 2_600.0, "{result:?}");
}

#[tokio::test]
async fn a_program_is_judged_by_its_code() {
    let world = World::new().await;
    let exec = |code: u32| {
        let argv = ["sh", "-c", &format!("echo out; exit {code}")].map(Template::text).to_vec();
        Action::Exec(ExecAction { argv, env: Vec::new(), stdin: None, cwd: None, limits: Bounds::default() })
    };
    assert_eq!(world.run(&order(exec(0), &[("stdout", contains("out"))])).await.outcome, Outcome::Ok);
    let failed = world.run(&order(exec(1), &[("stdout", contains("out"))])).await;
    assert!(matches!(failed.outcome, Outcome::CallFailed { .. }));
}

#[tokio::test]
async fn lines_written_before_count_without_waiting() {
    let world = World::new().await;
    world.write("audit", "posted 1\nposted 2\nvoided 2\n");
    let posted = ("contains", contains("posted"));
    assert_eq!(world.run(&order(log("audit"), std::slice::from_ref(&posted))).await.outcome, Outcome::Ok);
    let twice = [posted.clone(), ("count", equals(json!(2)))];
    assert_eq!(world.run(&order(log("audit"), &twice)).await.outcome, Outcome::Ok);
    let both = [posted.clone(), ("matches", Matcher::Regex("2$".to_owned())), ("count", equals(json!(2)))];
    let result = world.run(&order(log("audit"), &both)).await;
    assert_eq!(failed_checks(&result), [2]);
    assert!(result.evidence.iter().any(|evidence| evidence.text.contains("audit: voided 2")), "{result:?}");
    let none = [("matches", Matcher::Regex("panicked".to_owned())), ("count", equals(json!(0)))];
    assert_eq!(world.run(&order(log("*"), &none)).await.outcome, Outcome::Ok);
}

#[tokio::test]
async fn a_line_that_never_came_is_missed_by_the_check_that_no_line_met() {
    let world = World::new().await;
    world.write("audit", "posted 1\n");
    let checks = [("contains", contains("posted")), ("matches", Matcher::Regex("7$".to_owned()))];
    let result = world.run(&order(log("audit"), &checks)).await;
    assert_eq!(failed_checks(&result), [1]);
    let missing = world.run(&order(log("no-such"), &checks)).await;
    assert!(matches!(&missing.outcome, Outcome::Error { message } if message.contains("audit, stdout")));
}

#[tokio::test]
async fn eventually_a_line_wakes_the_step_that_waits_for_it() {
    let world = World::new().await;
    let waiting = StepOrder { eventually_ms: Some(LONG_MS), ..order(log("audit"), &[("contains", contains("late"))]) };
    let mut changes = world.beside.logs.changes();
    let writing = async {
        world.write("audit", "early\n");
        changes.changed().await.expect("the reader lives");
        world.write("audit", "late\n");
    };
    let (result, ()) = tokio::join!(world.run(&waiting), writing);
    assert_eq!(result.outcome, Outcome::Ok);
    assert!(result.duration_ms < LONG_MS as f64 / 2.0, "{result:?}");
}

#[tokio::test]
async fn a_log_that_stays_silent_ends_the_wait_with_what_there_was() {
    let world = World::new().await;
    world.write("audit", "other\n");
    let order = StepOrder { eventually_ms: Some(50), ..order(log("audit"), &[("contains", contains("late"))]) };
    let result = world.run(&order).await;
    assert_eq!(failed_checks(&result), [0]);
    assert!(result.duration_ms >= 50.0);
    assert_eq!(result.evidence[0].text, "audit: other\n");
}

#[tokio::test]
async fn a_count_is_unknown_when_lines_had_to_go() {
    let world = World::new().await;
    world.write("stdout", &"noise\n".repeat(limits::LOG_LINES + 1));
    world.beside.logs.read_to_end().await;
    let none = [("contains", contains("panicked")), ("count", equals(json!(0)))];
    let result = world.run(&order(log("stdout"), &none)).await;
    assert!(matches!(&result.outcome, Outcome::Unknown { message } if message.contains("1 lines")), "{result:?}");
    let some = world.run(&order(log("stdout"), &[("contains", contains("noise"))])).await;
    assert_eq!(some.outcome, Outcome::Ok);
}

#[tokio::test]
async fn a_line_is_judged_long_before_a_service_that_logs_very_much_is_read_to_its_end() {
    const LINES: usize = 2_000_000;
    let pattern = Matcher::Regex("^y$".to_owned());
    let twice = [("matches", pattern.clone()), ("count", at_least(2.0))];
    for checks in [&[("matches", pattern)][..], &twice] {
        let world = World::new().await;
        world.write("stdout", &"y\n".repeat(LINES));
        assert_eq!(world.run(&order(log("stdout"), checks)).await.outcome, Outcome::Ok);
        let read = world.beside.logs.lines_since("stdout", &Mark::default()).expect("the log").lost;
        assert!(read < (LINES / 2) as u64, "the step was told only after {read} lines");
    }
}

#[tokio::test]
async fn calls_of_a_stub_are_judged_at_once_or_waited_for() {
    let world = World::new().await;
    world.call().await;
    assert_eq!(world.run(&order(stub(Some("charge")), &[("calls", equals(json!(1)))])).await.outcome, Outcome::Ok);
    let result = world.run(&order(stub(None), &[("calls", at_least(2.0))])).await;
    assert_eq!(failed_checks(&result), [0]);
    assert!(result.evidence[0].text.contains("charge #1 -> 503"), "{result:?}");
    let waiting = StepOrder { eventually_ms: Some(LONG_MS), ..order(stub(None), &[("calls", at_least(2.0))]) };
    let (result, ()) = tokio::join!(world.run(&waiting), world.call());
    assert_eq!((result.outcome, result.tries), (Outcome::Ok, 2));
}

#[tokio::test]
async fn what_an_agent_cannot_do_beside_its_service_is_an_error() {
    let world = World::new().await;
    let stream = StreamAction {
        stream: RecordStreamId(1),
        to: "ledger".parse().expect("a name"),
        data: meshproof_proto::order::DataSource::Generate { count: 1, json: ValueTemplate::Null },
        pace: None,
        key: None,
    };
    for action in
        [Action::Stream(stream), stub(Some("no-such")), Action::ExpectStub { stub: "no-such".to_owned(), route: None }]
    {
        let order = StepOrder { eventually_ms: Some(LONG_MS), ..order(action, &[("calls", equals(json!(1)))]) };
        assert!(matches!(world.run(&order).await.outcome, Outcome::Error { .. }));
    }
}

fn watch(log: &str) -> Action {
    Action::WatchLog { log: log.to_owned() }
}

impl World {
    /// A watch that has begun; `stop` ends it.
    async fn watching<'w>(
        &'w self,
        order: &'w StepOrder,
    ) -> (impl Future<Output = StepResult> + 'w, CancellationToken) {
        let (begun, mut has_begun) = tokio::sync::oneshot::channel();
        let stop = CancellationToken::new();
        let mut watch = Box::pin(watch_step(order, &self.beside, Watched { begun, stop: stop.clone(), from: None }));
        tokio::select! {
            result = &mut watch => panic!("it ended before it began: {result:?}"),
            begun = &mut has_begun => drop(begun.expect("it tells")),
        }
        (watch, stop)
    }
}

#[tokio::test]
async fn a_watch_ends_with_the_first_line_that_must_not_come_and_shows_it() {
    let world = World::new().await;
    world.write("stdout", "panicked before the test\n");
    let order = order(watch("*"), &[("contains", contains("panicked")), ("count", equals(json!(0)))]);
    let (watch, _stop) = world.watching(&order).await;
    world.write("stdout", "fine\n");
    world.write("audit", "panicked at 7\nand so on\n");
    let result = watch.await;
    assert_eq!(failed_checks(&result), [1]);
    assert!(result.evidence[0].text.starts_with("audit: panicked at 7"), "{result:?}");
    assert!(!result.evidence[0].text.contains("before the test"), "{result:?}");
}

#[tokio::test]
async fn a_watch_that_is_stopped_has_a_last_look_at_everything_that_was_written_before() {
    let world = World::new().await;
    let order = order(watch("stdout"), &[("contains", contains("panicked")), ("count", equals(json!(0)))]);
    let (watch, stop) = world.watching(&order).await;
    world.write("stdout", "panicked\n");
    stop.cancel();
    assert_eq!(failed_checks(&watch.await), [1]);
    let (watch, stop) = world.watching(&order).await;
    stop.cancel();
    assert_eq!(watch.await.outcome, Outcome::Ok, "what came before belongs to whoever watched then");
}

#[tokio::test]
async fn a_watched_stub_may_be_called_so_often_and_not_once_more() {
    let world = World::new().await;
    let action = Action::WatchStub { stub: "pay".to_owned(), route: None };
    let order = order(action, &[("calls", Matcher::Compare(Comparison::LessOrEqual, Quantity::Number(1.0)))]);
    let (watch, _stop) = world.watching(&order).await;
    world.call().await;
    world.call().await;
    assert_eq!(failed_checks(&watch.await), [0]);
}

#[tokio::test]
async fn settling_takes_as_long_as_something_happens_and_counts_it() {
    let world = World::new().await;
    world.write("stdout", "a\nb\n");
    let quiet = order(Action::Settle { quiet_ms: 150 }, &[]);
    world.call().await;
    let result = world.run(&quiet).await;
    assert_eq!((result.outcome, result.saved["activity"].as_str()), (Outcome::Ok, "3"));
    assert!(result.duration_ms >= 150.0);
    let at_once = world.run(&order(Action::Settle { quiet_ms: 0 }, &[])).await;
    assert_eq!(at_once.saved["activity"], "3");
    let never = StepOrder { within_ms: 20, ..quiet };
    assert!(matches!(world.run(&never).await.outcome, Outcome::CallFailed { .. }));
}
