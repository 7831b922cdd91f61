//! `meshproof run`.

use std::path::PathBuf;
use std::sync::Arc;

use meshproof_proto::id::RunId;
use meshproof_proto::verdict::Exit;

use super::check;
use crate::coordinator::{self, Options};
use crate::progress::Mode;

/// The arguments of `meshproof run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 pass, 1 a check failed, 2 usage, 3 invalid plan, 5 mesh or tool failure, 8 deadline,\n\
    9 a fault could not be confirmed as healed, 70 bug, 130 Ctrl-C, 143 SIGTERM."
)]
pub(super) struct Args {
    /// The plan file.
    plan: PathBuf,
    /// A parameter of the plan: `--param card=4000`. May be given several times.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = check::param)]
    params: Vec<(String, String)>,
    /// Where reports go: events.jsonl, junit.xml, logs. Default: a folder of the run's own below the state folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How to show what happens.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    progress: Mode,
    /// Seed of jitter and generated data; printed with every run.
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs a plan to its verdict.
pub(super) fn run(args: Args) -> Exit {
    let (plan, source) = match check::read(&args.plan, &args.params) {
        Ok(read) => read,
        Err(exit) => return exit,
    };
    super::log_to_stderr();
    let prepared = options(&args);
    let options = match prepared {
        Ok(options) => options,
        Err(error) => {
            eprintln!("meshproof: {error}");
            return Exit::Usage;
        }
    };
    super::runtime(super::Threads::Two).block_on(coordinator::run(Arc::new(plan), Arc::new(source), options))
}

fn options(args: &Args) -> std::io::Result<Options> {
    let run = RunId(format!("r-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]));
    let out = match &args.out {
        Some(out) => std::path::absolute(out)?,
        None => state_dir()?.join("runs").join(&run.0),
    };
    let seed = args.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 16);
    Ok(Options { run, plan_dir: check::plan_dir(&args.plan)?, out, mode: args.progress, seed })
}

/// Where runs are kept when nothing else is said: the XDG base directory for state.
fn state_dir() -> std::io::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    let missing =
        || std::io::Error::other("neither XDG_STATE_HOME nor HOME is set; say where reports go with --out DIR");
    state.map(|state| state.join("meshproof")).ok_or_else(missing)
}
