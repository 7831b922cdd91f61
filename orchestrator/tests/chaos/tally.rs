//! What all rounds came to.

use std::collections::BTreeMap;
use std::fmt;

use crate::checker::Found;
use crate::nemesis::{Kind, SURVIVED, Strike};
use crate::round::STRIKES;

/// Counts of everything.
#[derive(Debug, Default)]
pub struct Tally {
    rounds: u64,
    verdicts: BTreeMap<String, u64>,
    strikes: BTreeMap<Kind, usize>,
    numbers: [u64; 4],
    failovers_ms: Vec<f64>,
    takeovers_ms: Vec<f64>,
}

impl Tally {
    pub fn add(&mut self, strikes: &[Strike], found: &Found) {
        self.rounds += 1;
        *self.verdicts.entry(found.verdict.clone()).or_default() += 1;
        for strike in strikes {
            *self.strikes.entry(strike.kind).or_default() += 1;
        }
        let more = [found.ok, found.failed, found.unknown, found.not_begun];
        self.numbers.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        self.failovers_ms.extend(&found.failovers_ms);
        self.takeovers_ms.extend(&found.takeovers_ms);
    }

    /// Each kind that a run comes through has struck often enough. Where nobody may cut, nothing was cut.
    pub fn struck_enough(&self) -> Result<(), String> {
        let struck = |kind: &Kind| self.strikes.get(kind).copied().unwrap_or_default();
        let is_root = rustix::process::geteuid().is_root();
        let too_few = SURVIVED.iter().filter(|kind| struck(kind) < STRIKES && (is_root || **kind != Kind::LinksCut));
        let too_few: Vec<String> = too_few.map(|kind| format!("{kind} {} times", struck(kind))).collect();
        if too_few.is_empty() { Ok(()) } else { Err(format!("too little has struck: {too_few:?}")) }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rounds == 0 {
            return Ok(());
        }
        writeln!(f, "{} rounds: {:?}", self.rounds, self.verdicts)?;
        let [ok, failed, unknown, not_begun] = self.numbers;
        writeln!(f, "numbers: {ok} ok, {failed} failed, {unknown} unknown, {not_begun} not begun")?;
        for (kind, times) in &self.strikes {
            writeln!(f, "{kind:20} {times:>5} times, with work in flight")?;
        }
        spread(f, "an agent's next instance goes on", &self.failovers_ms)?;
        spread(f, "another orchestrator commands", &self.takeovers_ms)
    }
}

fn spread(f: &mut fmt::Formatter<'_>, what: &str, times: &[f64]) -> fmt::Result {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times.get((times.len().saturating_sub(1)) * percent / 100).copied().unwrap_or_default();
    writeln!(f, "{what}, ms: p50 {:.0}, p99 {:.0}, max {:.0} of {}", at(50), at(99), at(100), times.len())
}
