//! `meshproof show`.

use clap_complete::ArgValueCandidates;
use meshproof_proto::verdict::Exit;
use serde_json::json;

use super::completions;
use super::history::Place;
use super::mesh::{self, LocalAddresses, MeshArgs};
use crate::console::{Console, Holding, holding};
use crate::history::{Brief, Finish, State};
use crate::local;
use crate::record::now_ms;
use crate::report::sanitise;
use crate::report::table::span;
use crate::say;

/// The arguments of `meshproof show`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof show                       the run that goes on: what each agent holds of it\n  \
    meshproof show last                  what a run came to\n  meshproof show r-9d07 --json | jq '.agents[].term'",
    after_help = "Exit codes: 0 shown, 2 usage, or there is no such run, 5 an agent holds another plan or term, or does not answer."
)]
pub(super) struct Args {
    /// A run: its name, a beginning of it, `last`, or the folder of its reports. Default: the one that goes on.
    #[arg(add = ArgValueCandidates::new(completions::runs))]
    pub(super) run: Option<String>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    local: LocalAddresses,
}

/// Shows a run, and what its agents hold of it.
pub(super) fn run(args: Args) -> Exit {
    let brief = args.place.find(args.run.as_deref()).and_then(|folder| Ok(Brief::read(&folder)?));
    let brief = match brief {
        Ok(brief) => brief,
        Err(error) => return say::failed(&error, error.exit()),
    };
    let shown = if args.json { document } else { text };
    let running = local::running().unwrap_or_default();
    let has_mesh = brief.state == State::GoesOn && running.iter().any(|running| running.run == brief.run);
    if !has_mesh {
        return say::result(&shown(&brief, &[]));
    }
    let mesh = MeshArgs { mesh: Some(brief.run.clone()), local: args.local };
    mesh::with_console(&mesh, async |console: &mut Console| {
        let holdings = console.holdings().await;
        match say::result(&shown(&brief, &holdings)) {
            Exit::Passed if !holdings.iter().all(|holding| holding.is_of(&brief)) => {
                let why = format!("not every agent holds {} as its orchestrator began it", brief.run);
                say::failed(&why, Exit::MeshFailed)
            }
            said => said,
        }
    })
}

fn document(brief: &Brief, agents: &[Holding]) -> String {
    let digest = brief.digest.map(|digest| digest.to_string());
    let document = json!({ "run": brief, "digest": digest, "term": brief.term, "agents": agents });
    format!("{document:#}\n")
}

fn text(brief: &Brief, agents: &[Holding]) -> String {
    let table = if agents.is_empty() { String::new() } else { format!("\n{}", holding::text(brief, agents)) };
    beginning(brief) + &table
}

/// Everything that is known of a run without asking anybody.
fn beginning(brief: &Brief) -> String {
    let since = span(now_ms().saturating_sub(brief.began_ms));
    let state = match &brief.state {
        State::GoesOn => format!("goes on since {since}"),
        State::BrokeOff => format!("broke off; it began {since} ago"),
        State::Ended(Finish { verdict, exit, duration_ms }) => {
            format!("{verdict} (exit code {exit}) after {:.1} s; it began {since} ago", duration_ms / 1_000.0)
        }
    };
    let digest = brief.digest.map(|digest| digest.to_string()).unwrap_or_default();
    let term = brief.term.map(|term| term.0.to_string()).unwrap_or_default();
    let lines = [
        ("run", brief.run.clone()),
        ("plan", format!("{} ({})", brief.plan, brief.file)),
        ("digest", digest),
        ("term", term),
        ("seed", brief.seed.to_string()),
        ("state", state),
        ("tests", brief.tests_in_words()),
        ("reports", brief.folder.display().to_string()),
    ];
    lines.into_iter().map(|(word, text)| format!("{word:>9} {}\n", sanitise::line(&text))).collect()
}
