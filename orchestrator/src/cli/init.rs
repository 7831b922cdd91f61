//! `meshproof init`: a small plan to begin with, which passes.

use std::io::Write as _;
use std::path::PathBuf;

use meshproof_proto::verdict::Exit;

use crate::say;

/// What is written; a test runs it.
const PLAN: &str = include_str!("init/plan.yaml");

/// The arguments of `meshproof init`.
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  meshproof init && meshproof run plan.yaml", after_help = super::ONLY_USAGE)]
pub(super) struct Args {
    /// The file to write; one that is there stays as it is.
    #[arg(default_value = "plan.yaml")]
    plan: PathBuf,
}

/// Writes the plan.
pub(super) fn run(args: &Args) -> Exit {
    let shown = args.plan.display();
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&args.plan);
    match file.and_then(|mut file| file.write_all(PLAN.as_bytes())) {
        Ok(()) => say::result(&format!("{shown} is written; run it with `meshproof run {shown}`\n")),
        Err(error) => say::failed(&format!("cannot write {shown}: {error}"), Exit::Usage),
    }
}
