use std::time::{Duration, Instant};

use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::id::RunId;
use meshproof_proto::order::{Body, Bounds, ExecAction, HttpAction, StepKey, Target, TcpAction};
use meshproof_proto::trace::Traceparent;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::permits::{Permits, Settings};

mod kept;
mod tls;

/// More than any call here takes.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(150);

fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

fn target(address: impl ToString) -> Target {
    Target::plain("shop.http", address.to_string())
}

/// A server for one connection.
async fn server<F: Future<Output = ()> + Send>(talk: impl FnOnce(TcpStream) -> F + Send + 'static) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        talk(stream).await;
    });
    target(address)
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains(end) {
        let count = stream.read_buf(&mut text).await.expect("reads");
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&text));
    }
    String::from_utf8(text).expect("text")
}

fn post(target: Target, body: Body) -> HttpAction {
    let headers = vec![("X-Run".to_owned(), template("${{ run }}"))];
    HttpAction { target, method: "POST".to_owned(), path: template("/orders?n=${{ n }}"), headers, body }
}

async fn http(target: Target, within: Duration) -> Answer {
    let action = post(target, Body::Json(ValueTemplate::fixed(&json!({"sku": "A1"}))));
    perform(&Action::Http(action), &json!({"run": "r7", "n": 3}), within).await
}

fn kind(answer: &Answer) -> Option<ErrorKind> {
    answer.error.as_ref().map(|error| error.kind)
}

#[tokio::test]
async fn a_request_carries_what_the_order_says_and_its_length() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let target = server(|mut stream| async move {
        tell.send(read_until(&mut stream, "A1\"}").await).expect("the test waits");
        let answer = b"HTTP/1.1 202 Accepted\r\nX-Id: 1\r\nX-Id: 2\r\nContent-Length: 9\r\n\r\n{\"id\": 5}";
        stream.write_all(answer).await.expect("writes");
    });
    let target = target.await;
    let answer = http(target.clone(), LONG).await;
    let request = told.await.expect("a request").to_ascii_lowercase();
    assert!(request.starts_with("post /orders?n=3 http/1.1\r\n"), "{request}");
    for header in
        ["x-run: r7", "content-length: 12", "content-type: application/json", &format!("host: {}", target.address)]
    {
        assert!(request.contains(&format!("\r\n{header}\r\n")), "{header} in {request}");
    }
    assert_eq!(answer.error, None);
    assert_eq!(answer.json(), Some(json!({"id": 5})));
    assert_eq!(answer.field("headers.x-id"), Some(meshproof_proto::matcher::Actual::Text("1, 2".to_owned())));
    let Came::Http(came) = answer.came else { panic!("an HTTP answer") };
    assert_eq!(came.status, Some(202));
    let Phases { dns, connect, tls, wait, body } = came.phases;
    assert!(dns.is_some() && connect.is_some() && wait.is_some() && body.is_some() && tls.is_none());
}

#[tokio::test]
async fn a_refused_connection_and_an_unknown_host_have_their_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    assert_eq!(kind(&http(target(address), LONG).await), Some(ErrorKind::Refused));
    assert_eq!(kind(&http(target("no-such-host.invalid:1"), LONG).await), Some(ErrorKind::Dns));
}

#[tokio::test]
async fn a_connection_that_closes_too_early_is_a_reset() {
    let before = server(|mut stream| async move {
        read_until(&mut stream, "A1\"}").await;
    });
    assert_eq!(kind(&http(before.await, LONG).await), Some(ErrorKind::Reset));
    let within_body = server(|mut stream| async move {
        read_until(&mut stream, "A1\"}").await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{").await.expect("writes");
    });
    let answer = http(within_body.await, LONG).await;
    assert_eq!(kind(&answer), Some(ErrorKind::Reset), "{answer:?}");
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let target = server(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("writes");
        let piece = [b'x'; 16 * 1024];
        while stream.write_all(&piece).await.is_ok() {}
    });
    assert_eq!(kind(&http(target.await, LONG).await), Some(ErrorKind::TooLarge));
}

#[tokio::test]
async fn a_late_answer_says_what_it_waited_for_and_keeps_what_came() {
    let silent = server(|mut stream| async move {
        read_until(&mut stream, "A1\"}").await;
        std::future::pending().await
    });
    let answer = http(silent.await, SHORT).await;
    let error = answer.error.expect("too late");
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(error.message.starts_with("an answer of shop.http") && error.message.contains("connect "), "{error}");
    let slow = server(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{").await.expect("writes");
        std::future::pending().await
    });
    let answer = http(slow.await, SHORT).await;
    assert!(answer.error.as_ref().is_some_and(|error| error.message.starts_with("the end of the answer")));
    assert_eq!(answer.field("body"), Some(meshproof_proto::matcher::Actual::Text("{".to_owned())));
}

#[tokio::test]
async fn what_cannot_be_put_in_is_an_error_of_the_order() {
    let action = Action::Http(post(target("127.0.0.1:1"), Body::Empty));
    let answer = perform(&action, &json!({"n": 1}), LONG).await;
    let error = answer.error.expect("run is not set");
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Order, "`run` is not set"));
    let answer = perform(&action, &json!({"n": 1, "run": "a\r\nb: c"}), LONG).await;
    assert_eq!(kind(&answer), Some(ErrorKind::Order));
}

fn tcp(target: Target, send: &str) -> Action {
    Action::Tcp(TcpAction { target, send: template(send) })
}

fn line(answer: &Answer) -> Option<String> {
    match &answer.came {
        Came::Tcp(tcp) => tcp.line.clone(),
        other => panic!("not a TCP answer: {other:?}"),
    }
}

#[tokio::test]
async fn tcp_reads_one_line_while_the_service_keeps_the_connection() {
    let target = server(|mut stream| async move {
        assert_eq!(read_until(&mut stream, "\n").await, "STATUS 7\n");
        stream.write_all(b"OK set").await.expect("writes");
        stream.write_all(b"tled\r\nmore").await.expect("writes");
        std::future::pending().await
    });
    let answer = perform(&tcp(target.await, "STATUS ${{ id }}\n"), &json!({"id": 7}), LONG).await;
    assert_eq!((line(&answer).as_deref(), answer.error), (Some("OK settled"), None));
}

#[tokio::test]
async fn tcp_reads_to_the_end_when_a_check_looks_at_the_body() {
    let target = server(|mut stream| async move {
        let mut all = String::new();
        stream.read_to_string(&mut all).await.expect("our side is closed");
        stream.write_all(b"one\ntwo").await.expect("writes");
    });
    let matcher = meshproof_proto::matcher::Matcher::Exists(true);
    let checks = [Check { field: "body".to_owned(), matcher }];
    let answer = perform_for(&tcp(target.await, "ALL\n"), &checks, &Value::Null, LONG.into()).await;
    assert_eq!(answer.field("body"), Some(meshproof_proto::matcher::Actual::Text("one\ntwo".to_owned())));
    assert_eq!(line(&answer).as_deref(), Some("one"));
}

#[tokio::test]
async fn tcp_tells_silence_from_a_close_and_cuts_endless_lines() {
    let silent = server(|stream| async move {
        let _held = stream;
        std::future::pending().await
    });
    assert_eq!(kind(&perform(&tcp(silent.await, "x\n"), &Value::Null, SHORT).await), Some(ErrorKind::Timeout));
    let closing = server(|mut stream| async move {
        read_until(&mut stream, "\n").await;
    });
    assert_eq!(kind(&perform(&tcp(closing.await, "x\n"), &Value::Null, LONG).await), Some(ErrorKind::Reset));
    let endless = server(|mut stream| async move { while stream.write_all(&[b'x'; 4096]).await.is_ok() {} });
    assert_eq!(kind(&perform(&tcp(endless.await, "x\n"), &Value::Null, LONG).await), Some(ErrorKind::TooLarge));
}

#[tokio::test]
async fn a_session_sends_many_over_one_connection_and_ends_with_the_first_error() {
    let target = server(|mut stream| async move {
        let mut seen = String::new();
        for number in 0..100 {
            while seen.lines().count() <= number || !seen.ends_with('\n') {
                seen.push_str(&read_until(&mut stream, "\n").await);
            }
            stream.write_all(format!("OK {number}\n").as_bytes()).await.expect("writes");
        }
    });
    let mut session = TcpSession::open(&target.await, LONG).await.expect("opens");
    let send = template("POST ${{ record.id }}\n");
    for number in 0..100 {
        let answer = session.exchange(&send, &json!({"record": {"id": number}}), LONG).await;
        assert_eq!(line(&answer), Some(format!("OK {number}")));
    }
    for _ in 0..2 {
        let answer = session.exchange(&send, &json!({"record": {"id": 0}}), LONG).await;
        assert_eq!(kind(&answer), Some(ErrorKind::Reset));
    }
}

fn shell(script: &str) -> ExecAction {
    let argv = ["sh", "-c", script].map(Template::text).to_vec();
    ExecAction {
        argv,
        env: vec![("GIVEN".to_owned(), template("${{ given }}"))],
        stdin: None,
        cwd: None,
        limits: Bounds::default(),
    }
}

async fn exec(action: ExecAction, within: Duration) -> (ExecAnswer, Option<CallError>) {
    let permits = Permits::of(Settings { shell: true, ..Settings::default() });
    let terms = Terms::alone(within, &permits);
    let answer = perform(&Action::Exec(action), &json!({"given": "yes"}), terms).await;
    let Came::Exec(came) = answer.came else { panic!("not a program's answer: {answer:?}") };
    (came, answer.error)
}

#[tokio::test]
async fn a_program_gets_its_stdin_and_a_clean_environment_and_leaves_its_output() {
    let stdin = Some(template("in ${{ given }}"));
    let script = "cat; echo err >&2; echo \":$GIVEN:${CARGO_MANIFEST_DIR-none}\"; exit 3";
    let (came, error) = exec(ExecAction { stdin, ..shell(script) }, LONG).await;
    assert_eq!(error, None);
    assert_eq!((came.stdout.text.as_str(), came.stderr.text.as_str()), ("in yes:yes:none\n", "err\n"));
    assert_eq!(came.code, Some(3));
    let (came, _) = exec(shell("kill -9 $$"), LONG).await;
    assert_eq!(came.code, Some(137));
}

#[tokio::test]
async fn whoever_is_called_hears_which_span_it_is_called_for_unless_the_plan_says_another() {
    let (run, key) = (RunId("r-1".to_owned()), StepKey { test: "t".to_owned(), step: "1".to_owned(), attempt: 1 });
    let parent = Traceparent::of(&run, &key);
    let permits = Permits::of(Settings { shell: true, ..Settings::default() });
    let terms = Terms { parent: Some(parent), ..Terms::alone(LONG, &permits) };
    let program = shell("echo $TRACEPARENT");
    let own = ExecAction { env: vec![("TRACEPARENT".to_owned(), template("mine"))], ..program.clone() };
    for (action, said) in [(program, parent.to_string()), (own, "mine".to_owned())] {
        let answer = perform(&Action::Exec(action), &json!({"given": ""}), terms).await;
        let Came::Exec(came) = answer.came else { panic!("not a program's answer: {answer:?}") };
        assert_eq!(came.stdout.text.trim(), said);
    }
    for (given, said) in [(None, parent.to_string()), (Some("mine"), "mine".to_owned())] {
        let (tell, told) = tokio::sync::oneshot::channel();
        let target = server(async move |mut stream| {
            tell.send(read_until(&mut stream, "A1\"}").await).expect("the test waits");
        });
        let mut action = post(target.await, Body::Json(ValueTemplate::fixed(&json!({"sku": "A1"}))));
        action.headers.extend(given.map(|value| ("TraceParent".to_owned(), template(value))));
        perform(&Action::Http(action), &json!({"run": "r7", "n": 3}), terms).await;
        let head = told.await.expect("it was asked").to_ascii_lowercase();
        assert_eq!(head.matches("traceparent: ").count(), 1, "{head}");
        assert!(head.contains(&format!("traceparent: {said}\r\n")), "{head}");
    }
}

/// A pipe whose end tells that every process that held it is gone.
async fn all_gone(mut pipe: tokio::net::unix::pipe::Receiver) {
    let mut rest = Vec::new();
    tokio::time::timeout(LONG, pipe.read_to_end(&mut rest)).await.expect("all processes end").expect("reads");
}

/// A script that starts a grandchild; both hold the pipe open as long as they live.
fn holding(dir: &tempfile::TempDir, then: &str) -> (ExecAction, tokio::net::unix::pipe::Receiver) {
    let path = dir.path().join("held");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
    assert!(made.success());
    let receiver = tokio::net::unix::pipe::OpenOptions::new().open_receiver(&path).expect("opens");
    (shell(&format!("exec 9>{}; sleep 1000 & echo begun; {then}", path.display())), receiver)
}

#[tokio::test]
async fn at_the_deadline_a_program_ends_with_everything_it_started() {
    let dir = tempfile::tempdir().expect("a folder");
    let (action, held) = holding(&dir, "echo more >&9; wait");
    let (came, error) = exec(action, Duration::from_millis(300)).await;
    assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Timeout));
    assert_eq!((came.code, came.stdout.text.as_str()), (None, "begun\n"));
    all_gone(held).await;
}

#[tokio::test]
async fn what_a_program_left_running_ends_with_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let (action, held) = holding(&dir, "echo more >&9");
    let began = Instant::now();
    let (came, error) = exec(action, LONG).await;
    assert_eq!((came.code, came.stdout.text.as_str(), error), (Some(0), "begun\n", None));
    assert!(began.elapsed() < LONG);
    all_gone(held).await;
}

#[tokio::test]
async fn a_step_that_is_given_up_ends_its_program() {
    let dir = tempfile::tempdir().expect("a folder");
    let (action, mut held) = holding(&dir, "echo more >&9; wait");
    let running = tokio::spawn(async move { exec(action, LONG).await });
    let mut first = [0; 5];
    // The pipe has no writer before the program opens it.
    while held.read(&mut first).await.is_ok_and(|count| count == 0) {
        tokio::task::yield_now().await;
    }
    running.abort();
    all_gone(held).await;
}

#[tokio::test]
async fn a_flood_of_output_is_cut_and_counted_and_the_program_goes_on() {
    let bytes = limits_output() + 1000;
    let (came, error) = exec(shell(&format!("head -c {bytes} /dev/zero; exit 5")), LONG).await;
    assert_eq!((came.code, came.stdout.text.len(), came.stdout.lost, error), (Some(5), limits_output(), 1000, None));
}

fn limits_output() -> usize {
    crate::limits::OUTPUT_BYTES
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let argv = vec![Template::text("no-such-program")];
    let answer = perform(&Action::Exec(ExecAction { argv, ..shell("") }), &json!({"given": ""}), LONG).await;
    let error = answer.error.expect("no such program");
    assert!(error.kind == ErrorKind::Start && error.message.contains("no-such-program"), "{error}");
}
