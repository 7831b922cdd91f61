//! Many members on one machine, each a process with an agent of its own: all are linked to the orchestrator, and each to six others.

use std::path::Path;

use serde_json::Value;

use crate::measure::Spread;
use crate::member::Kind;
use crate::ours::{self, Crowd, Links};
use crate::table::{Goal, Table};

/// Members, and in how many seconds they have to be linked to the orchestrator, and should be.
const CROWDS: [(usize, Option<(f64, f64)>); 3] = [(100, None), (300, Some((20.0, 5.0))), (1_000, None)];

/// What the journal of a run says of its agents.
#[derive(Debug, Default)]
struct Seen {
    formed_ms: f64,
    /// Links of agents among themselves, and when the last one was there.
    links: usize,
    linked_ms: f64,
    agents: usize,
    memory_bytes: u64,
    cpu_ms: u64,
    descriptors: u64,
}

impl Seen {
    fn of(out: &Path) -> Self {
        let text = std::fs::read_to_string(out.join("events.jsonl")).expect("a run has a journal");
        let (mut seen, mut began) = (Self::default(), None);
        for record in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let at = record["at_ms"].as_f64().unwrap_or_default();
            let began = *began.get_or_insert(at);
            let (what, fact) = (&record["what"], &record["what"]["fact"]);
            if let Some(formed) = what["mesh-formed"]["duration_ms"].as_f64() {
                seen.formed_ms = formed;
            } else if fact.get("link-acknowledged").is_some() {
                seen.links += 1;
                seen.linked_ms = at - began;
            } else if let Some(used) = fact.get("agent-used") {
                let number = |key: &str| used[key].as_u64().unwrap_or_default();
                seen.agents += 1;
                seen.memory_bytes += number("memory_most_bytes");
                seen.cpu_ms += number("cpu_ms");
                seen.descriptors += number("descriptors_most");
            }
        }
        seen
    }
}

pub fn scale() -> Table {
    let mut table = Table::default();
    for (members, goal) in CROWDS {
        let ran = ours::ran(Kind::Barrier, Crowd { programs: members, at_each: 1, per_agent: 1 }, Links::Regular);
        let seen = Seen::of(&ran.out());
        // a member that is missing at a barrier, or told of none, ends the bench here
        let barriers = ran.told().barriers(members);
        assert_eq!(seen.agents, members, "each agent says at its end what it used");
        let once = |figure: f64| Spread::of(&[figure]);
        let seconds = seen.formed_ms / 1e3;
        let what = format!("s, {members} agents joined and linked to the orchestrator");
        match goal {
            Some((must, aim)) => table.judged(what, once(seconds), Goal::at_most(seconds, must, aim)),
            None => table.plain(what, once(seconds)),
        }
        let of_these = format!("of {members} agents");
        let each = |total: u64| total as f64 / members as f64;
        table.plain(format!("joins/s {of_these}"), once(members as f64 / seconds));
        table.plain(
            format!("links {of_these} among themselves (handshakes beside the {members})"),
            once(seen.links as f64),
        );
        table.plain(format!("s, until the last of these links, {of_these}"), once(seen.linked_ms / 1e3));
        table.plain(format!("ms, barrier {of_these}: from the last to come to the last to go, p50"), barriers.last);
        table.plain(format!("MiB at most, each {of_these}"), once(each(seen.memory_bytes) / f64::from(1 << 20)));
        table.plain(format!("GiB at most, all {of_these}"), once(seen.memory_bytes as f64 / f64::from(1 << 30)));
        table.plain(format!("ms of processor time, each {of_these}"), once(each(seen.cpu_ms)));
        table.plain(format!("descriptors at most (sockets among them), each {of_these}"), once(each(seen.descriptors)));
    }
    table
}
