//! What a session came to: a value from which every report is made.

use std::time::Duration;

use meshproof_proto::verdict::Exit;
use serde::{Deserialize, Serialize};

use super::attempt::{Attempted, Status};
use super::repository::Commit;
use super::request::{Request, What};
use super::search::{Judged, Tally, Verdict};
use super::session::Tested;
use crate::run::Flaky;

/// Everything that is known when it is over, or was interrupted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    #[serde(rename = "meshproof-commits")]
    pub version: u32,
    /// Of the plan that asked.
    pub name: Option<String>,
    pub repository: String,
    pub build: Option<String>,
    pub run: String,
    pub began_ms: u64,
    pub duration_ms: f64,
    pub interrupted: bool,
    /// Those that were tested, in the order of the history or of the request.
    pub commits: Vec<CommitResult>,
    /// Of how many.
    pub of: usize,
    /// How many attempts there were.
    pub attempts: usize,
    /// None: each was tested, and nothing looked for; or it was interrupted.
    pub found: Option<Found>,
    #[serde(skip)]
    pub flaky: Flaky,
    /// What the signal that interrupted it has the command exit with.
    #[serde(skip)]
    pub stopped: Option<Exit>,
}

/// One commit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommitResult {
    pub commit: String,
    pub message: String,
    pub status: Status,
    /// Whether every test of it that counts has passed.
    pub success: bool,
    /// It passed at times and failed at times.
    pub flaky: bool,
    /// Of all attempts.
    pub duration_ms: f64,
    pub attempts: Vec<Attempted>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// The first commit that fails.
    Culprit(Commit),
    /// One of these, of which only the last can be tested.
    Suspects(Vec<Commit>),
    GoodFails(Commit),
    BadPasses(Commit),
    EndUntestable(Commit),
    /// These contradict each other, however often they are repeated.
    Flaky(Vec<Commit>),
}

impl Results {
    pub(super) fn of(
        request: &Request,
        (repository, commits): (&str, Vec<Commit>),
        tested: Tested,
        (began_ms, took): (u64, Duration),
    ) -> Self {
        let Tested { course, attempts, stopped } = tested;
        let found = course.verdict().map(|verdict| Found::of(&verdict, &commits));
        let of = commits.len();
        let is_search = matches!(request.what, What::Bisect { .. });
        let is_complete = if is_search { found.is_some() } else { course.begin(1, &[]).is_empty() };
        let stopped = stopped.filter(|_| !is_complete);
        let all = commits.into_iter().zip(attempts).enumerate();
        let tested = all.filter(|(_, (_, attempts))| !attempts.is_empty());
        let commits: Vec<CommitResult> = tested
            .map(|(number, (commit, attempts))| {
                CommitResult::of(commit, attempts, (course.judged(number), course.tally(number)))
            })
            .collect();
        Self {
            version: 1,
            name: request.name.clone(),
            repository: repository.to_owned(),
            build: request.check.build.clone(),
            run: request.check.run.clone(),
            began_ms,
            duration_ms: took.as_secs_f64() * 1e3,
            interrupted: stopped.is_some(),
            stopped,
            attempts: commits.iter().map(|commit| commit.attempts.len()).sum(),
            commits,
            of,
            found,
            flaky: request.flaky,
        }
    }

    /// What the command exits with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if let Some(stopped) = self.stopped {
            return stopped;
        }
        let flaky = match self.flaky {
            Flaky::Fail if self.commits.iter().any(|commit| commit.flaky) => Exit::Flaky,
            Flaky::Fail | Flaky::Warn | Flaky::Pass => Exit::Passed,
        };
        match &self.found {
            Some(Found::Culprit(_)) => flaky,
            Some(Found::Suspects(_) | Found::EndUntestable(_)) => Exit::MeshFailed,
            Some(Found::GoodFails(_) | Found::BadPasses(_)) => Exit::Failed,
            Some(Found::Flaky(_)) => Exit::Flaky,
            None => {
                let each = self.commits.iter().map(|commit| commit.status.exit());
                let nothing = !self.commits.iter().any(|commit| commit.status != Status::Skipped);
                Exit::of(each.chain([flaky, if nothing { Exit::MeshFailed } else { Exit::Passed }]))
            }
        }
    }

    /// How many commits came to this.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.commits.iter().filter(|commit| commit.status == status).count()
    }
}

impl Status {
    /// Of a commit that came to this.
    fn exit(self) -> Exit {
        match self {
            Self::Passed | Self::Skipped => Exit::Passed,
            Self::Failed | Self::BuildFailed => Exit::Failed,
            Self::Error => Exit::MeshFailed,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

impl CommitResult {
    fn of(commit: Commit, attempts: Vec<Attempted>, (judged, tally): (Judged, Tally)) -> Self {
        let has = |status: Status| attempts.iter().any(|attempted| attempted.status == status);
        let status = match judged {
            Judged::Good => Status::Passed,
            Judged::Bad => Status::Failed,
            // As often good as bad: it is not said to be good.
            Judged::Untestable if tally.is_mixed() => Status::Failed,
            Judged::Untestable | Judged::Open if has(Status::BuildFailed) => Status::BuildFailed,
            Judged::Untestable | Judged::Open if has(Status::Skipped) => Status::Skipped,
            Judged::Untestable | Judged::Open if has(Status::Interrupted) => Status::Interrupted,
            Judged::Untestable | Judged::Open => Status::Error,
        };
        Self {
            commit: commit.id,
            message: commit.subject,
            status,
            success: status == Status::Passed,
            flaky: tally.is_mixed(),
            duration_ms: attempts.iter().map(|attempted| attempted.duration_ms).sum(),
            attempts,
        }
    }

    /// Why it did not pass, where it did not.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.attempts.iter().rev().find_map(|attempted| attempted.why.as_deref())
    }

    /// As people tell it from others.
    #[must_use]
    pub fn short(&self) -> &str {
        self.commit.get(..10).unwrap_or(&self.commit)
    }
}

impl Found {
    fn of(verdict: &Verdict, commits: &[Commit]) -> Self {
        let one = |commit: &usize| commits[*commit].clone();
        let (good, bad) = (0, commits.len() - 1);
        match verdict {
            Verdict::Culprit(commit) => Self::Culprit(one(commit)),
            Verdict::Suspects(suspects) => Self::Suspects(suspects.iter().map(one).collect()),
            Verdict::GoodFails => Self::GoodFails(one(&good)),
            Verdict::BadPasses => Self::BadPasses(one(&bad)),
            Verdict::EndUntestable(end) => Self::EndUntestable(one(end)),
            Verdict::Flaky(them) => Self::Flaky(them.iter().map(one).collect()),
        }
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let named = |commit: &Commit| format!("{} {}", commit.short(), commit.subject);
        let list =
            |commits: &[Commit]| commits.iter().map(|commit| format!("\n  {}", named(commit))).collect::<String>();
        match self {
            Self::Culprit(commit) => format!("{} is the first that fails: {}", commit.short(), commit.subject),
            Self::Suspects(commits) => {
                format!("one of these is the first that fails; all but one of them cannot be tested:{}", list(commits))
            }
            Self::GoodFails(commit) => format!("the commit that was said to be good fails: {}", named(commit)),
            Self::BadPasses(commit) => format!("the commit that was said to be bad passes: {}", named(commit)),
            Self::EndUntestable(commit) => format!("an end of the search cannot be tested: {}", named(commit)),
            Self::Flaky(commits) => {
                format!(
                    "the test is flaky, nothing can be told: these contradict each other, however often repeated:{}",
                    list(commits)
                )
            }
        }
    }
}
