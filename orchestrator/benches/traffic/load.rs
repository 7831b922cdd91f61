//! Calls of a load, beside those of wrk at the same server: each with one core, and the server with the other.

use std::process::Command;

use crate::measure::{ROUNDS, Spread};
use crate::rivals;
use crate::runs::{self, Ran};
use crate::server::Server;
use crate::table::{Goal, Table};

/// Connections with one call each on the way.
const USERS: u32 = 16;
const SECONDS: u32 = 4;

/// Of wrk's calls for the same processor time.
const MUST: f64 = 0.5;
const AIM: f64 = 0.8;

/// MiB that a load of twenty seconds may take more than one of two.
const FLAT_MIB: f64 = 1.0;

pub fn run() -> Table {
    let server = Server::start();
    pin(&server, "1");
    let mut table = Table::default();
    let url = format!("http://127.0.0.1:{}/items/7", server.port);
    let wrk = rivals::version("wrk", "-v");
    let (mut rates, mut costs, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    let (mut their_rates, mut their_costs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        if wrk.is_some() {
            let (rate, cost) = wrk_of(&url);
            their_rates.push(rate);
            their_costs.push(cost);
        }
        let ran = ours(server.port, SECONDS);
        rates.push(ran.number("rate"));
        costs.push(ran.number("calls") / (ran.used("site").cpu_ms as f64 / 1e3));
        p99.push(ran.number("p99") * 1e3);
    }
    let what = |what: &str| format!("{what}, load, {USERS} users, agent on one core");
    match wrk {
        None => {
            rivals::skipped("wrk");
            table.plain(what("calls/s"), Spread::of(&rates));
            table.plain(what("calls for a second of processor time"), Spread::of(&costs));
        }
        Some(version) => {
            let rival = format!("{version}: `{}`", command_line("URL"));
            table.compared(what("calls/s"), Spread::of(&rates), (Spread::of_ratios(&rates, &their_rates), "wrk"));
            table.plain(format!("calls/s, {rival}"), Spread::of(&their_rates));
            let ratio = Spread::of_ratios(&costs, &their_costs);
            table.compared(what("calls for a second of processor time"), Spread::of(&costs), (ratio, "wrk"));
            table.goal(Goal::at_least(ratio.median, MUST, AIM));
            table.plain("calls for a second of processor time, wrk", Spread::of(&their_costs));
        }
    }
    table.plain(what("us, p99 of calls"), Spread::of(&p99));
    memory(&server, &mut table);
    table
}

/// What a longer load leaves in memory.
fn memory(server: &Server, table: &mut Table) {
    let most = |seconds| ours(server.port, seconds).used("site").memory_most_bytes as f64 / (1024.0 * 1024.0);
    let (short, long) = (most(2), most(20));
    table.plain("MiB of the agent, at most, load of 2 s", Spread::of(&[short]));
    table.plain("MiB of the agent, at most, load of 20 s", Spread::of(&[long]));
    let more = long - short;
    table.judged("MiB more for ten times as many calls", Spread::of(&[more]), Goal::at_most(more, FLAT_MIB, FLAT_MIB));
}

fn ours(port: u16, seconds: u32) -> Ran {
    let plan = format!(
        "meshproof: 1\nplan: load\nservices: {{ site: {{ ports: {{ http: {port} }} }} }}\ntests:\n  - id: t\n    steps:\n      \
         - to: site\n        load: {{ http: {{ get: /items/7 }}, users: {USERS}, duration: {seconds}s }}\n        \
         save: {{ calls: $.calls, rate: $.rate, p99: $.p99 }}\n"
    );
    runs::run(&["taskset", "-c", "0"], &plan)
}

fn command_line(url: &str) -> String {
    format!("taskset -c 0 wrk -t1 -c{USERS} -d{SECONDS}s {url}")
}

/// Calls a second, and calls for a second of processor time.
fn wrk_of(url: &str) -> (f64, f64) {
    let script = format!("TIMEFORMAT='cpu %U %S'; time {}", command_line(url));
    let ended = Command::new("bash").args(["-c", &script]).output().expect("bash is there");
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let number = |begin: &str, nth: usize| -> f64 {
        let line = said.lines().find(|line| line.trim_start().starts_with(begin));
        let word = line.and_then(|line| line.split_whitespace().nth(nth));
        word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no `{begin}` in {said}"))
    };
    let calls = said.lines().find(|line| line.contains("requests in")).and_then(|line| line.split_whitespace().next());
    let calls: f64 = calls.and_then(|calls| calls.parse().ok()).unwrap_or_else(|| panic!("no calls in {said}"));
    (number("Requests/sec:", 1), calls / (number("cpu", 1) + number("cpu", 2)))
}

/// All threads of the server on this core.
fn pin(server: &Server, core: &str) {
    let pinned = Command::new("taskset").args(["-a", "-p", "-c", core, &server.id().to_string()]).output();
    assert!(pinned.expect("taskset is part of util-linux").status.success(), "two cores are needed");
}
