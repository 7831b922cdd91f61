//! Readers that stand still: memory stays bounded, nobody else is held up, nothing is lost.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/process.rs"]
mod process;

mod events;
mod rpc;
mod scenes;

use std::time::Duration;

use meshproof_proto::limits;

/// Longer than silence may be before a link is suspect, so that nobody mistakes the one for the other.
const PAUSE: Duration = Duration::from_secs(3);

/// A window each at the writer and at the reader, the queue's spare capacity (at most the same again), and what the
/// kernel and SCTP hold of it.
const HELD: usize = 6 * limits::STREAM_WINDOW_BYTES as usize;

/// The reader stands still: nothing moves, so nothing grows, beside what the allocator does for the streams beside it.
const GROWN: usize = 2 * 1024 * 1024;

/// Far more than a round trip takes on two busy cores.
const WAIT: Duration = Duration::from_secs(1);

/// Tests take turns: the memory that each counts is that of the process.
async fn alone() -> tokio::sync::MutexGuard<'static, ()> {
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    ALONE.lock().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stands_still_costs_two_windows_and_stalls_nobody_else() {
    let _alone = alone().await;
    let seen = scenes::stand_still(PAUSE).await;
    println!("{seen:?}");
    assert!(seen.taken <= 2 * limits::STREAM_WINDOW_BYTES, "{seen:?}");
    assert!(seen.queued <= limits::STREAM_WINDOW_BYTES, "{seen:?}");
    assert!(seen.drained < common::PATIENCE, "{seen:?}");
    assert!(seen.held < HELD && seen.grown < GROWN, "{seen:?}");
    for trips in [seen.same_link, seen.other_link] {
        assert!(trips.count > 100 && trips.longest < WAIT, "{seen:?}");
    }
}
