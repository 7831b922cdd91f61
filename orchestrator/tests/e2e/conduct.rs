//! Plans about flow, sync points and processes: each holds, and its twin fails where it is meant to.

use crate::journal::Journal;
use crate::scene::Scene;

/// Runs a plan of `testdata` to its end, which must be this.
fn run(plan: &str, code: i32) -> Journal {
    let scene = Scene::new();
    let ended = scene.run(format!("testdata/{plan}.yaml")).end();
    ended.assert_code(code);
    scene.assert_nothing_left();
    Journal::read(&scene.out())
}

#[track_caller]
fn passes(plan: &str) -> Journal {
    let journal = run(plan, 0);
    assert_eq!(journal.all("failure").count(), 0);
    journal
}

/// Its one failure is held against the step with this key, and says this.
#[track_caller]
fn fails(plan: &str, step: &str, title: &str) {
    let journal = run(plan, 1);
    let failure = journal.only("failure");
    assert_eq!(failure["step"]["key"]["step"], step, "{failure:#}");
    assert!(failure["title"].as_str().is_some_and(|found| found.contains(title)), "{failure:#}");
}

#[test]
fn branches_run_side_by_side_and_end_together() {
    passes("flow/parallel");
    fails("flow/parallel-fails", "0.0.0", "answered with status 404");
}

#[test]
fn repeated_steps_know_their_round_and_the_first_bad_one_is_the_last() {
    passes("flow/repeat");
    fails("flow/repeat-fails", "0.2.0", "`json` at `$.count` is not as expected");
}

#[test]
fn a_matrix_runs_every_test_for_every_combination() {
    let journal = passes("flow/matrix");
    let tests: Vec<&str> = journal.verdicts().into_keys().collect();
    let combinations = ["wait=100ms,size=1", "wait=100ms,size=2", "wait=200ms,size=1", "wait=200ms,size=2"];
    assert_eq!(tests.len(), combinations.len());
    for combination in combinations {
        let [wait, size] = combination.split(',').collect::<Vec<_>>()[..] else { panic!("{combination}") };
        assert!(tests.iter().any(|test| test.contains(wait) && test.contains(size)), "{combination}: {tests:?}");
    }
    fails("flow/matrix-fails", "0", "is not as expected");
}

#[test]
fn a_pause_is_skipped_aloud_when_nobody_is_there() {
    let journal = passes("flow/pause");
    let skipped = journal.all("step-ended").find(|ended| ended["ending"] == "skipped").expect("the pause");
    assert!(skipped["why"].as_str().is_some_and(|why| why.contains("nobody is there")), "{skipped:#}");
    fails("flow/pause-fails", "1", "answered with status 404");
}

#[test]
fn a_barrier_opens_when_enough_have_come_and_names_who_did_not() {
    passes("sync/barrier");
    fails("sync/barrier-fails", "1", "1 of 2 have come in time; missing: other");
}

#[test]
fn a_barrier_does_not_wait_for_who_is_gone() {
    passes("sync/loss");
    fails("sync/loss-fails", "1.1.0", "2 are needed and 1 are left; gone: other");
}

#[test]
fn a_barrier_waits_for_who_may_come_back_and_a_number_of_them_is_enough() {
    passes("sync/wait");
    fails("sync/wait-fails", "2", "1 of 2 have come in time; missing: other");
}

#[test]
fn the_example_that_the_language_was_designed_with_passes_as_it_was_written() {
    let journal = passes("example-a/plan");
    let ended = |section: &str| journal.all("step-ended").filter(|ended| ended["step"]["section"] == section).count();
    // Each service is watched for itself.
    let sections = ["always", "steady", "settle", "after", "steady-after"].map(ended);
    assert_eq!(sections, [2, 1, 1, 2, 1]);
}

#[test]
fn a_topic_gives_what_was_published_before_too() {
    passes("sync/topic");
    fails("sync/topic-fails", "1", "1 of 2 values came in time");
}

#[test]
fn a_killed_service_is_gone_and_a_restarted_one_is_new() {
    passes("processes/kill");
    fails("processes/kill-fails", "1", "refused");
    passes("processes/restart");
    fails("processes/restart-fails", "0", "refused");
}

#[test]
fn a_frozen_service_does_not_answer_until_its_time_is_over_or_it_is_thawed() {
    passes("processes/freeze");
    fails("processes/freeze-fails", "1", "300ms");
    passes("processes/thaw");
    fails("processes/thaw-fails", "2", "`is` is not as expected");
}

#[test]
fn a_service_may_end_when_a_step_expects_it_and_its_end_wakes_that_step() {
    let journal = passes("processes/exit");
    let ended = journal.all("step-ended").find(|ended| ended["step"]["id"] == "end").expect("it waits");
    // It ends after 200 ms; the step has 10 s.
    assert!(ended["duration_ms"].as_f64().is_some_and(|ms| ms < 5_000.0), "{ended:#}");
    fails("processes/exit-fails", "0", "`is` is not as expected");
}
