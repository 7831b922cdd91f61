//! The end of a run: everything that was started is ended, and what it all came to is said.

use meshproof_proto::verdict::Verdict;

use super::api::{Flaky, Output, Problem};
use super::blame::Blame;
use super::limits::TEARDOWN_DEADLINE;
use super::machine::{Phase, Run};
use crate::record::Happening;

impl Run {
    /// No more tests: says which were not run, and asks for the teardown.
    pub(super) fn close(&mut self) {
        let why = self.stopped.clone().unwrap_or_default();
        for test in self.tally.not_run() {
            self.record(Happening::TestNotRun { test, why: why.clone() });
        }
        let graces = self.plan.services.iter().map(|service| service.stop_grace).max().unwrap_or_default();
        self.phase = Phase::Closing { until: self.now + graces + TEARDOWN_DEADLINE };
        self.push(Output::TearDown);
    }

    pub(super) fn torn_down(&mut self, problems: Vec<Problem>) {
        if !matches!(self.phase, Phase::Closing { .. }) {
            return;
        }
        for (verdict, problem) in problems {
            if !self.is_told(&problem) {
                self.fail(verdict, Blame::new(None, problem));
            }
        }
        self.finish();
    }

    /// Whether a service that ended by itself was told as a failure when that happened. The keeper tells it once more at the end.
    fn is_told(&self, problem: &str) -> bool {
        let mut told = self.dead.iter().map(|service| format!("service {service} "));
        told.any(|service| problem.starts_with(&service)) && problem.contains(" ended by itself ")
    }

    pub(super) fn closing_timeout(&mut self) {
        let Phase::Closing { until } = self.phase else { return };
        if until <= self.now {
            self.fail(Verdict::Error, Blame::new(None, "what was started did not end in time"));
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.phase = Phase::Over;
        let policy = self.setup.flaky;
        if policy != Flaky::Pass {
            let said: Vec<String> = self
                .tally
                .flaky()
                .iter()
                .map(|(test, (failed, of))| format!("{test} is flaky: it failed {failed} of {of} times"))
                .collect();
            said.into_iter().for_each(|text| self.record(Happening::Noted { text }));
        }
        let (verdict, exit) = self.tally.verdict(policy);
        let summary = self.tally.summary(self.now.saturating_duration_since(self.began).as_secs_f64() * 1000.0);
        self.record(Happening::RunEnded { verdict, exit: exit.code(), summary });
        self.push(Output::Finished { verdict, exit });
    }
}
