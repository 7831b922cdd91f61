//! One attempt at one commit: a workspace, and a run of meshproof's own in it, whose journal says what came of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use meshproof_proto::event::{CheckFailure, Fact, Outcome};
use meshproof_proto::verdict::{Exit, Verdict};
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::elsewhere::{OnMesh, Taken};
use super::limits::{AROUND, LOOK_EVERY, OUTPUT_BYTES};
use super::request::{Check, Keep};
use super::search::Vote;
use super::workspace::Workspace;
use crate::coordinator::{self, Options, Standing};
use crate::journal::{self, Followed, Following};
use crate::plan::{self, Checked, Inputs, Plan, Source};
use crate::progress::Mode;
use crate::record::{Ending, FailureRecord, Happening, Record, now_ms};

/// What is run for each commit.
const PLAN: &str = include_str!("check.yaml");

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Passed,
    Failed,
    /// The test exited with the code that says so.
    Skipped,
    /// So it was never tested.
    BuildFailed,
    /// Nobody saw what would have come of it: a git command, the mesh or the machine failed.
    Error,
    /// Ctrl-C came first.
    Interrupted,
}

impl Status {
    /// As people read it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::BuildFailed => "build failed",
            Self::Error => "error",
            Self::Interrupted => "interrupted",
        }
    }

    /// What it says of the commit; none: nothing.
    #[must_use]
    pub fn vote(self) -> Option<Vote> {
        match self {
            Self::Passed => Some(Vote::Good),
            Self::Failed => Some(Vote::Bad),
            Self::Skipped | Self::BuildFailed => Some(Vote::Skip),
            Self::Error => Some(Vote::Unknown),
            Self::Interrupted => None,
        }
    }
}

/// An attempt that is over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attempted {
    pub number: u32,
    pub status: Status,
    /// What the test exited with, where it did not pass; the build, if that failed.
    pub code: Option<i64>,
    pub began_ms: u64,
    pub duration_ms: f64,
    /// Why it did not pass, in a line.
    pub why: Option<String>,
    /// What build and test printed, each piece after the time at which it came, without secrets.
    pub output: String,
    /// The folders of its runs, with journal and reports, relative to the session's.
    pub runs: Vec<String>,
    /// Where its files still are.
    pub workspace: Option<PathBuf>,
}

/// A line of an attempt, while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub at_ms: u64,
    pub text: String,
}

/// What is tested how.
pub(super) struct Attempt<'a> {
    pub check: &'a Check,
    pub commit: &'a str,
    pub number: u32,
    /// The session's, where runs have folders.
    pub session: &'a Path,
    /// Who hears of it.
    pub tell: &'a dyn Fn(Told),
    /// Who does it; none: an agent of its own on this machine.
    pub elsewhere: Option<&'a Taken<'a>>,
    /// That nobody waits for it any more.
    pub dropped: &'a CancellationToken,
    /// When it began, for people and for measuring.
    pub began: (u64, Instant),
}

impl Attempt<'_> {
    /// What could not even be begun.
    pub(super) fn impossible(&self, why: &dyn std::fmt::Display) -> Attempted {
        let why = why.to_string();
        (self.tell)(Told { at_ms: now_ms(), text: why.clone() });
        let output = format!("{} {why}\n", clock(now_ms()));
        Attempted { status: Status::Error, why: Some(why), output, ..self.begun() }
    }

    /// Before anything is known of it.
    pub(super) fn begun(&self) -> Attempted {
        let (began_ms, began) = self.began;
        Attempted {
            number: self.number,
            status: Status::Interrupted,
            code: None,
            began_ms,
            duration_ms: began.elapsed().as_secs_f64() * 1e3,
            why: None,
            output: String::new(),
            runs: Vec::new(),
            workspace: None,
        }
    }

    /// Builds and tests it, and then runs the plan that was asked for besides.
    pub(super) async fn run(&self, workspace: &Workspace) -> Attempted {
        let mut attempted = match self.check_plan(workspace) {
            Ok(plan) => self.one(plan, workspace, CHECK).await,
            Err(mistakes) => return self.impossible(&mistakes),
        };
        if let (Status::Passed, Some(then)) = (attempted.status, &self.check.then) {
            let plan = (then.plan.clone(), then.source.clone());
            let after = self.one(plan, workspace, "then").await;
            let output = attempted.output + &after.output;
            let runs = attempted.runs.into_iter().chain(after.runs.iter().cloned()).collect();
            attempted = Attempted { output, runs, ..after };
        }
        attempted.duration_ms = self.began.1.elapsed().as_secs_f64() * 1e3;
        attempted
    }

    fn check_plan(&self, workspace: &Workspace) -> Result<(Arc<Plan>, Arc<Source>), String> {
        let millis = |time: std::time::Duration| format!("{}ms", time.as_millis());
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let (text, place) = match self.elsewhere {
            Some(taken) => (taken.plan(), vec![("path", taken.path(&workspace.name()))]),
            None => {
                let place = [("workspace", path(workspace.tree())), ("tmp", path(workspace.tmp()))];
                (PLAN.to_owned(), place.into())
            }
        };
        let params = [
            ("commit", self.commit.to_owned()),
            ("build", self.check.build.clone().unwrap_or_default()),
            ("run", self.check.run.clone()),
            ("within", millis(self.check.within)),
            ("timeout", millis(self.check.within * 2 + AROUND)),
        ];
        let params = params.into_iter().chain(place).map(|(name, value)| (name.to_owned(), value)).collect();
        let inputs = Inputs { dir: path(workspace.tree()), params, ..Inputs::default() };
        let Checked { source, plan } = plan::check("commit.yaml", text.as_bytes(), &inputs);
        match plan {
            Ok(plan) => Ok((Arc::new(plan), Arc::new(source))),
            Err(mistakes) => Err(mistakes.render(&source, plan::Look::Plain)),
        }
    }

    async fn one(&self, (plan, source): (Arc<Plan>, Arc<Source>), workspace: &Workspace, what: &str) -> Attempted {
        let name = format!("runs/{}-{}-{what}", self.commit.get(..10).unwrap_or(self.commit), self.number);
        let out = self.session.join(&name);
        let options = Options {
            out: out.clone(),
            mode: Mode::Silent,
            seed: coordinator::fresh_seed(),
            stop: self.dropped.clone(),
            mesh: self.elsewhere.map(|taken| {
                let OnMesh { file, addresses, .. } = taken.mesh();
                Standing { file: file.clone(), addresses: addresses.clone(), here: vec![taken.pair.source.clone()] }
            }),
            ..Options::new(coordinator::fresh_id(), workspace.tree().to_owned())
        };
        let skip_exit = (what == CHECK).then_some(self.check.skip_exit);
        let is_brought = self.elsewhere.is_some() && what == CHECK;
        let mut heard = Heard { skip_exit, is_brought, ..Heard::default() };
        let over = CancellationToken::new();
        let running = async {
            // dropped when the run is over, also one that could not even begin a journal
            let _over = over.clone().drop_guard();
            Box::pin(coordinator::run(plan, source, options)).await
        };
        let listening = Box::pin(listen((&out, &over), &mut heard, self.tell));
        let (exit, read) = tokio::join!(running, listening);
        if let Err(error) = read {
            return self.impossible(&error);
        }
        Attempted { runs: vec![name], ..heard.attempted(exit, self.begun()) }
    }
}

/// Hears the journal of a run from its first line to its last; nothing, if it is over without one.
async fn listen(
    (out, over): (&Path, &CancellationToken),
    heard: &mut Heard,
    tell: &dyn Fn(Told),
) -> Result<(), journal::JournalError> {
    let path = out.join(journal::FILE_NAME);
    loop {
        // asked first: a run that is over made its journal before
        let is_over = over.is_cancelled();
        if path.is_file() {
            break;
        }
        if is_over {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let mut following = Following::open(&path)?;
    while let Followed::Record(record, _) = following.next().await? {
        if let Some(told) = heard.take(&record) {
            tell(told);
        }
    }
    Ok(())
}

/// The run of [`PLAN`].
const CHECK: &str = "check";

/// What a run's journal says about the commit.
#[derive(Debug, Default)]
struct Heard {
    /// With it a build or a test says that it cannot be done; none: this run is another plan's.
    skip_exit: Option<i64>,
    /// The commit has to be brought to where it is tested first.
    is_brought: bool,
    fetch: Option<Ending>,
    build: Option<Ending>,
    run: Option<Ending>,
    /// What the last of them that did not pass exited with.
    code: Option<i64>,
    why: Option<String>,
    output: String,
    ended: Option<(Verdict, u8)>,
}

impl Heard {
    fn take(&mut self, record: &Record) -> Option<Told> {
        let at_ms = record.entry.at_ms;
        let text = match &record.entry.what {
            Happening::Fact(Fact::Printed { .. }) if self.is_brought && self.fetch.is_none() => return None,
            Happening::Fact(Fact::Printed { text, .. }) => text.clone(),
            Happening::Fact(Fact::StepEnded { result, .. }) => {
                self.code = code(&result.outcome).or(self.code);
                return None;
            }
            Happening::StepEnded { step, ending, why, .. } => {
                match step.id.as_deref() {
                    Some("fetch") => {
                        self.fetch = Some(*ending);
                        self.output.clear();
                    }
                    Some("build") => self.build = Some(*ending),
                    Some("run") => self.run = Some(*ending),
                    _ => {}
                }
                if *ending == Ending::Pass {
                    return None;
                }
                let text = match self.code.filter(|_| self.skip_exit.is_some()) {
                    Some(code) => format!("the {} exited with {code}", step.title),
                    None => format!("{}: {}", step.title, why.as_deref().unwrap_or("it did not pass")),
                };
                self.why = Some(text.clone());
                text
            }
            Happening::Failure(failure) => {
                self.why.get_or_insert_with(|| why(failure));
                return None;
            }
            Happening::Said { text } | Happening::Noted { text } => text.clone(),
            Happening::RunEnded { verdict, exit, .. } => {
                self.ended = Some((*verdict, *exit));
                return None;
            }
            _ => return None,
        };
        self.print(at_ms, &text);
        Some(Told { at_ms, text })
    }

    fn print(&mut self, at_ms: u64, text: &str) {
        for line in text.lines() {
            if self.output.len() + line.len() > OUTPUT_BYTES {
                return;
            }
            self.output += &format!("{} {line}\n", clock(at_ms));
        }
    }

    /// Passed is only what was seen to pass: the step, and the run around it.
    fn attempted(self, exit: Exit, begun: Attempted) -> Attempted {
        let passed = |ending: Option<Ending>| ending == Some(Ending::Pass);
        let is_check = self.skip_exit.is_some();
        let failed = |ending: Option<Ending>| is_check && ending == Some(Ending::Fail);
        let says_skip = self.code.is_some() && self.code == self.skip_exit;
        let status = match (exit, self.ended) {
            (Exit::Interrupted | Exit::Terminated, _) => Status::Interrupted,
            _ if is_check && self.fetch.is_some_and(|fetch| fetch != Ending::Pass) => Status::Error,
            (Exit::Passed, Some((Verdict::Pass, 0))) if !is_check || passed(self.build) && passed(self.run) => {
                Status::Passed
            }
            _ if says_skip && (failed(self.build) || failed(self.run)) => Status::Skipped,
            (Exit::Failed, Some((Verdict::Fail, _))) if failed(self.build) => Status::BuildFailed,
            (Exit::Failed, Some((Verdict::Fail, _))) => Status::Failed,
            _ => Status::Error,
        };
        let why = match status {
            Status::Passed => None,
            _ => self.why.or_else(|| (status == Status::Error).then(|| "its run came to no end".to_owned())),
        };
        let code = if status == Status::Passed { None } else { self.code };
        Attempted { status, code, why, output: self.output, ..begun }
    }
}

fn why(failure: &FailureRecord) -> String {
    match (&failure.expected, &failure.actual) {
        (Some(expected), Some(actual)) => format!("{}: expected {expected}, got {actual}", failure.title),
        _ => failure.title.clone(),
    }
}

/// What a program exited with that was to exit with 0.
fn code(outcome: &Outcome) -> Option<i64> {
    let Outcome::Failed(failures) = outcome else { return None };
    let of = |failure: &CheckFailure| {
        let mismatch = &failure.mismatch;
        mismatch.actual.parse().ok().or_else(|| serde_json::from_str::<Value>(&mismatch.actual).ok()?.as_i64())
    };
    failures.iter().find_map(of)
}

/// `14:02:11.345Z`
#[must_use]
pub fn clock(at_ms: u64) -> String {
    let (seconds, milliseconds) = (at_ms / 1_000 % 86_400, at_ms % 1_000);
    format!("{:02}:{:02}:{:02}.{milliseconds:03}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Whether a workspace stays.
pub(super) fn is_kept(keep: Keep, status: Status) -> Option<std::time::Duration> {
    match (keep, status) {
        (Keep::OnFailure(time), Status::Failed | Status::BuildFailed | Status::Error) | (Keep::Always(time), _) => {
            Some(time)
        }
        (Keep::OnFailure(_) | Keep::Never, _) => None,
    }
}
