//! The links of a mesh: each once, whatever its two ends say of it.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::Role;
use meshproof_proto::links::LinkReport;
use serde::Serialize;
use serde_json::{Value, json};

use super::look::Look;
use crate::report::table::{bytes, milliseconds, short, span, table};

/// Characters of a name in the table; `--json` has all of it.
const NAME_CHARS: usize = 15;

/// One link. *Left* and *right* are its ends in order of role and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    pub left: End,
    pub right: End,
    pub state: String,
    pub generation: Option<u64>,
    pub path: Option<&'static str>,
    /// Connections that carry bulk data.
    pub stripes: u64,
    pub rtt_us: Option<u64>,
    /// Payload from left to right, and back.
    pub bytes_there: u64,
    pub bytes_back: u64,
    pub there_per_s: u64,
    pub back_per_s: u64,
    pub streams: u64,
    /// At both ends, as far as they answer.
    pub queued_bytes: u64,
    pub changed_ago_ms: u64,
    pub changed_why: String,
    /// Which ends told of it.
    pub told_by: Vec<Name>,
}

/// A peer at an end of a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct End {
    pub role: Role,
    pub name: Name,
    pub instance: PeerId,
}

/// Of two ends that disagree the one that sees more trouble is shown.
fn trouble(state: &str) -> u8 {
    match state {
        "up" => 0,
        "idle" => 1,
        "connecting" => 2,
        "suspect" => 3,
        // lost, and whatever a newer agent may call it
        _ => 4,
    }
}

/// The links between the peers of the mesh, without this console's own, and without those of peers that left and of people who are gone.
#[must_use]
pub fn rows(look: &Look) -> Vec<Row> {
    let mut told: BTreeMap<(End, End), Vec<(End, &LinkReport)>> = BTreeMap::new();
    for (instance, answered) in &look.answers {
        let teller = End { role: Role::Agent, name: answered.about.name.clone(), instance: *instance };
        for link in answered.links.iter().filter(|link| link.peer != look.me && !is_over(look, link)) {
            let other = End { role: link.role, name: link.name.clone(), instance: link.peer };
            let ends = if teller < other { (teller.clone(), other) } else { (other, teller.clone()) };
            told.entry(ends).or_default().push((teller.clone(), link));
        }
    }
    told.into_iter().filter_map(|(ends, reports)| row(ends, &reports)).collect()
}

/// Its peer has left and said so, or was somebody who looked on, and whom nobody misses.
fn is_over(look: &Look, link: &LinkReport) -> bool {
    let gone = !look.roster.iter().any(|peer| peer.peer == link.peer);
    gone && (link.state == "idle" || matches!(link.role, Role::OperatorConsole | Role::Observer))
}

/// How ends are called in the table: by their names, and where several instances have one name by their instances too.
fn names(rows: &[Row]) -> impl Fn(&End) -> String + use<> {
    let mut instances: BTreeMap<&Name, BTreeSet<PeerId>> = BTreeMap::new();
    for end in rows.iter().flat_map(|row| [&row.left, &row.right]) {
        instances.entry(&end.name).or_default().insert(end.instance);
    }
    let several = instances.into_iter().filter(|(_, instances)| instances.len() > 1);
    let several: BTreeSet<Name> = several.map(|(name, _)| name.clone()).collect();
    move |end| {
        let name = short(end.name.as_str(), NAME_CHARS);
        if several.contains(&end.name) { format!("{name}@{}", end.instance.short()) } else { name }
    }
}

fn row((left, right): (End, End), reports: &[(End, &LinkReport)]) -> Option<Row> {
    // the first of those in the most trouble
    let (teller, shown) = reports.iter().rev().max_by_key(|(_, link)| trouble(&link.state))?;
    let (sent, received) = ((shown.bytes_sent, shown.sent_per_s), (shown.bytes_received, shown.received_per_s));
    let (there, back) = if *teller == left { (sent, received) } else { (received, sent) };
    Some(Row {
        state: shown.state.clone(),
        generation: shown.generation.map(|generation| generation.0),
        path: shown.path.map(|path| path.word()),
        stripes: shown.stripes,
        rtt_us: shown.rtt_us,
        bytes_there: there.0,
        bytes_back: back.0,
        there_per_s: there.1,
        back_per_s: back.1,
        streams: shown.streams,
        queued_bytes: reports.iter().map(|(_, link)| link.queued_bytes).fold(0, u64::saturating_add),
        changed_ago_ms: shown.changed_ago_ms,
        changed_why: shown.changed_why.clone(),
        told_by: reports.iter().map(|(teller, _)| teller.name.clone()).collect(),
        left,
        right,
    })
}

/// `direct`, or `direct x8` for eight connections that carry bulk data.
pub(super) fn path_text(path: &str, stripes: u64) -> String {
    if stripes > 1 { format!("{path} x{stripes}") } else { path.to_owned() }
}

/// The table.
#[must_use]
pub fn text(look: &Look) -> String {
    let heading = ["LINK", "STATE", "GEN", "PATH", "RTT", "THERE/S", "BACK/S", "QUEUED", "LAST CHANGE"];
    let dash = || "-".to_owned();
    let silent = look.silent.iter().map(|silent| {
        let [generation, path, rtt, there, back, queued] = [(); 6].map(|()| dash());
        let why = format!("does not answer: {}", silent.why);
        [short(silent.name.as_str(), NAME_CHARS), "silent".to_owned(), generation, path, rtt, there, back, queued, why]
    });
    let rows = rows(look);
    let name = names(&rows);
    let links = rows.into_iter().map(|row| {
        [
            format!("{} - {}", name(&row.left), name(&row.right)),
            row.state,
            row.generation.map_or_else(dash, |generation| generation.to_string()),
            row.path.map_or_else(dash, |path| path_text(path, row.stripes)),
            row.rtt_us.map_or_else(dash, milliseconds),
            bytes(row.there_per_s),
            bytes(row.back_per_s),
            bytes(row.queued_bytes),
            format!("{} ago: {}", span(row.changed_ago_ms), row.changed_why),
        ]
    });
    let rows: Vec<_> = links.chain(silent).collect();
    if rows.is_empty() {
        let agents = look.answers.len();
        return format!("no links; agents that are there: {agents}. They link when a plan or a bench needs it\n");
    }
    table(heading, &rows)
}

/// One document.
#[must_use]
pub fn json(look: &Look) -> Value {
    let silent = look.silent.iter().map(|silent| json!({ "name": silent.name, "why": silent.why }));
    json!({ "run": look.run, "mesh": look.mesh, "links": rows(look), "silent": silent.collect::<Vec<_>>() })
}

#[cfg(test)]
pub(super) mod tests;
