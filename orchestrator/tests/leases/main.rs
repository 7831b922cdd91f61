//! Faults end with their lease, whoever is killed meanwhile.
//!
//! In a run a fault of every kind is active at the same time, each on a path of its own. Whoever uses that path from outside, a client
//! that knows nothing of faults, sees it disturbed ([`observer`]). Then whoever commands, agents, both, or the keeper are killed with
//! SIGKILL, as a seed says, and when the lease is over the client has to be served as if nothing had been ([`round`]).
//!
//! `cargo test --workspace --locked --test leases` is the short form: a few rounds, which allow for a machine that has other things to
//! do. `-- --rounds 50` plays that many and allows the second that is promised; `--seed 7` begins with the round of that seed. How late
//! the latest client was served is printed.

mod ground;
mod network;
mod observer;
mod place;
mod plan;
#[path = "../e2e/processes.rs"]
#[allow(dead_code, reason = "the tests beside it wait for processes too")]
mod processes;
mod round;
mod service;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

use ground::Ground;
use round::{LOADED, Round};

/// What is promised.
const PROMISED: Duration = Duration::from_secs(1);

/// The first rounds kill agents and whoever commands, then the keeper.
const FEW: u64 = 2;

#[derive(Clone, Copy, Debug)]
struct Wishes {
    rounds: u64,
    seed: u64,
    /// So long after its lease a fault may be felt.
    late: Duration,
}

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().collect();
    if words.get(1).map(String::as_str) == Some(service::WORD) {
        return service::run(&words[2..]);
    }
    let (rounds, seed) = (taken(&mut words, "--rounds"), taken(&mut words, "--seed"));
    let late = if rounds.is_some() { PROMISED } else { LOADED };
    let wishes = Wishes { rounds: rounds.unwrap_or(FEW), seed: seed.unwrap_or(1), late };
    let mut arguments = Arguments::from_iter(words);
    arguments.test_threads = Some(1);
    let trials = [
        ("whoever_is_killed_no_fault_on_traffic_is_felt_after_its_lease", Ground::Tunnels),
        ("whoever_is_killed_no_fault_on_the_data_network_is_felt_after_its_lease", Ground::Network),
    ];
    let trials = trials.map(|(name, ground)| {
        Trial::test(name, move || {
            play(ground, wishes);
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn play(ground: Ground, wishes: Wishes) {
    if !ground.is_possible() {
        return println!("skipped: a data network takes root and /dev/net/tun");
    }
    for seed in wishes.seed..wishes.seed + wishes.rounds {
        Round { ground, seed, late: wishes.late }.play();
    }
}

/// The number behind that word, both taken out.
fn taken(words: &mut Vec<String>, word: &str) -> Option<u64> {
    let at = words.iter().position(|other| other == word)?;
    let number = words.get(at + 1).and_then(|number| number.parse().ok());
    words.drain(at..(at + 2).min(words.len()));
    Some(number.unwrap_or_else(|| panic!("{word} takes a number")))
}
