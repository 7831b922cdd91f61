//! A run in numbers, under the names that Prometheus' conventions give them.

use std::collections::BTreeMap;
use std::time::Duration;

use meshproof_proto::verdict::Verdict;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::figures::{counter, gauge, seconds, text_with_process};
use crate::record::{Ending, Happening};

/// What has been told so far.
#[derive(Clone, Debug, Default)]
pub(in crate::coordinator) struct Counts {
    steps: BTreeMap<&'static str, u64>,
    tests: BTreeMap<&'static str, u64>,
    failures: u64,
    faults: u64,
    failovers: u64,
}

impl Counts {
    pub(in crate::coordinator) fn take(&mut self, what: &Happening) {
        match what {
            Happening::StepEnded { ending, .. } => *self.steps.entry(ending_word(*ending)).or_default() += 1,
            Happening::TestEnded { verdict, .. } => *self.tests.entry(verdict_word(*verdict)).or_default() += 1,
            Happening::TestNotRun { .. } => *self.tests.entry(SKIPPED).or_default() += 1,
            Happening::Failure(_) => self.failures += 1,
            Happening::FaultBegan { .. } => self.faults += 1,
            Happening::FailoverComplete { .. } => self.failovers += 1,
            _ => {}
        }
    }
}

/// What a step or a test came to that never began.
const SKIPPED: &str = "skipped";

fn ending_word(ending: Ending) -> &'static str {
    ending.verdict().map_or(SKIPPED, verdict_word)
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Unknown => "unknown",
        Verdict::Error => "error",
    }
}

/// How a run is.
#[derive(Debug)]
pub(in crate::coordinator) struct Figures {
    pub(in crate::coordinator) run: String,
    pub(in crate::coordinator) plan: String,
    pub(in crate::coordinator) up: Duration,
    pub(in crate::coordinator) term: u64,
    pub(in crate::coordinator) counts: Counts,
    /// Agents whose link is up, and the others.
    pub(in crate::coordinator) linked: usize,
    pub(in crate::coordinator) away: usize,
    pub(in crate::coordinator) signaling_away: usize,
    /// Lines of the journal that were written, and those of them that are on disk.
    pub(in crate::coordinator) lines: u64,
    pub(in crate::coordinator) on_disk: u64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    run: String,
    plan: String,
    version: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CameTo {
    verdict: &'static str,
}

impl Figures {
    pub(super) fn text(self) -> String {
        let mut registry = Registry::default();
        let info = Family::<Build, Gauge>::default();
        info.get_or_create(&Build { run: self.run, plan: self.plan, version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("meshproof_run_info", "The run, its plan, and the orchestrator's version", info);
        registry.register_with_unit("meshproof_run_duration", "Since the run began", Unit::Seconds, seconds(self.up));
        registry.register("meshproof_run_term", "Grows with each orchestrator of the run", gauge(self.term));
        let agents = Family::<State, Gauge>::default();
        for (state, count) in [("linked", self.linked), ("away", self.away)] {
            agents.get_or_create(&State { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        registry.register("meshproof_run_agents", "Agents by the state of the link to them", agents);
        registry.register("meshproof_run_steps", "Steps that have ended", came_to(&self.counts.steps));
        registry.register("meshproof_run_tests", "Tests that have ended", came_to(&self.counts.tests));
        for (name, help, count) in [
            ("meshproof_run_failures", "Failures so far", self.counts.failures),
            ("meshproof_run_faults", "Faults that were begun", self.counts.faults),
            ("meshproof_run_failovers", "Agents that were replaced", self.counts.failovers),
            ("meshproof_journal_lines", "Lines written to the journal", self.lines),
        ] {
            registry.register(name, help, counter(count));
        }
        let waiting = self.lines.saturating_sub(self.on_disk);
        registry.register("meshproof_journal_lines_unsynced", "Lines that are not on disk yet", gauge(waiting));
        let away = u64::try_from(self.signaling_away).unwrap_or(u64::MAX);
        registry.register("meshproof_run_signaling_away", "Signaling servers that were there and are not", gauge(away));
        text_with_process(registry)
    }
}

/// None is missing where it is nought.
fn came_to(counts: &BTreeMap<&'static str, u64>) -> Family<CameTo, Counter> {
    let family = Family::<CameTo, Counter>::default();
    for verdict in ["pass", "fail", "unknown", "error", SKIPPED] {
        family.get_or_create(&CameTo { verdict }).inc_by(counts.get(verdict).copied().unwrap_or_default());
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(counts: Counts) -> String {
        let (run, plan, up) = ("r-1".to_owned(), "p".to_owned(), Duration::from_secs(1));
        let figures =
            Figures { run, plan, up, term: 1, counts, linked: 2, away: 0, signaling_away: 0, lines: 9, on_disk: 9 };
        figures.text()
    }

    #[test]
    fn steps_and_tests_have_a_series_for_all_that_they_may_come_to_before_any_has_and_after() {
        let mut counts = Counts::default();
        for figure in ["steps", "tests"] {
            for verdict in ["pass", "fail", "unknown", "error", "skipped"] {
                let series = format!("meshproof_run_{figure}_total{{verdict=\"{verdict}\"}} 0\n");
                assert!(text(counts.clone()).contains(&series), "{series}");
            }
        }
        counts.take(&Happening::TestNotRun { test: "t".to_owned(), why: "an earlier one failed".to_owned() });
        counts.take(&Happening::TestEnded { test: "u".to_owned(), verdict: Verdict::Fail, duration_ms: 1.0 });
        let text = text(counts);
        for series in ["{verdict=\"skipped\"} 1\n", "{verdict=\"fail\"} 1\n", "{verdict=\"pass\"} 0\n"] {
            assert!(text.contains(&format!("meshproof_run_tests_total{series}")), "{series} is not in:\n{text}");
        }
    }
}
