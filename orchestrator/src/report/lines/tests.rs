use meshproof_proto::event::{CheckFailure, Evidence, Outcome};
use meshproof_proto::matcher::Mismatch;
use meshproof_proto::verdict::Verdict;

use super::*;
use crate::record::FailureRecord;
use crate::run::tests::world::World;

const FAILS: &str = include_str!("../../../../testdata/checkout-fails/plan.yaml");
const CHECKOUT: &str = include_str!("../../../../testdata/checkout/plan.yaml");

/// What a person reads of a run.
fn shown(world: &World, style: Style) -> String {
    let lines = Lines::new(world.source(), PathBuf::from("out"), style);
    let entries = world.records.iter().map(|what| Entry::own(0, what.clone()));
    entries.filter_map(|entry| lines.of(&entry)).collect()
}

fn failing() -> World {
    let mut world = World::new(FAILS);
    let mismatch = Mismatch { at: String::new(), expected: "201".to_owned(), actual: "202".to_owned() };
    let failed = Outcome::Failed(vec![CheckFailure { check: 0, mismatch }]);
    world.outcomes.insert("order-is-created/0".to_owned(), failed);
    let evidence = |title: &str, text: &str| Evidence { title: title.to_owned(), text: text.to_owned() };
    world.evidence = vec![
        evidence("request", "POST /orders HTTP/1.1\r\ncontent-type: application/json\r\n\r\n{\"sku\":\"A1\"}"),
        evidence("response", "HTTP/1.1 202 Accepted\r\nx-trick: \x1b[2J\r\n\r\n{\"state\":\"pending\"}"),
    ];
    world.play()
}

#[test]
fn a_run_that_fails_reads_as_in_the_golden_file() {
    let text = shown(&failing(), Style::Plain);
    assert_eq!(text, include_str!("../../../tests/golden/checkout-fails.txt"), "now:\n{text}");
}

#[test]
fn a_run_that_passes_reads_as_in_the_golden_file() {
    let text = shown(&World::new(CHECKOUT).play(), Style::Plain);
    assert_eq!(text, include_str!("../../../tests/golden/checkout.txt"), "now:\n{text}");
}

#[test]
fn colours_change_nothing_but_colours_outside_of_pictures() {
    let strip =
        |text: &str| regex::Regex::new("\x1b\\[[0-9;]*m").expect("a pattern").replace_all(text, "").into_owned();
    let world = World::new(CHECKOUT).play();
    let coloured = shown(&world, Style::Coloured);
    assert!(coloured.contains("\x1b[32;1m     PASS\x1b[0m"), "{coloured}");
    assert_eq!(strip(&coloured), shown(&world, Style::Plain));
}

#[test]
fn an_agents_text_cannot_drive_the_terminal() {
    let world = failing();
    for style in [Style::Plain, Style::Coloured] {
        let text = shown(&world, style);
        assert!(!text.contains("\x1b[2J") && text.contains("x-trick: \\u{1b}[2J"), "{text}");
    }
}

#[test]
fn what_is_shown_in_quiet_is_failures_and_the_summary() {
    let world = failing();
    let lines = Lines::new(world.source(), PathBuf::from("out"), Style::Plain);
    let entries = world.records.iter().map(|what| Entry::own(0, what.clone()));
    let shown: Vec<String> = entries.filter_map(|entry| lines.of_failure(&entry)).collect();
    assert_eq!(shown.len(), 2);
    assert!(shown[0].contains("order-is-created / order") && shown[1].contains("Summary"), "{shown:?}");
}

#[test]
fn every_other_happening_has_its_line() {
    let name = || "shop".parse().expect("a name");
    let failure = Happening::Failure(Box::new(FailureRecord {
        verdict: Verdict::Error,
        test: None,
        step: None,
        place: None,
        title: "agent `shop` could not keep 3 of its events".to_owned(),
        expected: None,
        actual: Some("a\nb".to_owned()),
        evidence: Vec::new(),
    }));
    let command = || "cargo build".to_owned();
    let table = [
        (
            Happening::AgentJoined { name: name(), path: "direct".to_owned(), rtt_us: 240 },
            "   joined shop (direct, rtt 0.2 ms)\n",
        ),
        (Happening::AgentLost { name: name(), reason: "killed".to_owned() }, "     lost shop: killed\n"),
        (Happening::BuildBegan { command: command() }, "    build cargo build\n"),
        (
            Happening::BuildEnded {
                command: command(),
                duration_ms: 1500.0,
                problem: Some("exit code 101".to_owned()),
            },
            "    build [  1.500s] cargo build: exit code 101\n",
        ),
        (
            Happening::ServiceEnded { service: name(), how: "exit code 101".to_owned() },
            "    ended shop: exit code 101\n",
        ),
        (Happening::TestNotRun { test: "t".to_owned(), why: "agent lost".to_owned() }, "  NOT RUN t: agent lost\n"),
        (Happening::Noted { text: "interrupted".to_owned() }, "     note interrupted\n"),
        (Happening::Fact(Fact::LinkAcknowledged { from: name() }), "   linked shop to ledger\n"),
        (Happening::Fact(Fact::Gap { lost: 2 }), "      gap ledger could not keep 2 events\n"),
        (failure, "\n  x agent `shop` could not keep 3 of its events\n    actual  a\n            b\n\n"),
    ];
    let world = World::new(FAILS);
    let lines = Lines::new(world.source(), PathBuf::from("out"), Style::Plain);
    for (what, shown) in table {
        let entry = Entry { from: "ledger".to_owned(), ..Entry::own(0, what) };
        assert_eq!(lines.of(&entry).as_deref(), Some(shown));
    }
}
