//! `meshproof doctor`.

use meshproof_proto::verdict::Exit;

use super::history::Place;
use crate::doctor::{self, Finding, Need};
use crate::report::table::table;
use crate::say;

/// The arguments of `meshproof doctor`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof doctor\n  meshproof doctor --json | jq '.findings[] | select(.found.Err)'",
    after_help = "Exit codes: 0 plans run here, 2 usage, 5 something is missing that every plan needs."
)]
pub(super) struct Args {
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Says what this machine can do.
pub(super) fn run(args: &Args) -> Exit {
    let kept = args.place.kept();
    let runs = kept.as_ref().map(crate::history::Kept::folder).map_err(ToString::to_string);
    let findings = doctor::look(runs);
    let able = doctor::is_able(&findings);
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
