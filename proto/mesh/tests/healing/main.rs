//! Healing, shown with real cuts: real processes in real network namespaces, a real signaling server, real data channels.
//!
//! This target runs itself again, as a peer, as signaling, as a service and its customer: [`parts`] is what those do. What
//! happens to them is in [`scenarios`]; [`netns`] cuts their paths. Every scenario measures, and ends in an [`audit`]:
//! a service's TCP connection came through byte for byte, and no call ran twice.
//!
//! `cargo test -p meshproof-mesh --test healing -- --rounds 20` prints the table of detection and recovery.

mod audit;
mod board;
mod daemon;
mod netns;
mod parts;
mod process;
mod scenarios;
mod wire;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use board::Board;
use libtest_mimic::{Arguments, Trial};

/// With many rounds the figures matter, so only so many scenarios disturb each other.
const MEASURED_AT_ONCE: usize = 4;

/// They wait far more than they work; all of them at once would be late on a slow machine, and then have more to heal.
const PLAYED_AT_ONCE: usize = 10;

fn main() -> ExitCode {
    if let Some(part) = parts::mine() {
        return parts::play(part);
    }
    let (rounds, rest) = rounds(std::env::args().collect());
    let mut arguments = Arguments::from_iter(rest);
    let board = Arc::new(Board::new(rounds));
    let trials = scenarios::all().into_iter().map(|(name, scenario)| {
        let board = Arc::clone(&board);
        Trial::test(name, move || Ok(scenarios::play(name, scenario, &board)?))
    });
    let trials: Vec<_> = trials.collect();
    if !arguments.list
        && let Err(why) = netns::possible()
    {
        return skip(&why);
    }
    let at_once = if rounds > 2 { MEASURED_AT_ONCE } else { PLAYED_AT_ONCE };
    arguments.test_threads.get_or_insert(at_once);
    let conclusion = libtest_mimic::run(&arguments, trials);
    board.print();
    conclusion.exit_code()
}

/// `--rounds N`, and the arguments without it.
fn rounds(mut arguments: Vec<String>) -> (usize, Vec<String>) {
    let Some(at) = arguments.iter().position(|argument| argument == "--rounds") else { return (1, arguments) };
    let rounds = arguments.get(at + 1).and_then(|rounds| rounds.parse().ok()).filter(|rounds| *rounds > 0);
    let rounds = rounds.expect("--rounds takes a number");
    arguments.drain(at..at + 2);
    (rounds, arguments)
}

fn skip(why: &str) -> ExitCode {
    println!("skipped: healing in network namespaces, because {why}");
    // where root and packages could have been had, not looking is a failure
    if std::env::var("CI").is_ok_and(|ci| ci == "true") { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
