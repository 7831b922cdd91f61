//! A run's journal, read as anybody would: lines of JSON.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// The records of a run.
pub struct Journal(Vec<Value>);

/// One fact of an agent: who says it, and what.
pub struct Fact<'a> {
    pub from: &'a str,
    pub fact: &'a Value,
}

impl Journal {
    /// Of a run whose reports are in this folder.
    pub fn read(out: &Path) -> Self {
        let path = out.join("events.jsonl");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let record = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self(text.lines().map(record).collect())
    }

    pub fn records(&self) -> &[Value] {
        &self.0
    }

    /// Everything of one kind that the orchestrator said: `failure`, `test-ended`.
    pub fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter_map(move |record| record["what"].get(kind))
    }

    /// The one thing of that kind.
    #[track_caller]
    pub fn only<'a>(&'a self, kind: &'a str) -> &'a Value {
        let mut all = self.all(kind);
        match (all.next(), all.next()) {
            (Some(only), None) => only,
            (first, _) => panic!("exactly one {kind} was expected, there is {first:?} and maybe more"),
        }
    }

    /// All facts of one kind.
    pub fn facts<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = Fact<'a>> {
        self.0.iter().filter_map(move |record| {
            let fact = record["what"].get("fact")?.get(kind)?;
            Some(Fact { from: record["from"].as_str()?, fact })
        })
    }

    /// The numbers of each instance's events, in the order of the journal.
    pub fn numbers(&self) -> BTreeMap<String, Vec<u64>> {
        let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for record in &self.0 {
            if let (Some(instance), Some(seq)) = (record.get("instance"), record["seq"].as_u64()) {
                numbers.entry(instance.to_string()).or_default().push(seq);
            }
        }
        numbers
    }

    /// Test to verdict.
    pub fn verdicts(&self) -> BTreeMap<&str, &str> {
        self.all("test-ended").filter_map(|ended| Some((ended["test"].as_str()?, ended["verdict"].as_str()?))).collect()
    }
}
