//! `meshproof import`.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use meshproof_proto::verdict::Exit;

use crate::commits::import::import;
use crate::report::sanitise;
use crate::say;

/// The arguments of `meshproof import`.
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  meshproof import config.json              the plan on standard output\n  \
    meshproof import config.json commits.yaml && meshproof run commits.yaml")]
pub(super) struct Args {
    /// With `ws_url`, `repo_url`, `user_id`, `chat_id`, `project_type`, `test_command` and `commits`.
    config: PathBuf,
    /// Where the plan goes; a file that is there stays as it is. Default: standard output.
    plan: Option<PathBuf>,
}

/// Writes the plan, and says what became of each key.
pub(super) fn run(args: &Args) -> Exit {
    let shown = args.config.display();
    let text = match std::fs::read_to_string(&args.config) {
        Ok(text) => text,
        Err(error) => return say::failed(&format!("cannot read {shown}: {error}"), Exit::Usage),
    };
    let imported = match import(&text) {
        Ok(imported) => imported,
        Err(error) => return say::failed(&format!("{shown}: {error}"), Exit::Usage),
    };
    for (key, became) in &imported.became {
        say::note(format_args!("{:>14} {}", sanitise::line(key), sanitise::line(became)));
    }
    let Some(plan) = &args.plan else { return say::result(&imported.plan) };
    let written = File::create_new(plan).and_then(|mut file| file.write_all(imported.plan.as_bytes()));
    match written {
        Ok(()) => Exit::Passed,
        Err(error) => say::failed(&format!("cannot write {}: {error}", plan.display()), Exit::Usage),
    }
}
