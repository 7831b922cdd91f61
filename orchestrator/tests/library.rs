//! A plan inside a test of one's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use meshproof::library::{HANDLED_AT_ONCE, NotRun, PlanRun, Reply};
use meshproof::record::Happening;
use meshproof_proto::verdict::Verdict;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::{Barrier, mpsc};

fn plan(path: &str) -> PlanRun {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is a folder of the workspace");
    PlanRun::of(root.join("testdata").join(path)).binary(env!("CARGO_BIN_EXE_meshproof"))
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    (folder, out)
}

#[tokio::test]
async fn a_plan_runs_inside_a_test_and_returns_its_verdict_and_events() {
    let (_folder, out) = folder();
    let ran = plan("flow/repeat.yaml").param("times", "5").seed(3).out(&out).run().await.expect("it runs");
    ran.assert_passed();
    assert_eq!((ran.verdict(), ran.exit_code()), (Verdict::Pass, 0));
    let said = ran.events().iter().filter_map(|record| match &record.entry.what {
        Happening::Said { text } => Some(text.as_str()),
        _ => None,
    });
    let rounds: Vec<String> = (0..5).map(|round| format!("round {round} was number {}", round + 1)).collect();
    assert_eq!(said.collect::<Vec<_>>(), rounds);
    assert!(ran.out().join("junit.xml").is_file());
}

#[tokio::test]
async fn a_plan_that_fails_says_why_and_assert_passed_panics_with_it() {
    let (_folder, out) = folder();
    let ran = plan("flow/repeat-fails.yaml").out(&out).run().await.expect("it runs");
    assert_eq!((ran.verdict(), ran.exit_code()), (Verdict::Fail, 1));
    let failures: Vec<&str> = ran.failures().map(|failure| failure.title.as_str()).collect();
    assert_eq!(failures, ["`json` at `$.count` is not as expected"]);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ran.assert_passed()));
    let text = panicked.expect_err("it did not pass");
    let text = text.downcast_ref::<String>().expect("a text");
    assert!(text.contains("repeat-fails.yaml") && text.contains("expected"), "{text}");
}

#[tokio::test]
async fn a_run_of_two_plans_at_once_is_two_runs() {
    let (_first, first_out) = folder();
    let (_second, second_out) = folder();
    let (first, second) =
        tokio::join!(plan("flow/repeat.yaml").out(&first_out).run(), plan("sync/topic.yaml").out(&second_out).run());
    first.expect("it runs").assert_passed();
    second.expect("it runs").assert_passed();
}

/// Notes each line that anybody says, and answers `OK`.
async fn noting(listener: TcpListener, said: mpsc::UnboundedSender<String>) {
    while let Ok((stream, _)) = listener.accept().await {
        let said = said.clone();
        tokio::spawn(async move {
            let (reader, mut writer) = stream.into_split();
            let mut lines = BufReader::new(reader).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                said.send(line).expect("the test goes on");
                writer.write_all(b"OK\n").await.expect("they wait for it");
            }
        });
    }
}

#[tokio::test]
async fn hundreds_of_steps_in_a_row_are_each_done_once_and_in_their_order() {
    const STEPS: usize = 500;
    let (folder, out) = folder();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let (said, mut heard) = mpsc::unbounded_channel();
    tokio::spawn(noting(listener, said));
    let step = |number| format!("\n      - {{ to: clerk, tcp: {{ send: \"{number}\\n\" }}, expect: {{ line: OK }} }}");
    let steps: String = (0..STEPS).map(step).collect();
    let head = format!("meshproof: 1\nplan: row\nservices: {{ clerk: {{ ports: {{ tcp: {port} }} }} }}\n");
    let file = folder.path().join("row.yaml");
    std::fs::write(&file, format!("{head}tests:\n  - id: all\n    steps:{steps}\n")).expect("room for a plan");
    let ran = PlanRun::of(file).binary(env!("CARGO_BIN_EXE_meshproof")).out(&out).run().await.expect("it runs");
    ran.assert_passed();
    let mut lines = Vec::new();
    heard.close();
    while let Some(line) = heard.recv().await {
        lines.push(line);
    }
    assert_eq!(lines, (0..STEPS).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_cannot_be_run_is_said_before_anything_starts() {
    let (_folder, out) = folder();
    let invalid = plan("mistakes/plan.yaml").out(&out).run().await;
    assert!(matches!(&invalid, Err(NotRun::Invalid(mistakes)) if mistakes.contains("MP0106")), "{invalid:?}");
    let nothing = plan("flow/repeat.yaml").test("nobody").out(&out).run().await;
    assert!(matches!(nothing, Err(NotRun::NothingSelected)));
    let (folder, _) = folder();
    let image = folder.path().join("image.yaml");
    let text = "meshproof: 1\nplan: p\nservices: { a: { image: shop } }\ntests: [{ id: t, steps: [{ say: hello }] }]\n";
    std::fs::write(&image, text).expect("a new file");
    let image = PlanRun::of(image).run().await;
    assert!(matches!(&image, Err(NotRun::Invalid(mistakes)) if mistakes.contains("needs --on podman")), "{image:?}");
    assert!(matches!(plan("no-such.yaml").run().await, Err(NotRun::Io { .. })));
    assert!(!out.exists());
}

#[tokio::test]
async fn a_deadline_ends_a_run_inside_a_test_too() {
    let (_folder, out) = folder();
    let late = plan("waiting/flaky.yaml").test("waits").deadline(Duration::from_secs(4)).out(&out);
    assert_eq!(late.run().await.expect("it runs").exit_code(), 8);
}

#[tokio::test]
async fn a_function_of_the_test_answers_what_no_route_of_a_stub_takes() {
    let (_folder, out) = folder();
    let run = plan("stubs/handler/plan.yaml").test("one-call").stub("payments", |call| async move {
        assert_eq!((call.method(), call.path(), call.query()), ("POST", "/charges", Some("dry=no")));
        assert_eq!(call.header("X-Key"), Some("good"));
        Reply::status(201).header("x-by", "a function").json(&json!({ "of": call.json()["card"] }))
    });
    run.out(&out).run().await.expect("it runs").assert_passed();
}

#[tokio::test]
async fn an_answer_that_is_not_what_the_plan_expects_fails_it_at_the_line_that_expects_it() {
    let (_folder, out) = folder();
    let run = plan("stubs/handler/fails.yaml").out(&out).stub("payments", |_| async { Reply::status(402) });
    let ran = run.run().await.expect("it runs");
    assert_eq!((ran.verdict(), ran.exit_code()), (Verdict::Fail, 1));
    let text = include_str!("../../testdata/stubs/handler/fails.yaml");
    let red = (1..).zip(text.lines()).find(|(_, line)| line.ends_with("# red")).expect("one line is marked").0;
    let failures: Vec<usize> = ran.failures().filter_map(|failure| Some(failure.place.as_ref()?.line)).collect();
    assert_eq!(failures, [red]);
}

#[tokio::test]
async fn as_many_calls_as_the_bound_says_are_handled_at_once_and_no_more() {
    let (_folder, out) = folder();
    // Every call waits until as many as may be handled at once are.
    let together = Arc::new(Barrier::new(HANDLED_AT_ONCE));
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let run = plan("stubs/handler/plan.yaml").test("many-calls").stub("payments", move |_| {
        let (together, inside, most) = (Arc::clone(&together), Arc::clone(&inside), Arc::clone(&most));
        async move {
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            together.wait().await;
            inside.fetch_sub(1, Ordering::SeqCst);
            Reply::status(204)
        }
    });
    run.out(&out).run().await.expect("it runs").assert_passed();
    assert_eq!(seen.load(Ordering::SeqCst), HANDLED_AT_ONCE);
}

#[tokio::test]
async fn a_panic_in_a_handler_fails_the_test_with_its_text() {
    let (_folder, out) = folder();
    let run = plan("stubs/handler/plan.yaml").test("one-call").out(&out).stub("payments", |call| async move {
        assert_eq!(call.header("x-key"), Some("better"), "a key that is good enough");
        Reply::status(201)
    });
    let panic = tokio::spawn(run.run()).await.expect_err("the handler panicked").into_panic();
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(text.contains("stub `payments` panicked") && text.contains("a key that is good enough"), "{text}");
    let journal = std::fs::read_to_string(out.join("events.jsonl")).expect("the run's journal");
    assert!(journal.contains("the handler of the stub `payments` panicked"), "{journal}");
}

#[tokio::test]
async fn a_handler_for_a_stub_that_is_not_there_is_refused_before_anything_starts() {
    let (_folder, out) = folder();
    let run = |stub: &str| plan("stubs/handler/plan.yaml").out(&out).stub(stub, |_| async { Reply::status(200) }).run();
    let error = run("payment").await.expect_err("no such stub").to_string();
    assert_eq!(error, "the plan has no stub `payment` for a handler; it has payments, raw");
    let error = run("raw").await.expect_err("no HTTP").to_string();
    assert!(error.starts_with("unsupported: "), "{error}");
    assert!(!out.exists());
}
