//! What the processes do. Each ends when its standard input does, and is killed when the test that started it dies.

mod crowd;
mod peer;
mod signaling;
mod spinner;
mod talk;
pub mod trust;
mod tunnel;
mod watcher;
mod work;

use std::process::ExitCode;

use crate::wire::{Part, Ways};

/// How nice those are who fight for processor time: they take little from the scenarios beside theirs.
pub const NICE: i32 = 19;

/// Says to a process which part is its own.
pub const VARIABLE: &str = "MESHPROOF_HEALING_PART";

/// The part of this process, if it is not the test itself.
pub fn mine() -> Option<Part> {
    let part = std::env::var(VARIABLE).ok()?;
    Some(serde_json::from_str(&part).expect("the scenario is this very program"))
}

pub fn play(part: Part) -> ExitCode {
    // a test that is killed leaves nobody behind, not even who stands still
    let died = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    died.expect("every process may ask for that");
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("threads can be had");
    let played = runtime.block_on(async {
        match part {
            Part::Peer { name, ways } => peer::play(trust::config(&name, ways, Vec::new())).await,
            Part::Crowd { first, count, signaling, address } => {
                crowd::play(
                    (first..first + count)
                        .map(|n| trust::config(&format!("agent-{n}"), Ways::by(&signaling), vec![address])),
                )
                .await
            }
            Part::Signaling { listen } => signaling::play(&listen).await,
            Part::Service => talk::serve().await,
            Part::Customer { port } => talk::visit(port).await,
            Part::Spinner { threads } => spinner::play(threads).await,
            Part::Watcher => watcher::play().await,
        }
    });
    runtime.shutdown_background();
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
