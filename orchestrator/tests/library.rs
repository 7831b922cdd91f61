//! A plan inside a test of one's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use meshproof::library::{NotRun, PlanRun};
use meshproof::record::Happening;
use meshproof_proto::verdict::Verdict;

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

#[tokio::test]
async fn what_cannot_be_run_is_said_before_anything_starts() {
    let (_folder, out) = folder();
    let invalid = plan("mistakes/plan.yaml").out(&out).run().await;
    assert!(matches!(&invalid, Err(NotRun::Invalid(mistakes)) if mistakes.contains("MP0106")), "{invalid:?}");
    let nothing = plan("flow/repeat.yaml").test("nobody").out(&out).run().await;
    assert!(matches!(nothing, Err(NotRun::NothingSelected)));
    assert!(matches!(plan("no-such.yaml").run().await, Err(NotRun::Io { .. })));
    assert!(!out.exists());
}

#[tokio::test]
async fn a_deadline_ends_a_run_inside_a_test_too() {
    let (_folder, out) = folder();
    let late = plan("waiting/flaky.yaml").test("waits").deadline(Duration::from_secs(4)).out(&out);
    assert_eq!(late.run().await.expect("it runs").exit_code(), 8);
}
