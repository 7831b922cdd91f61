//! How fast a stub answers, beside a bare hyper server in the same run, and what a million calls leave in memory.
//!
//! `cargo bench --workspace --bench stubs` prints both. The servers run on one thread, the clients on another, over
//! loopback and connections that stay open. Servers take turns within a round; a ratio is the median of the rounds' ratios. A missed
//! must ends it with exit code 1.

mod clients;
mod memory;
mod servers;

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Instant;

use clients::Clients;
use servers::Server;

/// Enough for a median that a few disturbed rounds do not move.
const ROUNDS: usize = 31;

/// Calls of one server in one round: a third of a second, so that those who are compared meet the same neighbours.
const CALLS: usize = 10_000;

/// Of what a bare hyper server does.
const LEAST: f64 = 0.6;

/// What a call may cost with many routes, of what it costs with one. Processor time tells it best: the rates of two rounds
/// differ by more from what else the machine does.
const FLAT: f64 = 1.1;

fn main() -> ExitCode {
    println!("{}, {}", servers::rival(), command_line());
    println!();
    println!("| what | median | min..max | ratio | must | aim |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let is_fast_enough = speed();
    memory::million();
    if is_fast_enough { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Rival and stubs are servers of this process.
fn command_line() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("in the process of `stubs {}`", arguments.join(" "))
}

fn speed() -> bool {
    let bare = Server::bare();
    let stubs = [
        ("calls/s, a stub with 1 route", Server::stub(1)),
        ("calls/s, a stub with 100 routes", Server::stub(100)),
        ("calls/s, a stub with 5000 routes", Server::stub(5_000)),
        ("calls/s, a stub with a JSON condition and a template", Server::charges()),
    ];
    let mut all: Vec<(&str, &Server, Vec<Round>)> = vec![("calls/s, bare hyper", &bare, Vec::new())];
    all.extend(stubs.iter().map(|(what, server)| (*what, server, Vec::new())));
    for round in 0..ROUNDS {
        for at in 0..all.len() {
            // Another one goes first in each round, so that a neighbour who comes and goes hits all alike.
            let count = all.len();
            let (_, server, rates) = &mut all[(at + round) % count];
            rates.push(round_of(server));
        }
    }
    let of = |what: fn(&Round) -> f64| -> Vec<Vec<f64>> {
        all.iter().map(|(_, _, rounds)| rounds.iter().map(what).collect()).collect()
    };
    let (rates, costs) = (of(|round| round.rate), of(|round| round.cpu_us));
    let against = |ours: usize, theirs: usize| ratios(&rates[ours], &rates[theirs]);
    row(all[0].0, &rates[0], "", ("", ""));
    for at in 1..=3 {
        row(all[at].0, &rates[at], &format!("{} bare hyper", against(at, 0)), ("0.6x", "0.8x"));
    }
    row(all[4].0, &rates[4], &format!("{} bare hyper", against(4, 0)), ("", ""));
    println!("| 100 routes against 1 | | | {} | within 10 % | |", against(2, 1));
    println!("| 5000 routes against 1 | | | {} | within 10 % | |", against(3, 1));
    for (at, (what, ..)) in all.iter().enumerate() {
        let against = if at == 0 { String::new() } else { format!("{} bare hyper", ratios(&costs[at], &costs[0])) };
        row(what.replace("calls/s", "us of CPU a call, the server's thread"), &costs[at], &against, ("", ""));
    }
    for (at, routes) in [(2, 100), (3, 5000)] {
        println!("| CPU a call, {routes} routes against 1 | | | {} | within 10 % | |", ratios(&costs[at], &costs[1]));
    }
    let is_fast = (1..=3).all(|at| median(&of_each(&rates[at], &rates[0])) >= LEAST);
    let is_flat = (2..=3).all(|at| median(&of_each(&costs[at], &costs[1])) <= FLAT);
    is_fast && is_flat
}

/// What one server did in one round.
struct Round {
    rate: f64,
    /// Neighbours that take a core change this less than they change the rate.
    cpu_us: f64,
}

fn round_of(server: &Server) -> Round {
    let mut clients = Clients::connect(server.address, &server.request);
    clients.call(CALLS / 20);
    let (began, cpu) = (Instant::now(), server.cpu());
    clients.call(CALLS);
    let rate = CALLS as f64 / began.elapsed().as_secs_f64();
    Round { rate, cpu_us: (server.cpu() - cpu).as_secs_f64() * 1e6 / CALLS as f64 }
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn ratios(ours: &[f64], theirs: &[f64]) -> String {
    let ratios = of_each(ours, theirs);
    format!("{:.2}x ({:.2}..{:.2})", median(&ratios), ratios[0], ratios[ratios.len() - 1])
}

/// Of each round, in order of size.
fn of_each(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    sorted(&ours.iter().zip(theirs).map(|(our, their)| our / their).collect::<Vec<_>>())
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn row(what: impl Display, samples: &[f64], ratio: &str, (must, aim): (&str, &str)) {
    let sorted = sorted(samples);
    let (median, min, max) = (median(&sorted), sorted[0], sorted[sorted.len() - 1]);
    let digits = if median < 1e3 { 1 } else { 0 };
    println!("| {what} | {median:.digits$} | {min:.digits$}..{max:.digits$} | {ratio} | {must} | {aim} |");
}
