//! A plan inside a test of one's own: `#[tokio::test]` runs it and looks at the verdict and at everything that happened.
//!
//! ```no_run
//! # async fn test() -> Result<(), meshproof::library::NotRun> {
//! let ran = meshproof::library::PlanRun::of("checkout.yaml").param("card", "4000").run().await?;
//! ran.assert_passed();
//! # Ok(())
//! # }
//! ```
//!
//! The other processes of a run are subcommands of the meshproof binary: the one that [`PlanRun::binary`] names, else `MESHPROOF_BIN`, else
//! `meshproof` in the `PATH`. Ctrl-C ends the run as it does on the command line; whoever drops the future has it end at once.

mod handlers;

pub use handlers::{Call, HANDLED_AT_ONCE, Reply};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::verdict::{Exit, Verdict};
use thiserror::Error;

use crate::beside;
use crate::coordinator::{self, Options};
use crate::journal::{self, JournalError};
use crate::plan::{self, Checked, Inputs, Look, Mistakes, Selection, Wanted};
use crate::record::{FailureRecord, Happening, Record};
use crate::report::failure;
use crate::report::style::Style;

/// Why there is no run to look at.
#[derive(Debug, Error)]
pub enum NotRun {
    #[error("cannot {what} {}: {source}", .path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    /// Every mistake, as `meshproof check` shows it.
    #[error("the plan is invalid:\n{0}")]
    Invalid(String),
    #[error("no test or step of the plan is selected")]
    NothingSelected,
    #[error("unsupported: a plan of commits, which `meshproof run` runs")]
    OfCommits,
    #[error("the plan has no stub `{stub}` for a handler; it has {}", .known.join(", "))]
    NoSuchStub { stub: String, known: Vec<String> },
    #[error("unsupported: a handler for the stub `{stub}`, which is not spoken to over HTTP")]
    NoHttp { stub: String },
    #[error("handlers cannot be asked over loopback: {0}")]
    Listen(std::io::Error),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A plan that is to be run.
#[derive(Debug, Clone)]
pub struct PlanRun {
    file: PathBuf,
    inputs: Inputs,
    selection: Selection,
    binary: Option<PathBuf>,
    out: Option<PathBuf>,
    seed: Option<u64>,
    deadline: Option<Duration>,
    handlers: BTreeMap<String, handlers::Handler>,
}

impl PlanRun {
    /// Of this file, relative to the working directory of the test, which is its package's folder.
    pub fn of(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            inputs: Inputs::default(),
            selection: Selection::default(),
            binary: None,
            out: None,
            seed: None,
            deadline: None,
            handlers: BTreeMap::new(),
        }
    }

    /// Sets a parameter of the plan.
    #[must_use]
    pub fn param(mut self, name: &str, value: &str) -> Self {
        self.inputs.params.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Gives the plan a secret; it is shown nowhere.
    #[must_use]
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.inputs.secrets.given.insert(name.to_owned(), value.to_owned());
        self
    }

    /// This function answers what no route of the plan's stub takes. A call is counted as one of `handler`; [`HANDLED_AT_ONCE`] run at a
    /// time. A panic in it is answered with 500 and fails the test that is going on.
    ///
    /// ```no_run
    /// # async fn test() -> Result<(), meshproof::library::NotRun> {
    /// use meshproof::library::{PlanRun, Reply};
    /// use serde_json::json;
    ///
    /// let run = PlanRun::of("checkout.yaml").stub("payments", |call| async move {
    ///     assert_eq!(call.header("authorization"), Some("Bearer x"));
    ///     Reply::status(201).json(&json!({ "id": "ch_1", "of": call.json()["card"] }))
    /// });
    /// run.run().await?.assert_passed();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn stub<F, Answer>(mut self, name: &str, handler: F) -> Self
    where
        F: Fn(Call) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Reply> + Send + 'static,
    {
        self.handlers.insert(name.to_owned(), handlers::Handler::of(handler));
        self
    }

    /// Only tests with such an id; `*` stands for anything.
    #[must_use]
    pub fn test(mut self, glob: &str) -> Self {
        self.selection.tests.push(glob.to_owned());
        self
    }

    /// The meshproof binary.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Where reports and logs go; else a folder of their own below the temporary folder, which stays.
    #[must_use]
    pub fn out(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out = Some(folder.into());
        self
    }

    /// The seed of jitter and generated data.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The run ends after so long.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Runs it to its verdict.
    ///
    /// # Errors
    /// The plan cannot be read or is invalid, nothing of it is selected, or what happened cannot be written or read.
    ///
    /// # Panics
    /// A handler panicked: with its text, once the run is over and everything is taken down.
    pub async fn run(mut self) -> Result<Ran, NotRun> {
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |source| NotRun::Io { what, path, source }
        };
        let bytes = std::fs::read(&self.file).map_err(io("read", &self.file))?;
        let plan_dir = self.file.canonicalize().map_err(io("find", &self.file))?;
        let plan_dir = plan_dir.parent().unwrap_or(Path::new("/")).to_owned();
        self.inputs.dir = plan_dir.to_string_lossy().into_owned();
        self.inputs.secrets.wanted = Wanted::Values;
        self.inputs.read_file = Some(beside::read);
        let Checked { source, plan } = plan::check(&self.file.to_string_lossy(), &bytes, &self.inputs);
        let plan = plan.map_err(|mistakes| NotRun::Invalid(mistakes.render(&source, Look::Plain)))?;
        if plan.commits.is_some() {
            return Err(NotRun::OfCommits);
        }
        let refused = |found| NotRun::Invalid(Mistakes::of(found, &self.inputs).render(&source, Look::Plain));
        let plan = plan.at_home().map_err(refused)?;
        let mut plan = plan.select(&self.selection).ok_or(NotRun::NothingSelected)?;
        let handlers = handlers::open(&self.handlers, &mut plan).await?;
        let run = coordinator::fresh_id();
        let out = self.out.unwrap_or_else(|| std::env::temp_dir().join(format!("meshproof-{}", run.0)));
        let options = Options {
            out: std::path::absolute(&out).map_err(io("find", &out))?,
            seed: self.seed.unwrap_or_else(coordinator::fresh_seed),
            deadline: self.deadline,
            binary: Some(self.binary.unwrap_or_else(default_binary)),
            ..Options::new(run, plan_dir)
        };
        let out = options.out.clone();
        let source = Arc::new(source);
        let exit = coordinator::run(Arc::new(plan), Arc::clone(&source), options).await;
        let panics = handlers.panics();
        assert!(panics.is_empty(), "{}; more in {}", panics.join("\n"), out.display());
        let records = journal::read(&out.join(journal::FILE_NAME))?;
        Ok(Ran { exit, records, out, source })
    }
}

fn default_binary() -> PathBuf {
    std::env::var_os("MESHPROOF_BIN").map_or_else(|| PathBuf::from("meshproof"), PathBuf::from)
}

/// A run that is over.
#[derive(Debug)]
pub struct Ran {
    exit: Exit,
    records: Vec<Record>,
    out: PathBuf,
    source: Arc<plan::Source>,
}

impl Ran {
    /// What it came to; a run that did not come to its end is an error.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let ended = self.records.iter().rev().find_map(|record| match &record.entry.what {
            Happening::RunEnded { verdict, .. } => Some(*verdict),
            _ => None,
        });
        ended.unwrap_or(Verdict::Error)
    }

    /// The exit code of the same run on the command line.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.exit.code()
    }

    /// Everything that happened, in order: the journal.
    #[must_use]
    pub fn events(&self) -> &[Record] {
        &self.records
    }

    /// What did not hold.
    pub fn failures(&self) -> impl Iterator<Item = &FailureRecord> {
        self.records.iter().filter_map(|record| match &record.entry.what {
            Happening::Failure(failure) => Some(&**failure),
            _ => None,
        })
    }

    /// The folder with journal, JUnit report and logs.
    #[must_use]
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Panics with everything that did not hold, as the command line shows it.
    ///
    /// # Panics
    /// The run did not pass.
    #[track_caller]
    pub fn assert_passed(&self) {
        if self.verdict() == Verdict::Pass && self.exit == Exit::Passed {
            return;
        }
        let failures: String =
            self.failures().map(|failed| failure::block(&self.source, failed, Style::Plain) + "\n").collect();
        panic!("{}: {} (exit code {})\n{failures}", self.source.path(), self.verdict(), self.exit.code());
    }
}
