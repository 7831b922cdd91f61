//! What a tunnel and the data network add to a connection, beside haproxy and socat: one client, one service, everything on one machine.

use std::net::TcpListener;

use crate::measure::{ROUNDS, Spread};
use crate::observer::{FAR, LOOK};
use crate::rivals::{self, Proxy};
use crate::runs::{self, Ran};
use crate::table::{Goal, Table};

/// Round trips of one round.
const TRIPS: u32 = 2_000;
const SECONDS: u32 = 2;
const CONNECTIONS: u32 = 10_000;

/// Microseconds that a round trip may take more.
const ADDED_MUST: f64 = 500.0;
const ADDED_AIM: f64 = 250.0;

/// Of what the link itself carries.
const BULK_MUST: f64 = 0.6;
const BULK_AIM: f64 = 0.8;

/// Seconds for all connections, and MiB that three times as many may take more.
const OPENED_WITHIN: f64 = 5.0;
const FLAT_MIB: f64 = 8.0;

/// Ways from the client to the service, and what is said of each.
struct Way {
    name: &'static str,
    what: String,
    trips: Vec<f64>,
    mb_s: Vec<f64>,
}

pub fn run() -> Table {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let to = format!("127.0.0.1:{port}");
    let proxies: Vec<Proxy> = [Proxy::haproxy(&to), Proxy::socat(&to)].into_iter().flatten().collect();
    let way = |name, what: &str| Way { name, what: what.to_owned(), trips: Vec::new(), mb_s: Vec::new() };
    let mut ways = vec![way("direct", "no proxy"), way("tunnel", "tunnel")];
    for (name, program) in [("haproxy", "haproxy"), ("socat", "socat")] {
        match proxies.iter().find(|proxy| proxy.what.to_lowercase().contains(program)) {
            Some(proxy) => ways.push(way(name, &proxy.what)),
            None => rivals::skipped(program),
        }
    }
    let address = |name: &str| match name {
        "direct" => "\"${{ services.far.tcp.direct }}\"".to_owned(),
        "tunnel" => "\"${{ services.far.tcp }}\"".to_owned(),
        other => {
            proxies.iter().find(|proxy| proxy.what.to_lowercase().contains(other)).expect("it runs").address.clone()
        }
    };
    let mut link = Vec::new();
    let (mut network_trips, mut network_mb_s) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let looks = ways.iter().map(|way| both(way.name, &address(way.name))).collect::<String>();
        let ran = runs::run(&[], &plan("", port, &(looks + &bench_of_the_link())));
        for way in &mut ways {
            way.trips.push(ran.number(&format!("{}-trips", way.name)));
            way.mb_s.push(ran.number(&format!("{}-mb", way.name)));
        }
        link.push(ran.number("link") / 1e6);
        let network = plan("network: { egress: none }\n", port, &both("network", "\"${{ services.far.tcp }}\""));
        let ran = runs::run(&[], &network);
        network_trips.push(ran.number("network-trips"));
        network_mb_s.push(ran.number("network-mb"));
    }
    let mut table = Table::default();
    tell(&mut table, &ways, &link);
    table.plain("us, p50 of a round trip, data network", Spread::of(&network_trips));
    let ratio = Spread::of_ratios(&network_mb_s, &ways[1].mb_s);
    table.compared("MB/s, data network", Spread::of(&network_mb_s), (ratio, "tunnel"));
    connections(port, &mut table);
    table
}

fn tell(table: &mut Table, ways: &[Way], link: &[f64]) {
    let direct = &ways[0];
    for way in ways {
        table.plain(format!("us, p50 of a round trip, {}", way.what), Spread::of(&way.trips));
    }
    for way in &ways[1..] {
        let added: Vec<f64> = way.trips.iter().zip(&direct.trips).map(|(with, without)| with - without).collect();
        let spread = Spread::of(&added);
        let what = format!("us added to a round trip, {}", way.name);
        match way.name {
            "tunnel" => table.judged(what, spread, Goal::at_most(spread.median, ADDED_MUST, ADDED_AIM)),
            _ => table.plain(what, spread),
        }
    }
    table.plain("MB/s, the link, `meshproof bench --between near far`", Spread::of(link));
    for way in ways {
        let spread = Spread::of(&way.mb_s);
        let what = format!("MB/s, {}", way.name);
        if way.name == "tunnel" {
            let ratio = Spread::of_ratios(&way.mb_s, link);
            table.compared(what, spread, (ratio, "the link"));
            table.goal(Goal::at_least(ratio.median, BULK_MUST, BULK_AIM));
        } else {
            table.plain(what, spread);
        }
    }
}

/// Ten thousand connections through a tunnel, and whether thirty thousand leave more behind.
fn connections(port: u16, table: &mut Table) {
    let steps = |times: usize| {
        let one = |nth| {
            look(
                &format!("seconds{nth}: $.seconds"),
                &format!("opens, \"${{{{ services.far.tcp }}}}\", \"{CONNECTIONS}\""),
            )
        };
        (0..times).map(one).collect::<String>()
    };
    let (once, thrice) = (runs::run(&[], &plan("", port, &steps(1))), runs::run(&[], &plan("", port, &steps(3))));
    let all =
        [once.number("seconds0"), thrice.number("seconds0"), thrice.number("seconds1"), thrice.number("seconds2")];
    let spread = Spread::of(&all);
    table.judged(
        format!("s for {CONNECTIONS} connections through a tunnel, each with a byte there and back"),
        spread,
        Goal::at_most(spread.median, OPENED_WITHIN, OPENED_WITHIN),
    );
    let mib = |ran: &Ran| ran.used("near").memory_most_bytes as f64 / (1024.0 * 1024.0);
    table.plain(format!("MiB of the agent, at most, {CONNECTIONS} connections"), Spread::of(&[mib(&once)]));
    let more = mib(&thrice) - mib(&once);
    table.judged("MiB more for three times as many", Spread::of(&[more]), Goal::at_most(more, FLAT_MIB, FLAT_MIB));
}

fn both(name: &str, address: &str) -> String {
    look(&format!("{name}-trips: $.p50"), &format!("trips, {address}, \"{TRIPS}\""))
        + &look(&format!("{name}-mb: $.mb_s"), &format!("bulk, {address}, \"{SECONDS}\""))
}

/// What the link carries by itself, told by its agents.
fn bench_of_the_link() -> String {
    format!(
        "      - at: near\n        exec: {{ argv: [{}, bench, --between, near, far, --seconds, \"{SECONDS}\", --json], \
         env: {{ XDG_RUNTIME_DIR: \"{}\" }} }}\n        within: 2m\n        save: {{ link: \"$.goodput[0].bytes_per_s\" }}\n",
        env!("CARGO_BIN_EXE_meshproof"),
        runs::RUNTIME_DIR,
    )
}

/// A step in which the program beside `near` looks at something.
pub fn look(save: &str, words: &str) -> String {
    format!(
        "      - {{ at: near, exec: {{ argv: [{}, {LOOK}, {words}] }}, within: 5m, save: {{ {save} }} }}\n",
        runs::this_program()
    )
}

/// A service that answers at this port, and one beside which the client stands.
pub fn plan(before: &str, port: u16, steps: &str) -> String {
    format!(
        "meshproof: 1\nplan: bench\n{before}services:\n  far:\n    exec: {{ argv: [{}, {FAR}, \"{port}\"] }}\n    \
         ports: {{ tcp: {port}, udp: {{ udp: dynamic }} }}\n    env: {{ UDP: \"${{{{ self.udp.port }}}}\" }}\n    ready: {{ tcp: {{}} }}\n  \
         near: {{ exec: {{ argv: [tail, -f, /dev/null] }} }}\ntests:\n  - id: t\n    timeout: 20m\n    steps:\n{steps}",
        runs::this_program(),
    )
}
