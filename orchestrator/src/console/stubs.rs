//! The stubs of a mesh: what each was called for, and whether it answers.

use serde::Serialize;
use serde_json::{Value, json};

use meshproof_proto::id::{Name, RunId};
use meshproof_proto::order::Keep;
use meshproof_proto::stub::StubReport;

use super::look::Silent;
use crate::report::sanitise;
use crate::report::table::{short, table};

/// Characters of a name in the table; `--json` has all of it.
const NAME_CHARS: usize = 24;

/// What was seen of stubs.
#[derive(Clone, Debug)]
pub struct Stubs {
    pub run: Option<RunId>,
    /// Each with the service beside whose agent it is played.
    pub stubs: Vec<(Name, StubReport)>,
    pub silent: Vec<Silent>,
}

#[derive(Serialize)]
struct Row<'s> {
    stub: &'s str,
    at: &'s Name,
    address: &'s str,
    keep: &'static str,
    healthy: bool,
    calls: u64,
    unmatched: u64,
    routes: Vec<Route<'s>>,
    last: &'s [String],
}

#[derive(Serialize)]
struct Route<'s> {
    route: &'s str,
    calls: u64,
}

impl Stubs {
    /// Only this one; without a name, all of them.
    #[must_use]
    pub fn only(self, name: Option<&str>) -> Self {
        let stubs = self.stubs.into_iter().filter(|(_, stub)| name.is_none_or(|name| stub.name == name)).collect();
        Self { stubs, ..self }
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.stubs.iter().map(|(at, stub)| Row {
            stub: &stub.name,
            at,
            address: &stub.address,
            keep: match stub.keep {
                Keep::Test => "test",
                Keep::Run => "run",
                Keep::Mesh => "mesh",
            },
            healthy: stub.healthy,
            calls: stub.routes.iter().map(|(_, calls)| calls).sum::<u64>() + stub.unmatched,
            unmatched: stub.unmatched,
            routes: stub.routes.iter().map(|(route, calls)| Route { route, calls: *calls }).collect(),
            last: &stub.last,
        })
    }
}

/// One document.
#[must_use]
pub fn json(stubs: &Stubs) -> Value {
    let silent: Vec<Value> =
        stubs.silent.iter().map(|silent| json!({"agent": silent.name, "why": silent.why})).collect();
    json!({ "run": stubs.run, "stubs": stubs.rows().collect::<Vec<_>>(), "silent": silent })
}

/// The table of all routes, and below it the last calls of each stub.
#[must_use]
pub fn text(stubs: &Stubs) -> String {
    let mut lines = Vec::new();
    for row in stubs.rows() {
        let health = if row.healthy { "answers" } else { "silent" };
        let line = |route: &str, calls: u64| {
            let stub = short(row.stub, NAME_CHARS);
            let at = short(row.at.as_str(), NAME_CHARS);
            [
                stub,
                short(route, NAME_CHARS),
                calls.to_string(),
                health.to_owned(),
                row.keep.to_owned(),
                at,
                row.address.to_owned(),
            ]
        };
        lines.extend(row.routes.iter().map(|route| line(route.route, route.calls)));
        lines.push(line("-", row.unmatched));
    }
    let mut text = table(["STUB", "ROUTE", "CALLS", "HEALTH", "KEPT FOR", "AT", "ADDRESS"], &lines);
    for row in stubs.rows().filter(|row| !row.last.is_empty()) {
        text.push_str(&format!("\nlast calls of {}:\n", sanitise::line(row.stub)));
        for call in row.last {
            text.push_str(&format!("  {}\n", sanitise::line(call)));
        }
    }
    for silent in &stubs.silent {
        text.push_str(&format!("\nagent {} does not answer: {}\n", silent.name, sanitise::line(&silent.why)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_a_row_and_what_came_from_elsewhere_cannot_move_the_cursor() {
        let report = StubReport {
            name: "payments".to_owned(),
            address: "127.0.0.1:1".to_owned(),
            keep: Keep::Run,
            healthy: false,
            routes: vec![("charge".to_owned(), 3), ("refund".to_owned(), 0)],
            unmatched: 2,
            last: vec!["charge #3 -> 201 after 1 ms: POST /\u{1b}[2J".to_owned()],
        };
        let at: Name = "shop".parse().expect("a name");
        let stubs = Stubs { run: None, stubs: vec![(at, report)], silent: Vec::new() };
        let text = text(&stubs);
        let rows: Vec<Vec<&str>> = text.lines().take(4).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1][..4], ["payments", "charge", "3", "silent"]);
        assert_eq!(rows[3][..4], ["payments", "-", "2", "silent"]);
        assert!(text.contains("last calls of payments") && !text.contains('\u{1b}'), "{text}");
        assert_eq!(json(&stubs)["stubs"][0]["calls"], 5);
        assert!(stubs.only(Some("other")).stubs.is_empty());
    }
}
