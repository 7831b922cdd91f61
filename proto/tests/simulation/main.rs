//! The link machine and the stream flow in a deterministic world: thousands of seeds, and the bugs that they must find.
//!
//! `docs/simulation.md` says what is varied and what must hold. A seed that failed once stays here under the name of what
//! it found.

use meshproof_proto::{flow, id, limits, link, seed, signal, ways};

mod planted;
mod planting;
mod seeds;
mod sim;

/// How many seeds every change must pass.
const SEEDS: u64 = 10_000;

#[test]
fn ten_thousand_worlds_hold_what_is_promised() {
    let began = std::time::Instant::now();
    let outcome = seeds::all(0..SEEDS, |_| {});
    println!("{SEEDS} seeds in {:.1} s", began.elapsed().as_secs_f64());
    if let Some(failed) = outcome.failed {
        holds(failed.seed);
    }
    assert_eq!(outcome.passed, SEEDS);
}

#[test]
fn seed_0_an_ask_ends_the_attempt_that_the_peer_gave_up() {
    holds(0);
}

#[test]
fn seed_21_a_link_that_came_back_is_not_replaced() {
    holds(21);
}

#[test]
fn seed_0_connections_that_never_last_are_not_made_without_a_wait() {
    holds(0);
}

#[test]
fn seed_22_an_ask_above_every_number_is_refused() {
    holds(22);
}

#[test]
fn seed_91150_a_lost_link_is_not_suspect_again_when_its_silent_connection_breaks() {
    holds(91_150);
}

#[test]
fn seed_4183_a_trial_that_was_overdue_when_an_attempt_ended_begins_at_once() {
    holds(4_183);
}

#[test]
fn seed_98_what_is_opened_on_a_stripe_is_not_overtaken_on_one_that_comes() {
    holds(98);
}

#[test]
fn a_seed_is_always_the_same_world() {
    let worlds = [4711, 4711].map(|seed| sim::run(seed).map(|passed| (passed.events, passed.healed)).map_err(|_| ()));
    assert_eq!(worlds[0], worlds[1]);
}

/// Panics with what broke, after what came before it.
fn holds(seed: u64) {
    if let Err(failed) = sim::run(seed).or_else(|_| sim::trace(seed)) {
        panic!("{failed}");
    }
}
