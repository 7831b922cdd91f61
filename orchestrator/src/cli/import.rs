//! `meshproof import`.

use std::fmt::Display;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use meshproof_proto::verdict::Exit;

use crate::import::testground::{self, Wishes};
use crate::import::{Imported, commits};
use crate::report::sanitise;
use crate::say;

/// The arguments of `meshproof import`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof import config.json              the plan on standard output\n  \
    meshproof import config.json commits.yaml && meshproof run commits.yaml\n  \
    meshproof import testground manifest.toml composition.toml plan.yaml",
    after_help = super::ONLY_USAGE,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(super) struct Args {
    /// With `ws_url`, `repo_url`, `user_id`, `chat_id`, `project_type`, `test_command` and `commits`
    #[arg(required = true)]
    config: Option<PathBuf>,
    /// Where the plan goes; a file that is there stays as it is. Default: standard output
    plan: Option<PathBuf>,
    #[command(subcommand)]
    from: Option<From>,
}

/// Of which tool.
#[derive(Debug, Subcommand)]
enum From {
    /// A test plan of Testground and one of its compositions
    #[command(
        before_help = "Examples:\n  meshproof import testground manifest.toml composition.toml plan.yaml && meshproof run plan.yaml\n  \
        meshproof import testground manifest.toml composition.toml --exec 'node ping.js'",
        after_help = super::ONLY_USAGE
    )]
    Testground(TestgroundArgs),
}

#[derive(Debug, clap::Args)]
struct TestgroundArgs {
    /// `manifest.toml` of the test plan
    manifest: PathBuf,
    /// A composition of it
    composition: PathBuf,
    /// Where the plan goes, beside the manifest as a rule; a file that is there stays as it is. Default: standard output
    plan: Option<PathBuf>,
    /// The program that instances run, where the builder makes an image
    #[arg(long, value_name = "LINE")]
    exec: Option<String>,
    /// Which of the composition's runs
    #[arg(long, value_name = "ID")]
    run: Option<String>,
}

/// Writes the plan, and says what became of each key.
pub(super) fn run(args: &Args) -> Exit {
    let imported = match (&args.from, &args.config) {
        (Some(From::Testground(args)), _) => of_testground(args),
        (None, Some(config)) => read(config)
            .and_then(|text| commits::import(&text).map_err(|error| format!("{}: {error}", config.display()))),
        (None, None) => Err("a file to import is missing".to_owned()),
    };
    let imported = match imported {
        Ok(imported) => imported,
        Err(error) => return say::failed(&error, Exit::Usage),
    };
    let width = imported.became.iter().map(|(key, _)| key.chars().count()).max().unwrap_or_default();
    for (key, became) in &imported.became {
        say::note(format_args!("{:>width$} {}", sanitise::line(key), sanitise::line(became)));
    }
    let plan = match &args.from {
        Some(From::Testground(args)) => args.plan.as_deref(),
        None => args.plan.as_deref(),
    };
    let Some(plan) = plan else { return say::result(&imported.plan) };
    let written = File::create_new(plan).and_then(|mut file| file.write_all(imported.plan.as_bytes()));
    match written {
        Ok(()) => Exit::Passed,
        Err(error) => say::failed(&format!("cannot write {}: {error}", plan.display()), Exit::Usage),
    }
}

fn of_testground(args: &TestgroundArgs) -> Result<Imported, String> {
    let (manifest, composition) = (read(&args.manifest)?, read(&args.composition)?);
    let wishes = Wishes { exec: args.exec.clone(), run: args.run.clone() };
    testground::import((&manifest, &composition), &wishes).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<String, String> {
    let cannot = |error: &dyn Display| format!("cannot read {}: {error}", path.display());
    std::fs::read_to_string(path).map_err(|error| cannot(&error))
}
