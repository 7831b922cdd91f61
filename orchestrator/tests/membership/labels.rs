//! Labels of agents, by which people choose them.

use std::io::Write as _;
use std::process::{ChildStdin, Stdio};

use serde_json::Value;

use crate::process::Process;
use crate::town::Town;

fn labelled(town: &Town, name: &str, labels: &str) -> Process {
    let token = town.invite(name, "agent");
    let mut command = town.command(&["agent", "--token-file", &token]);
    command.env("MESHPROOF_LABELS", labels);
    let mut agent = Process::start(command);
    agent.says("joined");
    agent
}

#[test]
fn agents_are_chosen_by_the_labels_that_whoever_started_them_gave() {
    let town = Town::new();
    let _shop = labelled(&town, "shop", "zone=eu-1");
    let ledger = labelled(&town, "ledger", "zone=eu-2,tier=db");
    let _audit = labelled(&town, "audit", "");
    let file = town.console("anna");

    let told: Value = serde_json::from_str(&town.done(&["who", "--mesh", &file, "--json"])).expect("a document");
    let labels = |name: &str| {
        let mut peers = told["peers"].as_array().expect("a list").iter();
        peers.find(|peer| peer["name"] == name).map(|peer| peer["labels"].clone()).expect("it is there")
    };
    assert_eq!(labels("ledger"), serde_json::json!({ "tier": "db", "zone": "eu-2" }));
    assert_eq!(labels("audit"), serde_json::json!({}));
    let table = town.done(&["who", "--mesh", &file]);
    assert!(table.lines().next().is_some_and(|heading| heading.ends_with("LABELS")), "{table}");
    assert!(table.contains("tier=db,zone=eu-2"), "{table}");

    let chat = |line: &str| town.done(&["chat", "--mesh", &file, "-c", line]);
    let answered = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.split_once(": pong"));
        lines.map(|(name, _)| name.to_owned()).collect()
    };
    assert_eq!(answered(&chat("@zone=eu-1 ping")), ["shop"]);
    assert_eq!(answered(&chat("@zone=eu-* ping")), ["ledger", "shop"]);
    assert_eq!(answered(&chat("@zone=eu-*,tier=db ping")), ["ledger"]);

    let refused = |line: &str| town.refused(&["chat", "--mesh", &file, "-c", line]);
    let (code, said) = refused("@zone=us ping");
    let held = "tier=db (ledger), zone=eu-1 (shop), zone=eu-2 (ledger)";
    assert!(code == 2 && said.contains("no agent is labelled `zone=us` here") && said.contains(held), "{said}");
    let (code, said) = refused("@zone= ping");
    assert!(code == 2 && said.contains("`zone=` is no label: KEY=VALUE was expected"), "{said}");

    // whoever does not answer may be one of them
    let (mut chat, mut line) = talking(&town, &file);
    writeln!(line, "@tier=db ping").expect("it listens");
    chat.says("ledger: pong");
    ledger.freeze();
    writeln!(line, "@tier=db ping").expect("it listens");
    chat.says("ledger: no answer within");
    chat.says("no agent that answers is labelled `tier=db`");
    drop(line);
    assert_eq!(chat.exit(), Some(5));
}

fn talking(town: &Town, file: &str) -> (Process, ChildStdin) {
    let mut command = town.command(&["chat", "--mesh", file]);
    command.stdin(Stdio::piped());
    let mut chat = Process::listening(command);
    let line = chat.stdin();
    (chat, line)
}

#[test]
fn what_is_no_label_is_refused_with_what_was_expected() {
    let town = Town::new();
    let token = town.invite("shop", "agent");
    for (labels, why) in [("zone", "KEY=VALUE was expected"), ("zone=a b", "`a b` cannot stand in a label")] {
        let (code, said) = town.refused(&["agent", "--token-file", &token, "--labels", labels]);
        assert!(code == 2 && said.contains(why), "{labels}: exit {code}: {said}");
    }
}
