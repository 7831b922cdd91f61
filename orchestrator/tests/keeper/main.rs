//! The keeper and the orchestrator's side of it, with real processes. Only signaling and the agents are stand-ins; the
//! keeper is this binary, started again.

mod endings;
mod services;
mod support;

use clap::Parser;
use meshproof::keeper;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: keeper::Args,
}

#[test]
#[ignore = "not a test: the keeper that the others start"]
fn this_is_the_keeper() {
    let Ok(arguments) = std::env::var("KEEPER_ARGS") else { return };
    let Command { args } = Command::parse_from(["keep"].into_iter().chain(arguments.split(' ')));
    support::runtime().block_on(keeper::run(args)).expect("the keeper ends well");
}
