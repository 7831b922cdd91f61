//! `meshproof report` and `meshproof diff`.

use std::path::{Path, PathBuf};

use clap_complete::ArgValueCandidates;
use meshproof_proto::verdict::Exit;

use super::completions;
use super::history::Place;
use crate::attach::AttachError;
use crate::history;
use crate::journal::{self, Reader};
use crate::report::{self, Diff, HTML_FILE_NAME, ReportError, Story};
use crate::say;

/// What a report is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A page for people, in one file.
    Html,
    /// For CI servers.
    Junit,
    /// For a comment.
    Md,
    /// For programs.
    Json,
    /// For <https://ui.perfetto.dev> or chrome://tracing.
    Trace,
}

/// The arguments of `meshproof report`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof report                     a page about the last run, and where it is\n  \
    meshproof report r-9d07 --format md | gh pr comment 7 --body-file -\n  meshproof report ci-out --format trace --out trace.json",
    after_help = super::READ
)]
pub(super) struct ReportArgs {
    /// A run: its name, a beginning of it, `last`, or its folder. Default: the last one.
    #[arg(add = ArgValueCandidates::new(completions::runs))]
    pub(super) run: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Html)]
    format: Format,
    /// Where to; `-` is standard output. Default: report.html beside the journal, every other format to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum NoReport {
    #[error(transparent)]
    Find(#[from] AttachError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl NoReport {
    fn failed(&self) -> Exit {
        match self {
            Self::Find(error) => say::failed(error, error.exit()),
            Self::Report(error) => say::failed(error, Exit::MeshFailed),
        }
    }
}

/// Makes one.
pub(super) fn report(args: &ReportArgs) -> Exit {
    let made = args.place.find(Some(args.run.as_deref().unwrap_or("last"))).map_err(NoReport::from);
    let made = made.and_then(|folder| Ok((text(&folder, args.format)?, folder)));
    let (text, folder) = match made {
        Ok(made) => made,
        Err(error) => return error.failed(),
    };
    if history::goes_on(&folder.join(journal::FILE_NAME)) {
        say::note("this run still goes on; what comes now is not in the report");
    }
    let file = match (&args.out, args.format) {
        (Some(out), _) if out.as_os_str() == "-" => None,
        (Some(out), _) => Some(out.clone()),
        (None, Format::Html) => Some(folder.join(HTML_FILE_NAME)),
        (None, _) => None,
    };
    let Some(file) = file else { return say::result(&text) };
    match report::save(&file, &text) {
        Ok(()) => say::result(&format!("{}\n", report::sanitise::line(&file.to_string_lossy()))),
        Err(error) => say::failed(&error, Exit::Usage),
    }
}

fn text(folder: &Path, format: Format) -> Result<String, ReportError> {
    let path = folder.join(journal::FILE_NAME);
    if format == Format::Junit {
        return report::junit(&journal::read(&path)?);
    }
    let story = story(folder)?;
    Ok(match format {
        Format::Html | Format::Junit => report::html(&story),
        Format::Md => report::markdown(&story),
        Format::Json => report::json(&story),
        Format::Trace => report::trace(&story),
    })
}

fn story(folder: &Path) -> Result<Story, ReportError> {
    let mut story = Story::default();
    for record in Reader::open(&folder.join(journal::FILE_NAME))?.records() {
        story.take(record?);
    }
    story.finish();
    story.goes_on = story.ending.is_none() && history::goes_on(&folder.join(journal::FILE_NAME));
    Ok(story)
}

/// The arguments of `meshproof diff`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof diff r-9d07 last           what came out otherwise, took longer, used more\n  \
    meshproof diff main-out out --json",
    after_help = "Exit codes: 0 no test is worse, 1 a test that passed before does not now, 2 usage, or there is no such run,\n5 a journal cannot be read."
)]
pub(super) struct DiffArgs {
    /// The run before: its name, a beginning of it, `last`, or its folder.
    #[arg(add = ArgValueCandidates::new(completions::runs))]
    before: String,
    /// The run after.
    #[arg(default_value = "last", add = ArgValueCandidates::new(completions::runs))]
    after: String,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Holds two runs against each other.
pub(super) fn diff(args: &DiffArgs) -> Exit {
    let of = |run: &str| -> Result<Story, NoReport> { Ok(story(&args.place.find(Some(run))?)?) };
    let diff = match of(&args.before).and_then(|before| Ok(Diff::of(&before, &of(&args.after)?))) {
        Ok(diff) => diff,
        Err(error) => return error.failed(),
    };
    let text = if args.json { format!("{:#}\n", serde_json::json!(diff)) } else { diff.text() };
    match say::result(&text) {
        Exit::Passed if diff.is_worse() => Exit::Failed,
        said => said,
    }
}
