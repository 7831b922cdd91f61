//! Peers come and go around one that stays; does it grow? `cargo run --release -p meshproof-mesh --example soak -- --minutes 10`
//!
//! A round connects three new peers, opens streams, ends some well and drops some half way, replaces the connections of a
//! fourth, and lets all of them go. After each, once it is quiet, memory, tasks, descriptors and sockets are counted. The
//! first fifth is warm-up. The last line says whether anything grows; then the exit code is 1.

#[path = "../../tests/common/mod.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod common;
#[path = "../../tests/hostile/peer.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod peer;
#[path = "../../tests/common/process.rs"]
mod process;

mod churn;
mod sample;
mod slope;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use churn::Churn;
use sample::Sample;
use slope::Slope;

/// What is looked at, how it is read from a sample, and what growth a minute is no matter.
type Series = (&'static str, fn(&Sample) -> f64, f64);

/// A line is printed at most so often.
const SHOW_EVERY: Duration = Duration::from_secs(10);

/// The allocator keeps arenas and settles for a long time: growth below this is a leak of less than 1 KiB a round.
const TOLERATED_KIB_A_MINUTE: f64 = 64.0;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let minutes = std::env::args().skip_while(|argument| argument != "--minutes").nth(1);
    let minutes: f64 = minutes.and_then(|minutes| minutes.parse().ok()).unwrap_or(10.0);
    let length = Duration::from_secs_f64(60.0 * minutes);
    let churn = Churn::new().await;
    let (begin, mut samples, mut rounds, mut shown) = (Instant::now(), Vec::new(), 0, None::<Instant>);
    println!(
        "{:>8} {:>7} {:>10} {:>7} {:>12} {:>8}",
        "seconds", "rounds", "memory KiB", "tasks", "descriptors", "sockets"
    );
    while begin.elapsed() < length {
        churn.round().await;
        rounds += 1;
        let sample = Sample::settled().await;
        let at = begin.elapsed();
        if at > length / 5 {
            samples.push((at.as_secs_f64() / 60.0, sample));
        }
        if shown.is_none_or(|shown| shown.elapsed() >= SHOW_EVERY) {
            shown = Some(Instant::now());
            let Sample { tasks, descriptors, sockets, resident } = sample;
            let seconds = at.as_secs();
            println!("{seconds:>8} {rounds:>7} {:>10} {tasks:>7} {descriptors:>12} {sockets:>8}", resident / 1024);
        }
    }
    churn.end().await;
    verdict(&samples, rounds)
}

fn verdict(samples: &[(f64, Sample)], rounds: u32) -> ExitCode {
    let series: [Series; 4] = [
        ("memory KiB", |sample| sample.resident as f64 / 1024.0, TOLERATED_KIB_A_MINUTE),
        ("tasks", |sample| sample.tasks as f64, 0.0),
        ("descriptors", |sample| sample.descriptors as f64, 0.0),
        ("sockets", |sample| sample.sockets as f64, 0.0),
    ];
    println!("\n{rounds} rounds, {} samples after the warm-up; slopes per minute with 95 % confidence", samples.len());
    let mut growing = Vec::new();
    for (what, of, tolerated) in series {
        let points: Vec<_> = samples.iter().map(|(at, sample)| (*at, of(sample))).collect();
        let Some(slope) = Slope::of(&points) else {
            println!("verdict: too few samples, let it run longer");
            return ExitCode::FAILURE;
        };
        println!("{what:<12} {:>+10.2} ± {:.2}", slope.value, slope.error);
        if slope.grows_by_more_than(tolerated) {
            growing.push(what);
        }
    }
    if growing.is_empty() {
        println!("verdict: flat");
        return ExitCode::SUCCESS;
    }
    println!("verdict: {} grows", growing.join(", "));
    ExitCode::FAILURE
}
