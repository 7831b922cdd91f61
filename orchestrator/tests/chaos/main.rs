//! Runs that come through whatever is killed, frozen or cut off meanwhile.
//!
//! The work is a set of numbers: each is one step, or one record of a stream, and has one effect, which the service itself writes into a
//! file ([`service`]). While a run works through them, a nemesis with a seed strikes agents, links, signaling, the keeper and whoever
//! commands ([`nemesis`]). Then what the run claims of each number is held against what stands in those files ([`checker`]).
//!
//! `cargo test --workspace --locked --test chaos` is the short form, of two minutes. `-- --rounds 50 --numbers 10000` is the long one;
//! `--seed 7` begins with the round of that seed. A round that does not hold tells its seed and leaves its folder.

mod checker;
mod commanders;
mod nemesis;
mod place;
#[path = "../e2e/processes.rs"]
#[allow(dead_code, reason = "the tests beside it wait for processes too")]
mod processes;
mod round;
mod service;
mod tally;
mod workload;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Trial};

use round::{Round, Storm};
use tally::Tally;

/// A number that a run is asked for, and the others.
#[derive(Debug, Clone, Copy)]
struct Wishes {
    rounds: u64,
    numbers: u64,
    seed: u64,
}

/// How often a keeper is killed in the middle of a run, which is the end of that run.
const KEEPERS: u64 = 5;

/// That many numbers keep a short run busy until its keeper is killed.
const FEW: u64 = 60;

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().collect();
    if words.get(1).map(String::as_str) == Some(service::WORD) {
        return service::run(&words[2..]);
    }
    let wishes = Wishes {
        rounds: taken(&mut words, "--rounds").unwrap_or(1),
        numbers: taken(&mut words, "--numbers").unwrap_or(600),
        seed: taken(&mut words, "--seed").unwrap_or(1),
    };
    let mut arguments = Arguments::from_iter(words);
    arguments.test_threads = Some(1);
    let tally = Arc::new(Mutex::new(Tally::default()));
    let trials = [
        ("each_number_is_ok_failed_or_unknown_whatever_is_killed_frozen_or_cut_off", storms as Play),
        ("a_run_whose_keeper_is_killed_is_an_error_and_nothing_of_it_is_done_twice", keepers as Play),
    ];
    let trials = trials.map(|(name, play)| {
        let tally = Arc::clone(&tally);
        Trial::test(name, move || Ok(play(wishes, &mut tally.lock().expect("one at a time"))?))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    print!("{}", tally.lock().expect("one at a time"));
    conclusion.exit_code()
}

type Play = fn(Wishes, &mut Tally) -> Result<(), String>;

fn storms(wishes: Wishes, tally: &mut Tally) -> Result<(), String> {
    for seed in wishes.seed..wishes.seed + wishes.rounds {
        Round { seed, numbers: wishes.numbers, storm: Storm::Everything }.play(tally)?;
    }
    tally.struck_enough()
}

fn keepers(wishes: Wishes, tally: &mut Tally) -> Result<(), String> {
    for seed in wishes.seed..wishes.seed + KEEPERS.max(wishes.rounds) {
        Round { seed, numbers: FEW, storm: Storm::Keeper }.play(tally)?;
    }
    Ok(())
}

/// The number behind that word, both taken out.
fn taken(words: &mut Vec<String>, word: &str) -> Option<u64> {
    let at = words.iter().position(|other| other == word)?;
    let number = words.get(at + 1).and_then(|number| number.replace('_', "").parse().ok());
    words.drain(at..(at + 2).min(words.len()));
    Some(number.unwrap_or_else(|| panic!("{word} takes a number")))
}
