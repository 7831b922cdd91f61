//! A test case for each commit.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::commits::attempt::Status;
use crate::commits::results::{CommitResult, Results};
use crate::report::ReportError;
use crate::report::sanitise;

/// `junit.xml`
///
/// # Errors
/// It cannot be written as XML.
pub fn junit(results: &Results) -> Result<String, ReportError> {
    let mut suite = TestSuite::new("commits");
    suite.add_test_cases(results.commits.iter().map(case));
    if let Some(found) = &results.found {
        let mut case = TestCase::new("bisect", TestCaseStatus::success());
        case.set_system_out(sanitise::block(&found.words()));
        suite.add_test_case(case);
    }
    let mut report = Report::new("meshproof commits");
    report.add_test_suite(suite);
    report.to_string().map_err(ReportError::from)
}

fn case(commit: &CommitResult) -> TestCase {
    let why = commit.why().unwrap_or(commit.status.word());
    let mut status = match commit.status {
        Status::Passed => TestCaseStatus::success(),
        Status::Failed | Status::BuildFailed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Status::Error | Status::Interrupted => TestCaseStatus::non_success(NonSuccessKind::Error),
        Status::Skipped => TestCaseStatus::skipped(),
    };
    if !commit.success {
        status.set_message(sanitise::line(why)).set_type(commit.status.word());
    }
    let mut case = TestCase::new(sanitise::line(&format!("{} {}", commit.short(), commit.message)), status);
    case.set_time(Duration::from_secs_f64(commit.duration_ms.max(0.0) / 1e3));
    let output: String = commit.attempts.iter().map(|attempted| sanitise::block(&attempted.output)).collect();
    case.set_system_out(output);
    case
}
