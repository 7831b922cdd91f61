//! A run retold: what every report shows, gathered in one pass over the journal.
//!
//! It holds no more than [`limits`](super::limits) allow, however long the journal is; what found no room is counted, and every
//! report says so. Times are milliseconds from the run's begin, by the clocks of those who told.

mod around;
mod gather;
mod log;
mod steps;

use std::collections::BTreeMap;

use meshproof_proto::event::Usage;
use meshproof_proto::order::FaultReport;
use meshproof_proto::verdict::{Exit, Verdict};

use crate::record::{FailureRecord, Invocation, Record, Summary};
pub use log::{Log, Told};
pub use steps::{Step, Steps, word};

/// Milliseconds from the begin of the run.
pub type Moment = f64;

/// A run.
#[derive(Debug, Default)]
pub struct Story {
    pub run: String,
    pub plan: String,
    pub file: String,
    pub digest: String,
    pub seed: u64,
    pub term: u64,
    /// Milliseconds since 1970.
    pub began_ms: u64,
    /// The last that was told.
    pub last: Moment,
    pub events: u64,
    pub invocation: Option<Invocation>,
    pub ending: Option<RunEnding>,
    /// Steps that must have ended.
    pub expected_steps: usize,
    pub tests: Vec<Test>,
    pub steps: Steps,
    pub failures: Vec<Failure>,
    /// Failures beyond those.
    pub failures_untold: u64,
    pub faults: Vec<Fault>,
    pub failovers: Vec<Failover>,
    pub agents: BTreeMap<String, Agent>,
    /// From and to.
    pub links: BTreeMap<(String, String), Link>,
    /// Stub and route; a call that no route took has none.
    pub stubs: BTreeMap<(String, Option<String>), Stub>,
    /// Events that agents could not keep.
    pub lost_events: u64,
    /// Somebody writes its journal still; only who looks knows.
    pub goes_on: bool,
    pub log: Log,
    /// Faults that persons asked for, by the names that they have: who, and in which words.
    wished: BTreeMap<String, (String, String)>,
    around: around::Around,
}

/// How the run ended.
#[derive(Clone, Debug)]
pub struct RunEnding {
    pub verdict: Verdict,
    pub exit: u8,
    pub summary: Summary,
}

/// A test that was expected.
#[derive(Clone, Debug, Default)]
pub struct Test {
    pub id: String,
    pub began: Option<Moment>,
    pub ended: Option<Moment>,
    pub verdict: Option<Verdict>,
    pub duration_ms: f64,
    pub not_run: Option<String>,
}

/// What did not hold, and what everybody told around that moment.
#[derive(Clone, Debug)]
pub struct Failure {
    pub at: Moment,
    pub record: FailureRecord,
    pub around: Vec<Told>,
    /// More was told around that moment than has room.
    pub around_untold: u64,
}

/// A disturbance.
#[derive(Clone, Debug)]
pub struct Fault {
    pub name: String,
    pub target: String,
    pub asked: String,
    pub agents: Vec<String>,
    /// Whom a person is called who asked for it; none: the plan did.
    pub by: Option<String>,
    pub began: Moment,
    pub ended: Option<(Moment, FaultReport)>,
}

/// An agent that was replaced, or should have been.
#[derive(Clone, Debug)]
pub struct Failover {
    pub agent: String,
    pub how: String,
    pub detected: Moment,
    /// The instance's term.
    pub decided: Option<(Moment, String)>,
    /// Events that were replayed.
    pub complete: Option<(Moment, u64)>,
}

/// What is known of an agent and of the service beside it.
#[derive(Clone, Debug, Default)]
pub struct Agent {
    /// Of its link to the orchestrator.
    pub path: String,
    pub rtt_us: u64,
    /// Of the service.
    pub usage: Option<Usage>,
    /// Of the agent itself.
    pub own: Option<Usage>,
    /// When, and bytes of memory; thinned out when there are many.
    pub memory: Vec<(Moment, u64)>,
    pub samples: u64,
    /// When, and what.
    pub blows: Vec<(Moment, String)>,
}

/// One direction of a link.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    pub bytes: u64,
    pub acknowledged: u64,
    pub suspected: u64,
}

/// Calls that a stub's route answered.
#[derive(Clone, Debug, Default)]
pub struct Stub {
    pub calls: u64,
    pub unexpected: u64,
    pub errors: u64,
    pub statuses: BTreeMap<u16, u64>,
    pub longest_ms: f64,
    /// Counted and not told one by one.
    pub untold: u64,
}

impl Story {
    /// Of these records, in order.
    pub fn of(records: impl IntoIterator<Item = Record>) -> Self {
        let mut story = Self::default();
        records.into_iter().for_each(|record| story.take(record));
        story.finish();
        story
    }

    /// What the run came to; one without an end is an error.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.ending.as_ref().map_or(Verdict::Error, |ending| ending.verdict)
    }

    /// The same in a word, also that there was no end.
    #[must_use]
    pub fn word(&self) -> String {
        let open = if self.goes_on { "goes on" } else { "broke off" };
        self.ending.as_ref().map_or_else(|| open.to_owned(), |ending| ending.verdict.to_string())
    }

    /// What ended it before its time, if something did.
    #[must_use]
    pub fn ended_by(&self) -> Option<&'static str> {
        match Exit::from_code(self.ending.as_ref()?.exit)? {
            Exit::Interrupted => Some("it was interrupted (Ctrl-C)"),
            Exit::Terminated => Some("it was terminated"),
            Exit::Aborted => Some("its deadline had passed"),
            _ => None,
        }
    }

    /// What a test came to, in a word; one that was begun need not have ended.
    #[must_use]
    pub fn word_of(&self, test: &Test) -> String {
        match (test.verdict, test.began) {
            (Some(verdict), _) => verdict.to_string(),
            (None, Some(_)) if self.goes_on => "goes on".to_owned(),
            (None, Some(_)) => "did not end".to_owned(),
            (None, None) if self.goes_on => "not begun".to_owned(),
            (None, None) => "not run".to_owned(),
        }
    }

    /// From the begin to the end, or to the last that was told.
    #[must_use]
    pub fn duration_ms(&self) -> f64 {
        self.ending.as_ref().map_or(self.last, |ending| ending.summary.duration_ms)
    }

    /// Tests by what they came to; `None`: not run.
    #[must_use]
    pub fn tests_by_verdict(&self) -> BTreeMap<Option<Verdict>, usize> {
        let mut count = BTreeMap::new();
        self.tests.iter().for_each(|test| *count.entry(test.verdict).or_default() += 1);
        count
    }
}
