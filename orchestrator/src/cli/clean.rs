//! `meshproof clean`.

use meshproof_proto::verdict::Exit;

use crate::local::{self, Leftover};
use crate::report::sanitise;
use crate::say;

/// The arguments of `meshproof clean`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof clean",
    after_help = "Every `meshproof run` does the same before it starts anything. Runs that go on are left alone.\n\n\
    Exit codes: 0 nothing is left, 2 usage, 5 something is still there."
)]
pub(super) struct Args {}

/// Says what was left, and what became of it.
pub(super) fn run(_: &Args) -> Exit {
    let leftovers = match local::clear() {
        Ok(leftovers) => leftovers,
        Err(error) => return say::failed(&error, Exit::MeshFailed),
    };
    let line = |leftover: &Leftover| format!("{}\n", sanitise::line(&leftover.to_string()));
    let told = match &leftovers[..] {
        [] => "nothing was left\n".to_owned(),
        some => some.iter().map(line).collect(),
    };
    match say::result(&told) {
        Exit::Passed if !leftovers.iter().all(Leftover::is_gone) => {
            say::failed(&"something is still there", Exit::MeshFailed)
        }
        said => said,
    }
}
