//! Runs beside each other.

use crate::scene::{CHECKOUT, Scene};

#[test]
fn two_runs_of_one_plan_at_the_same_time_both_pass() {
    let scenes = [Scene::new(), Scene::new()];
    let mut sessions = scenes.each_ref().map(|scene| scene.run(CHECKOUT));
    for session in &mut sessions {
        // Neither has ended when this one is in its middle: a cut takes 5 s, and they began together.
        session.happening(("fault-began", "fault", "ledger-cut"));
    }
    for session in sessions {
        session.end().assert_code(0);
    }
    scenes.iter().for_each(Scene::assert_nothing_left);
}

#[test]
fn a_second_run_in_the_same_folder_is_refused_and_the_first_goes_on() {
    let scene = Scene::new();
    let mut first = scene.run(CHECKOUT);
    first.happening(("fault-began", "fault", "ledger-cut"));
    let second = scene.run_plain(CHECKOUT).end();
    second.assert_code(2);
    assert!(second.all().contains("another run writes"), "{}", second.all());
    first.end().assert_code(0);
    scene.assert_nothing_left();
}
