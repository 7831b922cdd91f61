//! Plans about waiting: each holds, or fails with the step that is to blame.

use std::collections::BTreeMap;

use crate::journal::Journal;
use crate::scene::Scene;

/// Runs a plan of `testdata/waiting` to its end, which must be this.
fn run(plan: &str, code: i32) -> Journal {
    let scene = Scene::new();
    let ended = scene.run(format!("testdata/waiting/{plan}.yaml")).end();
    ended.assert_code(code);
    scene.assert_nothing_left();
    Journal::read(&scene.out())
}

#[track_caller]
fn passes(plan: &str) {
    let journal = run(plan, 0);
    assert_eq!(journal.all("failure").count(), 0);
}

/// Its one failure is held against this step, and says this.
#[track_caller]
fn fails(plan: &str, step: &str, title: &str) {
    let journal = run(plan, 1);
    let failure = journal.only("failure");
    assert_eq!(failure["step"]["id"], step, "{failure:#}");
    assert!(failure["title"].as_str().is_some_and(|found| found.contains(title)), "{failure:#}");
    let verdicts: BTreeMap<_, _> = journal.verdicts();
    assert!(verdicts.values().all(|verdict| *verdict == "fail"), "{verdicts:?}");
}

#[test]
fn what_always_holds_passes() {
    passes("always");
}

#[test]
fn a_panic_after_a_good_answer_fails_the_test_and_is_held_against_the_step_that_caused_it() {
    fails("always-fails", "order", "what must always hold is broken after this step");
}

#[test]
fn a_crash_after_a_good_answer_fails_the_test_and_is_held_against_the_step_that_caused_it() {
    fails("late-exit-fails", "order", "service `moody` ended by itself: exit code 101");
}

#[test]
fn the_evidence_of_a_crash_begins_with_its_own_test() {
    let journal = run("second-crash-fails", 1);
    let failure = journal.only("failure");
    assert_eq!((&failure["test"], &failure["step"]["id"]), (&"crash".into(), &"order".into()));
    let evidence = failure["evidence"].to_string();
    assert!(evidence.contains("out of memory") && !evidence.contains("disk is slow"), "{evidence}");
}

#[test]
fn an_error_half_way_through_a_stream_is_held_against_the_step_that_asked_for_it() {
    fails("late-stream-fails", "feed", "end of file before message length reached");
}

#[test]
fn what_comes_after_a_good_beginning_over_grpc_or_ws_is_held_against_the_step_that_asked_for_it() {
    let journal = run("late-calls-fails", 1);
    let blamed = journal.all("failure").map(|failure| {
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        (text(&failure["test"]), (text(&failure["step"]["id"]), text(&failure["title"])))
    });
    let blamed: BTreeMap<String, (String, String)> = blamed.collect();
    let panicked = "what must always hold is broken after this step";
    for (test, step, title) in [
        ("a-list-over-grpc-breaks", "list", "answered with DATA_LOSS the list broke half-way"),
        ("a-websocket-is-torn", "feed", "without closing handshake"),
        ("the-service-complains-after-its-answer-over-grpc", "order", panicked),
        ("the-service-complains-after-its-answer-over-ws", "order", panicked),
    ] {
        let (found, said) = blamed.get(test).expect(test);
        assert!(found == step && said.contains(title), "{test}: {found}: {said}");
    }
    assert_eq!((blamed.len(), journal.all("failure").count()), (4, 4));
}

#[test]
fn a_service_that_recovers_is_steady_again() {
    passes("steady");
}

#[test]
fn a_service_that_stays_ill_is_not_steady_again() {
    fails("steady-fails", "healthy", "answered with status 503");
}

#[test]
fn a_test_ends_when_the_work_behind_the_answer_is_done() {
    let journal = run("settle", 0);
    let settled = journal.all("step-ended").find(|ended| ended["step"]["section"] == "settle").expect("it settles");
    // The work takes 600 ms and is followed by 400 ms of quiet; the step begins when the work was accepted.
    assert!(settled["duration_ms"].as_f64().is_some_and(|ms| ms >= 800.0), "{settled:#}");
}

#[test]
fn a_test_whose_work_does_not_end_fails() {
    let journal = run("settle-fails", 1);
    let failure = journal.only("failure");
    assert_eq!(failure["step"]["section"], "settle");
    assert!(failure["title"].as_str().is_some_and(|title| title.starts_with("`moody` was not quiet within 2s")));
}
