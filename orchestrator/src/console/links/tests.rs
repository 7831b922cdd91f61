use meshproof_proto::id::Generation;
use meshproof_proto::labels::Labels;
use meshproof_proto::links::LinkPath;
use meshproof_proto::rpc::About;
use meshproof_proto::version::PROTOCOL;

use super::super::look::{Answered, Silent};
use super::*;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub(crate) fn link(peer: u8, who: &str, state: &str) -> LinkReport {
    LinkReport {
        peer: PeerId([peer; 32]),
        name: name(who),
        role: if who == "orchestrator" { Role::Orchestrator } else { Role::Agent },
        state: state.to_owned(),
        generation: Some(Generation(1)),
        path: Some(LinkPath::Direct),
        stripes: 1,
        rtt_us: Some(180),
        bytes_sent: 100,
        bytes_received: 20,
        sent_per_s: 1_000,
        received_per_s: 200,
        streams: 1,
        queued_bytes: 4_000,
        changed_ago_ms: 12_000,
        changed_why: "connection 1 opened, or came back".to_owned(),
    }
}

fn answered(who: &str, links: Vec<LinkReport>) -> Answered {
    let about = About {
        name: name(who),
        up_ms: 5_000,
        version: "0.1.0".to_owned(),
        protocol: PROTOCOL,
        run: None,
        labels: Labels::default(),
    };
    Answered { about, links }
}

/// Ledger (1) and shop (2), each linked to the other and to the orchestrator (3); audit says nothing.
pub(crate) fn look(ledger: Vec<LinkReport>, shop: Vec<LinkReport>) -> Look {
    Look {
        run: None,
        mesh: name("local"),
        me: PeerId([9; 32]),
        roster: Vec::new(),
        answers: BTreeMap::from([
            (PeerId([1; 32]), answered("ledger", ledger)),
            (PeerId([2; 32]), answered("shop", shop)),
        ]),
        silent: vec![Silent { name: name("audit"), why: "no answer within 2s".to_owned() }],
    }
}

#[test]
fn a_link_is_one_row_and_the_end_in_more_trouble_is_heard() {
    let mut suspect = link(1, "ledger", "suspect");
    suspect.changed_why = "silent for 2s".to_owned();
    let rows = rows(&look(vec![link(2, "shop", "up"), link(3, "orchestrator", "up")], vec![suspect]));
    let [between, control] = &rows[..] else { panic!("two links: {rows:#?}") };
    assert_eq!((between.left.name.as_str(), between.right.name.as_str()), ("ledger", "shop"));
    assert_eq!((between.state.as_str(), between.changed_why.as_str()), ("suspect", "silent for 2s"));
    // the shop told it, which is on the right: what it sent went back
    assert_eq!((between.there_per_s, between.back_per_s, between.queued_bytes), (200, 1_000, 8_000));
    assert_eq!(between.told_by, [name("ledger"), name("shop")]);
    assert_eq!((control.left.name.as_str(), control.right.name.as_str()), ("ledger", "orchestrator"));
    assert_eq!((control.there_per_s, control.bytes_there), (1_000, 100));
}

#[test]
fn the_table_says_how_a_link_travels() {
    for (path, word) in [(LinkPath::Direct, " direct "), (LinkPath::Turn, " turn "), (LinkPath::Relayed, " relayed ")] {
        let between = LinkReport { path: Some(path), ..link(2, "shop", "up") };
        let table = text(&look(vec![between], Vec::new()));
        assert!(table.lines().any(|line| line.starts_with("ledger - shop") && line.contains(word)), "{table}");
    }
}

#[test]
fn links_of_this_console_and_of_peers_that_left_are_not_shown() {
    let gone = link(7, "console-1", "idle");
    let ours = link(9, "console-2", "up");
    assert_eq!(rows(&look(vec![gone, ours], Vec::new())), []);
}

#[test]
fn people_who_are_gone_are_not_shown_and_agents_that_are_gone_are() {
    let watcher = LinkReport { role: Role::OperatorConsole, ..link(7, "console-1", "lost") };
    let rows = rows(&look(vec![watcher, link(8, "stock", "lost")], Vec::new()));
    let shown: Vec<_> = rows.iter().map(|row| (row.right.name.as_str(), row.state.as_str())).collect();
    assert_eq!(shown, [("stock", "lost")]);
}

#[test]
fn two_instances_of_one_name_are_told_apart() {
    let table =
        text(&look(vec![link(4, "shop", "lost"), link(5, "shop", "up"), link(3, "orchestrator", "up")], Vec::new()));
    let links: Vec<_> =
        table.lines().filter_map(|line| line.split("  ").next()).filter(|link| link.contains(" - ")).collect();
    assert_eq!(links, ["ledger - shop@aqcaibae", "ledger - shop@aucqkbif", "ledger - orchestrator"], "{table}");
}

#[test]
fn the_table_is_readable_at_a_hundred_columns() {
    let mut evil = link(2, "shop", "lost");
    evil.changed_why =
        "gone \u{202e}\x1b[2J with a long story that goes on past the end of the line, and on".to_owned();
    let drawn = text(&look(vec![evil, link(3, "orchestrator", "up")], Vec::new()));
    let expected = "\
LINK                   STATE   GEN  PATH    RTT      THERE/S  BACK/S  QUEUED   LAST CHANGE
ledger - shop          lost    1    direct  0.18 ms  1.00 kB  200 B   4.00 kB  12 s ago: gone
                                                                               \\u{202e}\\u{1b}[2J
                                                                               with a long story
                                                                               that goes on past the
                                                                               end of the line, and
                                                                               on
ledger - orchestrator  up      1    direct  0.18 ms  1.00 kB  200 B   4.00 kB  12 s ago: connection
                                                                               1 opened, or came
                                                                               back
audit                  silent  -    -       -        -        -       -        does not answer: no
                                                                               answer within 2s
";
    assert_eq!(drawn, expected, "\n{drawn}");
    assert!(drawn.lines().all(|line| line.chars().count() <= 100), "{drawn}");
}
