//! What every fault on traffic is asked for, beside what a client sees of it that knows nothing of the mesh.

use std::net::TcpListener;

use crate::carried::{look, plan};
use crate::measure::Spread;
use crate::runs;
use crate::table::{Goal, Table};

/// Datagrams of a share that is measured.
const DATAGRAMS: u32 = 10_000;

/// What a latency may be off by, in ms, and as a share of it.
const LATENCY_MS: f64 = 1.0;
const LATENCY_SHARE: f64 = 0.05;

/// What a share may be off by, in points.
const POINTS: f64 = 0.5;

/// A fault, how it is looked at, and what is to be seen.
struct Case {
    /// As in the table: `ms of latency, connections`.
    what: String,
    /// What stands in the fault beside its target.
    effect: String,
    target: &'static str,
    /// The words of the look, and where in its answer the figure stands.
    look: (String, &'static str),
    /// From the figure, without the fault and with it.
    seen: fn(f64, f64) -> f64,
    asked: f64,
    within: f64,
}

const BOTH_WAYS: &str = "near <-> far";
const THERE: &str = "near -> far";

pub fn run() -> Table {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let mut table = Table::default();
    for (network, cases) in [("", tunnelled()), ("network: { egress: none }\n", on_the_network())] {
        let steps: String = (0..).zip(&cases).map(|(nth, case): (usize, _)| case.steps(nth)).collect();
        let ran = runs::run(&[], &plan(network, port, &steps));
        for (nth, case) in cases.iter().enumerate() {
            let (without, with) = (ran.number(&format!("without{nth}")), ran.number(&format!("with{nth}")));
            let seen = (case.seen)(without, with);
            table.judged(
                format!("{}, asked {}", case.what, case.asked),
                Spread::of(&[seen]),
                Goal::near(seen, case.asked, case.within),
            );
        }
    }
    table
}

impl Case {
    /// The look, the fault, the look again, and the healing.
    fn steps(&self, nth: usize) -> String {
        let (words, path) = &self.look;
        let (target, effect) = (self.target, &self.effect);
        look(&format!("without{nth}: {path}"), words)
            + &format!("      - {{ fault: {{ traffic: {target}, {effect} }}, id: f{nth} }}\n")
            + &look(&format!("with{nth}: {path}"), words)
            + &format!("      - heal: [f{nth}]\n")
    }
}

fn case(what: &str, (target, effect): (&'static str, &str), look: (String, &'static str), asked: f64) -> Case {
    let (what, effect) = (what.to_owned(), effect.to_owned());
    Case { what, effect, target, look, seen: |_, with| with, asked, within: POINTS }
}

/// Of a round trip that is later both ways.
fn latency(where_: &str, ms: f64, look: (String, &'static str)) -> Case {
    let plain = case(&format!("ms of latency, {where_}"), (BOTH_WAYS, &format!("latency: {ms}ms")), look, ms);
    Case { seen: |without, with| (with - without) / 2e3, within: LATENCY_MS.max(ms * LATENCY_SHARE), ..plain }
}

fn tcp(what: &str, rest: &str) -> String {
    format!("{what}, \"${{{{ services.far.tcp }}}}\"{rest}")
}

fn udp() -> String {
    format!("datagrams, \"${{{{ services.far.udp }}}}\", \"{DATAGRAMS}\"")
}

fn tunnelled() -> Vec<Case> {
    let trips = |count: u32| (tcp("trips", &format!(", \"{count}\"")), "$.p50");
    let within = |case: Case, within: f64| Case { within, ..case };
    let ms = |_: f64, with: f64| with / 1e3;
    vec![
        latency("connections", 5.0, trips(100)),
        latency("connections", 50.0, trips(40)),
        latency("connections", 400.0, trips(10)),
        within(
            Case {
                seen: |_, with| with / 1e3,
                ..case(
                    "kbit/s of bandwidth / 1000, connections",
                    (THERE, "bandwidth: 20mbit"),
                    (tcp("bulk", ", \"3\""), "$.kbit_s"),
                    20.0,
                )
            },
            1.0,
        ),
        within(case("B of slices, connections", (THERE, "slice: 512B"), (tcp("pieces", ""), "$.p50"), 512.0), 0.0),
        within(
            Case {
                seen: |without, with| (with - without) / 2e3,
                ..case("ms of slow close", (BOTH_WAYS, "slow-close: 100ms"), (tcp("ends", ""), "$.p50"), 100.0)
            },
            5.0,
        ),
        within(
            Case { seen: ms, ..case("ms until a reset", (THERE, "reset: 300ms"), (tcp("lives", ""), "$.p50"), 300.0) },
            15.0,
        ),
        case("% of connections reset", (THERE, "reset: 300ms"), (tcp("lives", ""), "$.reset"), 100.0),
        case("% of connections refused", (THERE, "refuse: true"), (tcp("refused", ""), "$.refused"), 100.0),
        case(
            "% of connections silent, a black hole",
            (BOTH_WAYS, "loss: 100%"),
            (tcp("silent", ""), "$.silent"),
            100.0,
        ),
        within(
            case(
                "% of requests answered by the fault",
                (THERE, "status: 503, percent: 30%"),
                (tcp("answers", ", \"2000\""), "$.faulty"),
                30.0,
            ),
            3.0,
        ),
        within(
            case(
                "requests answered by the fault, the first",
                (THERE, "status: 503, first: 5"),
                (tcp("answers", ", \"200\""), "$.count"),
                5.0,
            ),
            0.0,
        ),
        latency("datagrams", 50.0, (udp(), "$.p50")),
        case("% of datagrams lost", (THERE, "loss: 10%"), (udp(), "$.lost"), 10.0),
        case("% of datagrams twice", (THERE, "duplicate: 5%"), (udp(), "$.twice"), 5.0),
        case("% of datagrams with a bit turned", (THERE, "corrupt: 5%"), (udp(), "$.wrong"), 5.0),
        within(case("% of datagrams overtaken", (THERE, "reorder: 20%"), (udp(), "$.late"), 20.0), 1.5),
    ]
}

fn on_the_network() -> Vec<Case> {
    let datagrams = |path| (udp(), path);
    vec![
        latency("data network", 5.0, (tcp("trips", ", \"100\""), "$.p50")),
        latency("data network", 50.0, (tcp("trips", ", \"40\""), "$.p50")),
        case("% of packets lost, data network", (THERE, "loss: 10%"), datagrams("$.lost"), 10.0),
        case("% of packets twice, data network", (THERE, "duplicate: 5%"), datagrams("$.twice"), 5.0),
    ]
}
