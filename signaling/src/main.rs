//! The rendezvous server as a program of its own.

use clap::Parser;
use meshproof_signaling::cli;
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(name = "meshproof-signaling", version, about)]
struct Command {
    #[command(flatten)]
    args: cli::Args,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // an object a line, for whoever collects the logs of containers
    let is_json = std::env::var_os("MESHPROOF_LOG_FORMAT").is_some_and(|format| format == "json");
    if is_json {
        log.json().flatten_event(true).init()
    } else {
        log.init()
    }
    cli::run(command.args).await
}
