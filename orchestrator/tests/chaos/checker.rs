//! What a run claims of each number, held against what the services wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::nemesis::{Kind, Strike};
use crate::place::Place;
use crate::round::explains;
use crate::workload::{SERVICES, Workload};

/// What became of the numbers of a round, and how long it took to go on.
#[derive(Debug, Default)]
pub struct Found {
    pub ok: u64,
    pub failed: u64,
    pub unknown: u64,
    /// Of a run that ended before their turn.
    pub not_begun: u64,
    pub verdict: String,
    /// From an agent's end until its next instance went on.
    pub failovers_ms: Vec<f64>,
    /// From when it was known that an orchestrator was gone until another one commanded.
    pub takeovers_ms: Vec<f64>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ok, failed, unknown, not_begun, verdict, .. } = self;
        write!(f, "{verdict}: {ok} ok, {failed} failed, {unknown} unknown, {not_begun} not begun")
    }
}

/// What the journal says of a test.
#[derive(Debug, Default)]
struct Claim {
    ending: Option<String>,
    why: String,
    began_ms: u64,
    ended_ms: u64,
    not_run: bool,
}

/// Holds it all against each other.
pub fn check(place: &Place, workload: &Workload, (strikes, exit): (&[Strike], i32)) -> Result<Found, String> {
    let journal = journal(&place.out())?;
    let effects = effects(&place.effects());
    let claims = claims(&journal);
    let mut found = Found { verdict: ended(&journal, exit)?, ..Found::default() };
    whole(&journal)?;
    let mut wrong = Vec::new();
    for (id, test) in workload.tests() {
        let claim = claims.get(id).ok_or_else(|| format!("the journal does not know {id}"))?;
        let count = test.numbers.end - test.numbers.start;
        let times: Vec<usize> =
            test.numbers.clone().map(|number| effects.get(&number).copied().unwrap_or_default()).collect();
        let (least, most) = (times.iter().min().copied().unwrap_or(0), times.iter().max().copied().unwrap_or(0));
        let mut must = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{id} {:?}: {what}; each was done {times:?} times; {claim:?}", test.numbers));
            }
        };
        match claim.ending.as_deref() {
            Some("pass") => {
                found.ok += count;
                must(least == 1 && most == 1, "ok has exactly one effect");
            }
            Some("fail") => {
                found.failed += count;
                must(most <= 1, "what failed has at most one effect");
            }
            Some("unknown") => {
                found.unknown += count;
                must(most <= 1, "what is unknown has at most one effect");
                let explained =
                    strikes.iter().any(|strike| explains(strike, &test.agents, (claim.began_ms, claim.ended_ms)));
                must(explained, "unknown only where a crash explains it");
            }
            None if claim.not_run => {
                found.not_begun += count;
                must(most == 0, "what was not begun has no effect");
                must(is_cut_short(strikes), "everything is begun, unless the keeper is gone");
            }
            other => {
                found.unknown += count;
                must(is_cut_short(strikes) && most <= 1, &format!("an end as {other:?} needs a reason"));
            }
        }
    }
    let known: BTreeSet<u64> = workload.tests().values().flat_map(|test| test.numbers.clone()).collect();
    wrong.extend(
        effects.keys().filter(|number| !known.contains(number)).map(|number| format!("nobody asked for {number}")),
    );
    let is_pass = found.failed + found.unknown + found.not_begun == 0;
    if (found.verdict == "pass") != is_pass {
        wrong.push(format!("the run is called {}, and {found}", found.verdict));
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    times(&journal, &mut found);
    Ok(found)
}

fn is_cut_short(strikes: &[Strike]) -> bool {
    strikes.iter().any(|strike| strike.kind == Kind::KeeperKilled)
}

fn journal(out: &Path) -> Result<Vec<Value>, String> {
    let path = out.join("events.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))).collect()
}

/// How often each number was written.
fn effects(folder: &Path) -> BTreeMap<u64, usize> {
    let mut count = BTreeMap::new();
    for service in SERVICES {
        let text = std::fs::read_to_string(folder.join(service)).unwrap_or_default();
        for number in text.lines().filter_map(|line| line.parse().ok()) {
            *count.entry(number).or_default() += 1;
        }
    }
    count
}

fn claims(journal: &[Value]) -> BTreeMap<String, Claim> {
    let mut claims: BTreeMap<String, Claim> = BTreeMap::new();
    for record in journal {
        let (what, at_ms) = (&record["what"], record["at_ms"].as_u64().unwrap_or_default());
        if let Some(test) = what["test-began"]["test"].as_str() {
            claims.entry(test.to_owned()).or_default().began_ms = at_ms;
        }
        if let Some(test) = what["test-not-run"]["test"].as_str() {
            claims.entry(test.to_owned()).or_default().not_run = true;
        }
        let ended = &what["step-ended"];
        if let Some(test) = ended["step"]["key"]["test"].as_str().filter(|test| !test.is_empty()) {
            let claim = claims.entry(test.to_owned()).or_default();
            claim.ending = ended["ending"].as_str().map(str::to_owned);
            claim.why = ended["why"].as_str().unwrap_or_default().to_owned();
            claim.ended_ms = at_ms;
        }
    }
    claims
}

/// The verdict, which the exit code tells too.
fn ended(journal: &[Value], exit: i32) -> Result<String, String> {
    let ends: Vec<&Value> = journal.iter().filter_map(|record| record["what"].get("run-ended")).collect();
    let [end] = ends[..] else { return Err(format!("the run has {} ends", ends.len())) };
    let verdict = end["verdict"].as_str().unwrap_or_default();
    if end["exit"] != exit || (verdict == "pass") != (exit == 0) {
        return Err(format!("the exit code is {exit}, and the journal says {end}"));
    }
    Ok(verdict.to_owned())
}

/// Every event of each agent once and in order.
fn whole(journal: &[Value]) -> Result<(), String> {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for record in journal {
        let (Some(instance), Some(seq)) = (record["instance"].as_str(), record["seq"].as_u64()) else { continue };
        let last = last.entry(instance.to_owned()).or_default();
        if seq != *last + 1 {
            return Err(format!("event {seq} of {instance} follows on {last}"));
        }
        *last = seq;
    }
    Ok(())
}

fn times(journal: &[Value], found: &mut Found) {
    let mut since: BTreeMap<String, f64> = BTreeMap::new();
    for what in journal.iter().map(|record| &record["what"]) {
        if let Some(agent) = what["failover-detected"]["agent"].as_str() {
            since.insert(agent.to_owned(), what["failover-detected"]["after_ms"].as_f64().unwrap_or_default());
        }
        if let Some(agent) = what["failover-complete"]["agent"].as_str() {
            let after = what["failover-complete"]["after_ms"].as_f64().unwrap_or_default();
            found.failovers_ms.push(since.get(agent).copied().unwrap_or_default() + after);
        }
        if let Some(complete) = what["taken-over"]["complete_ms"].as_f64() {
            found.takeovers_ms.push(complete);
        }
    }
}
