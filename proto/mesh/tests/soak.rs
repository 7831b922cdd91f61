//! Peers come and go. Alone in its process, because it counts the process's tasks and descriptors.

#[path = "../examples/soak/churn.rs"]
mod churn;
#[allow(dead_code, reason = "other tests use more of it")]
mod common;
#[path = "hostile/peer.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod peer;
#[path = "common/process.rs"]
mod process;
#[path = "../examples/soak/sample.rs"]
mod sample;
#[path = "../examples/soak/slope.rs"]
#[allow(dead_code, reason = "only its tests are wanted here")]
mod slope;

use churn::Churn;
use sample::Sample;

/// Rounds of four new peers each.
const ROUNDS: usize = 10;

/// What the allocator may still take after the first rounds. A leaked connection is half a megabyte.
const GROWN: usize = 8 * 1024 * 1024;

/// One test, because whatever runs beside it in the process has tasks and descriptors as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_come_and_go_leave_nothing_at_one_that_stays_nor_when_it_leaves() {
    let before = Sample::settled().await;
    let churn = Churn::new().await;
    for _ in 0..2 {
        churn.round().await;
    }
    let early = Sample::settled().await;
    for _ in 0..ROUNDS {
        churn.round().await;
    }
    let late = Sample::settled().await;
    assert_eq!((late.tasks, late.descriptors), (early.tasks, early.descriptors), "{early:?}, {late:?}");
    assert!(late.resident < early.resident + GROWN, "{early:?}, {late:?}");
    churn.end().await;
    let after = Sample::settled().await;
    assert_eq!((after.tasks, after.descriptors), (before.tasks, before.descriptors), "{before:?}, {after:?}");
}
