//! Runs the simulation of links and streams for as many seeds as you like.
//!
//! `cargo run --release -p meshproof-proto --example simulate -- --seeds 1000000`, `--from 5000000` to begin elsewhere,
//! `--trace 4711` to see one seed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use meshproof_proto::{flow, id, limits, link, seed, signal, ways};

#[path = "../tests/simulation/seeds.rs"]
mod seeds;
#[path = "../tests/simulation/sim/mod.rs"]
mod sim;

const USAGE: &str = "usage: simulate [--seeds COUNT] [--from SEED] | --trace SEED";

fn main() -> ExitCode {
    let (mut count, mut from, mut trace) = (10_000, 0, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number = words.next().and_then(|number| number.replace('_', "").parse::<u64>().ok());
        match (word.as_str(), number) {
            ("--seeds", Some(number)) => count = number,
            ("--from", Some(number)) => from = number,
            ("--trace", Some(number)) => trace = Some(number),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    match trace {
        Some(seed) => show(seed),
        None => run(from, count),
    }
}

fn show(seed: u64) -> ExitCode {
    match sim::trace(seed) {
        Ok(passed) => {
            println!("seed {seed} holds: {} events, healed in {:?}", passed.events, passed.healed);
            ExitCode::SUCCESS
        }
        Err(failed) => {
            println!("{failed}");
            ExitCode::FAILURE
        }
    }
}

fn run(from: u64, count: u64) -> ExitCode {
    let began = Instant::now();
    let step = (count / 20).max(1000);
    let outcome = seeds::all(from..from.saturating_add(count), |seed| {
        if seed % step < 1000 {
            let rate = (seed - from) as f64 / began.elapsed().as_secs_f64();
            println!("{seed} ({rate:.0} seeds/s)");
        }
    });
    if let Some(failed) = outcome.failed {
        show(failed.seed);
        return ExitCode::FAILURE;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{} seeds hold: {} events in {seconds:.1} s", outcome.passed, outcome.events);
    let mut healed = outcome.healed;
    healed.sort_unstable();
    let at = |share: f64| healed.get(((healed.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(Duration::ZERO);
    println!("healed after the last fault: p50 {:?}, p99 {:?}, max {:?}", at(0.5), at(0.99), at(1.0));
    ExitCode::SUCCESS
}
