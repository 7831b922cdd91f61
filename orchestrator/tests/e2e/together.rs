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
