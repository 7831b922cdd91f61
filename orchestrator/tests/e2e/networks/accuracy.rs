//! How exactly the data network does what it is asked for, as `ping` sees it from inside of a service's namespace.
//!
//! `cargo test --test e2e -- --ignored --nocapture what_ping_measures` prints the table of docs/benchmarks.md.

use std::fmt::Write as _;
use std::path::Path;

use super::are_possible;
use crate::scene::Scene;

/// What is asked for both ways, or one way where a share is counted; and what of it ping tells.
const ASKED: [(&str, &str, Told); 9] = [
    ("latency", "5ms", Told::Latency(5.0)),
    ("latency", "20ms", Told::Latency(20.0)),
    ("latency", "100ms", Told::Latency(100.0)),
    ("latency", "300ms", Told::Latency(300.0)),
    ("loss", "1%", Told::Loss(1.0)),
    ("loss", "5%", Told::Loss(5.0)),
    ("loss", "10%", Told::Loss(10.0)),
    ("loss", "50%", Told::Loss(50.0)),
    ("duplicate", "5%", Told::Duplicates(5.0)),
];

/// Of a share so many, of a latency a hundredth of it.
const PACKETS: u32 = 10_000;

#[derive(Clone, Copy, Debug)]
enum Told {
    /// One way, in milliseconds.
    Latency(f64),
    /// In per cent.
    Loss(f64),
    Duplicates(f64),
}

/// What ping said at its end.
#[derive(Debug)]
struct Ping {
    sent: f64,
    received: f64,
    duplicates: f64,
    /// The mean round trip in milliseconds.
    mean: f64,
}

impl Ping {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let line = text.lines().find(|line| line.contains("packets transmitted")).expect("ping sums up");
        let count = |word: &str| {
            let part = line.split(", ").find(|part| part.contains(word))?;
            part.trim_start_matches('+').split(' ').next()?.parse().ok()
        };
        let times = text.lines().find_map(|line| line.strip_prefix("rtt min/avg/max/mdev = ")).expect("answers came");
        let mean = times.split('/').nth(1).and_then(|mean| mean.parse().ok()).expect("a number");
        let (sent, received) = (count("transmitted").expect("a number"), count("received").expect("a number"));
        Self { sent, received, duplicates: count("duplicates").unwrap_or_default(), mean }
    }
}

fn plan(folder: &Path) -> String {
    let mut text = "meshproof: 1\nplan: accuracy\nnetwork: { egress: none }\nservices:\n  left: &idle { exec: { argv: [tail, -f, /dev/null] } }\n  right: *idle\ntests:\n"
        .to_owned();
    let mut test = |name: &str, fault: Option<String>, packets: u32| {
        let fault = fault.map(|fault| format!("      - fault: {{ {fault} }}\n")).unwrap_or_default();
        let out = folder.join(name);
        writeln!(
            text,
            "  - id: {name}\n    timeout: 5m\n    steps:\n{fault}      - at: left\n        within: 4m\n        exec: {{ shell: \"ping -q -c {packets} -i 0.002 ${{{{ services.right.host }}}} > {}\" }}",
            out.display()
        )
        .expect("a string takes it");
    };
    test("p-base", None, PACKETS / 10);
    for (number, (effect, value, told)) in ASKED.iter().enumerate() {
        let (arrow, packets) = match told {
            Told::Latency(_) => ("<->", PACKETS / 10),
            Told::Loss(_) | Told::Duplicates(_) => ("->", PACKETS),
        };
        test(&format!("p-{number}"), Some(format!("traffic: left {arrow} right, {effect}: {value}")), packets);
    }
    text
}

#[test]
#[ignore = "prints a table; takes two minutes"]
fn what_ping_measures_is_what_was_asked_for() {
    if !are_possible() {
        return;
    }
    let scene = Scene::new();
    let path = scene.path().join("plan.yaml");
    std::fs::write(&path, plan(scene.path())).expect("a new file");
    scene.run_plain(&path).end().assert_code(0);
    let base = Ping::read(&scene.path().join("p-base"));
    println!("undisturbed round trip {:.2} ms, {} of {} answered", base.mean, base.received, base.sent);
    println!("| asked | measured by ping | off |\n| --- | --- | --- |");
    let mut wrong = Vec::new();
    for (number, (effect, value, told)) in ASKED.iter().enumerate() {
        let ping = Ping::read(&scene.path().join(format!("p-{number}")));
        let (measured, unit, off, allowed) = match told {
            Told::Latency(asked) => {
                let one_way = (ping.mean - base.mean) / 2.0;
                (one_way, "ms", one_way - asked, (asked * 0.05).max(1.0))
            }
            Told::Loss(asked) => {
                let lost = 100.0 * (ping.sent - ping.received) / ping.sent;
                // a quarter of a point is four standard deviations at 1 %, half a point is one at 50 %
                let allowed = 4.0 * (asked * (100.0 - asked) / ping.sent).sqrt();
                (lost, "%", lost - asked, allowed.max(0.5))
            }
            Told::Duplicates(asked) => {
                let doubled = 100.0 * ping.duplicates / ping.received;
                (doubled, "%", doubled - asked, 1.0)
            }
        };
        println!("| {effect} {value} | {measured:.2} {unit} | {off:+.2} {unit} |");
        if off.abs() > allowed {
            wrong.push(format!("{effect} {value}: {measured:.2}, {allowed:.2} allowed"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
