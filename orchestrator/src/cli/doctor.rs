//! `meshproof doctor`.

use std::path::{Path, PathBuf};

use clap_complete::ArgValueCandidates;
use meshproof_proto::verdict::Exit;

use super::completions;
use super::history::Place;
use crate::doctor::{self, Finding, Need};
use crate::report;
use crate::report::table::table;
use crate::say;

/// The arguments of `meshproof doctor`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof doctor\n  meshproof doctor --bundle report.md              for a bug report: this machine, and the last run\n  \
    meshproof doctor --bundle report.md --run r-9d07\n  \
    meshproof doctor --json | jq '.findings[] | select(.found.Err)'",
    after_help = "Exit codes: 0 plans run here, 2 usage, 5 something is missing that every plan needs."
)]
pub(super) struct Args {
    /// One JSON document.
    #[arg(long)]
    json: bool,
    /// Write what a bug report needs: this machine, and a run with its report, the end of its journal and of its agents' logs.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    bundle: Option<PathBuf>,
    /// The run that it is about: its name, a beginning of it, or its folder.
    #[arg(long, default_value = "last", requires = "bundle", add = ArgValueCandidates::new(completions::runs))]
    run: String,
    #[command(flatten)]
    place: Place,
}

/// Says what this machine can do.
pub(super) fn run(args: &Args) -> Exit {
    let kept = args.place.kept();
    let runs = kept.as_ref().map(crate::history::Kept::folder).map_err(ToString::to_string);
    let findings = doctor::look(runs);
    let able = doctor::is_able(&findings);
    if let Some(file) = &args.bundle {
        return bundle(args, file, &findings);
    }
    let text = if args.json {
        format!("{:#}\n", serde_json::json!({ "able": able, "findings": findings }))
    } else {
        let rows: Vec<[String; 4]> = findings.iter().map(row).collect();
        table(["", "WHAT", "FOR", "FOUND"], &rows)
    };
    match say::result(&text) {
        Exit::Passed if !able => say::failed(&"no plan can run here until that is mended", Exit::MeshFailed),
        said => said,
    }
}

/// Without a run there is less to tell; one that was named and is not there is a mistake.
fn bundle(args: &Args, file: &Path, findings: &[Finding]) -> Exit {
    let run = match args.place.find(Some(&args.run)) {
        Ok(run) => Some(run),
        Err(_) if args.run == "last" => None,
        Err(error) => return say::failed(&error, error.exit()),
    };
    let variables = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    match report::save(file, &doctor::bundle(findings, run.as_deref(), variables)) {
        Ok(()) => say::result(&format!("{}\n", report::sanitise::line(&file.to_string_lossy()))),
        Err(error) => say::failed(&error, Exit::Usage),
    }
}

fn row(finding: &Finding) -> [String; 4] {
    let mark = match (&finding.found, finding.need) {
        (Ok(_), _) => "ok",
        (Err(_), Need::Every) => "MISSING",
        (Err(_), Need::Some | Need::Later) => "-",
    };
    let used_for = match finding.need {
        Need::Every => format!("every plan: {}", finding.used_for),
        Need::Some => finding.used_for.to_owned(),
        Need::Later => format!("nothing yet; later {}", finding.used_for),
    };
    let found = finding.found.clone().unwrap_or_else(|missing| missing);
    [mark.to_owned(), finding.what.to_owned(), used_for, found]
}
