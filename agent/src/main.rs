//! The agent as a process of its own, as in a sidecar container.

use std::process::ExitCode;

use clap::Parser;
use meshproof_agent::cli::{self, Args};
use meshproof_agent::own_log;

/// Acts for one service under test, in a meshproof mesh
#[derive(Parser)]
#[command(name = "meshproof-agent", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// One thread: an agent waits most of the time, and has to stay small.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    own_log::mask_panics();
    own_log::to_stderr_as_named("RUST_LOG", "warn,meshproof_agent=info");
    match cli::run(Cli::parse().args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
