//! What a reader that stands still costs: `cargo run --release -p meshproof-mesh --example stalled -- 60` (seconds).
//!
//! Both sides and a third peer live in this process, so its memory is that of all of them.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/process.rs"]
mod process;
#[path = "../tests/stalled/scenes.rs"]
mod scenes;

use std::time::Duration;

use meshproof_proto::limits;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let seconds = std::env::args().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(60);
    let mib = |bytes: u64| bytes as f64 / f64::from(1024 * 1024);
    let seen = scenes::stand_still(Duration::from_secs(seconds)).await;
    println!("a reader stood still for {seconds} s; a window is {:.1} MiB", mib(limits::STREAM_WINDOW_BYTES));
    println!("{:<48}{:>8.1} MiB", "taken from the writer", mib(seen.taken));
    println!("{:<48}{:>8.1} MiB", "kept for the peer by the writer's link", mib(seen.queued));
    println!("{:<48}{:>8.1} MiB", "memory more once the writer was blocked", mib(seen.held as u64));
    println!("{:<48}{:>8.1} MiB", "memory more at the end of the stall", mib(seen.grown as u64));
    for (what, trips) in [("on the same link", seen.same_link), ("on another link", seen.other_link)] {
        println!("{:<48}{:>8} longest {:.1?}", format!("round trips meanwhile {what}"), trips.count, trips.longest);
    }
    println!("{:<48}{:>8.1?}, every byte compared", "reading what was held back", seen.drained);
}
