//! `junit.xml`: a test case for each test of the plan, its steps as lines of output. What is held against the run and against no
//! test becomes a case of its own, so that no reader of the file sees a failed run as a good one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use meshproof_proto::verdict::Verdict;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use thiserror::Error;

use super::{failure, lines, sanitise};
use crate::journal::JournalError;
use crate::record::{FailureRecord, Happening, Record};

/// The report's file name, in the folder of a run's reports.
pub const JUNIT_FILE_NAME: &str = "junit.xml";

/// The report cannot be made.
#[derive(Debug, Error)]
pub enum ReportError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the run cannot be written as JUnit XML: {0}")]
    Xml(#[from] quick_junit::SerializeError),
    #[error("cannot write {}: {source}", .path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

/// What the journal knows of one test.
#[derive(Debug, Default)]
struct Case {
    verdict: Option<Verdict>,
    duration_ms: f64,
    not_run: Option<String>,
    output: Vec<String>,
    failures: Vec<FailureRecord>,
}

#[derive(Debug, Default)]
pub(super) struct Cases {
    plan: String,
    tests: Vec<String>,
    by_test: BTreeMap<String, Case>,
    /// The one that is going on.
    current: Option<String>,
    /// Of no test: readiness, the environment, teardown.
    run: Case,
    ended: Option<(Verdict, f64)>,
}

/// The records of a run as JUnit XML.
pub fn junit(records: &[Record]) -> Result<String, ReportError> {
    let mut cases = Cases::default();
    records.iter().for_each(|record| cases.take(&record.entry.what));
    cases.xml()
}

impl Cases {
    /// Of what was taken.
    pub(super) fn xml(&self) -> Result<String, ReportError> {
        let mut suite = TestSuite::new(self.plan.as_str());
        for test in &self.tests {
            let unknown = Case::default();
            suite.add_test_case(self.by_test.get(test).unwrap_or(&unknown).test_case(test));
        }
        if let Some(case) = self.run_case() {
            suite.add_test_case(case);
        }
        let duration = milliseconds(self.ended.map_or(0.0, |(_, duration_ms)| duration_ms));
        suite.set_time(duration);
        let mut report = Report::new("meshproof");
        report.set_time(duration).add_test_suite(suite);
        Ok(report.to_string()?)
    }

    pub(super) fn take(&mut self, what: &Happening) {
        match what {
            Happening::RunBegan { plan, .. } => self.plan.clone_from(plan),
            Happening::Expected { tests, .. } => self.tests.clone_from(tests),
            Happening::StepEnded { step, .. } => {
                let line = lines::plain_line(what);
                self.case((!step.key.test.is_empty()).then_some(step.key.test.as_str())).output.extend(line);
            }
            Happening::TestBegan { test } => self.current = Some(test.clone()),
            Happening::FailoverDetected { .. }
            | Happening::FailoverDecided { .. }
            | Happening::FailoverComplete { .. }
            | Happening::TakenOver { .. } => {
                let test = self.current.clone();
                self.case(test.as_deref()).output.extend(lines::plain_line(what));
            }
            Happening::Failure(failure) => {
                self.case(failure.test.as_deref()).failures.push(failure.as_ref().clone());
            }
            Happening::TestEnded { test, verdict, duration_ms } => {
                self.current = None;
                let case = self.case(Some(test));
                (case.verdict, case.duration_ms) = (Some(*verdict), *duration_ms);
            }
            Happening::TestNotRun { test, why } => self.case(Some(test)).not_run = Some(why.clone()),
            Happening::RunEnded { verdict, summary, .. } => self.ended = Some((*verdict, summary.duration_ms)),
            _ => {}
        }
    }

    fn case(&mut self, test: Option<&str>) -> &mut Case {
        match test {
            Some(test) => self.by_test.entry(test.to_owned()).or_default(),
            None => &mut self.run,
        }
    }

    /// The run itself, if something is held against it that no test shows.
    fn run_case(&self) -> Option<TestCase> {
        let test_is_bad = |case: &Case| case.verdict.is_some_and(|verdict| verdict != Verdict::Pass);
        let verdict = match self.ended {
            None => Verdict::Error,
            Some((Verdict::Pass, _)) if self.run.failures.is_empty() => return None,
            Some(_) if self.run.failures.is_empty() && self.by_test.values().any(test_is_bad) => return None,
            Some((verdict, _)) => verdict,
        };
        let case = Case {
            verdict: Some(verdict.max(Verdict::Fail)),
            duration_ms: 0.0,
            not_run: None,
            output: self.run.output.clone(),
            failures: self.run.failures.clone(),
        };
        Some(case.test_case("(run)"))
    }
}

impl Case {
    fn test_case(&self, name: &str) -> TestCase {
        let mut case = TestCase::new(name, self.status());
        case.set_time(milliseconds(self.duration_ms));
        if !self.output.is_empty() {
            case.set_system_out(self.output.join("\n"));
        }
        case
    }

    fn status(&self) -> TestCaseStatus {
        let kind = match (self.verdict, &self.not_run) {
            (Some(Verdict::Pass), _) => return TestCaseStatus::success(),
            (Some(Verdict::Fail), _) => NonSuccessKind::Failure,
            (Some(Verdict::Unknown | Verdict::Error), _) => NonSuccessKind::Error,
            (None, Some(why)) => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(sanitise::line(why));
                return status;
            }
            // Expected, and neither ended nor reported as left out: the run broke off.
            (None, None) => NonSuccessKind::Error,
        };
        let mut status = TestCaseStatus::non_success(kind);
        let message = self.failures.first().map(failure::headline);
        let verdict = self.verdict.unwrap_or(Verdict::Error);
        status
            .set_message(message.unwrap_or_else(|| format!("the verdict is {verdict}")))
            .set_type(verdict.to_string());
        status.set_description(self.failures.iter().map(described).collect::<Vec<_>>().join("\n"));
        status
    }
}

/// A failure as text, with its place in words.
fn described(failure: &FailureRecord) -> String {
    let mut lines = vec![failure::headline(failure)];
    if let Some(place) = &failure.place {
        lines.push(format!("  at {}:{}:{}", sanitise::line(&place.file), place.line, place.column));
    }
    for (name, value) in [("expected", &failure.expected), ("actual", &failure.actual)] {
        lines.extend(value.as_ref().map(|value| format!("  {name}: {}", sanitise::line(value))));
    }
    for piece in &failure.evidence {
        lines.push(format!("  {}:\n{}", sanitise::line(&piece.title), sanitise::block(&piece.text)));
    }
    lines.join("\n")
}

fn milliseconds(duration_ms: f64) -> Duration {
    Duration::try_from_secs_f64(duration_ms / 1000.0).unwrap_or_default()
}

#[cfg(test)]
mod tests;
