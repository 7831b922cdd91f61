//! `meshproof who`.

use meshproof_proto::verdict::Exit;

use super::mesh;
use crate::console::{Console, who};
use crate::say;

/// The arguments of `meshproof who`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof who                        the peers of the run that goes on\n  \
    meshproof who --mesh r-9d079c3dfefb  of that run, when several go on\n  \
    meshproof who --json | jq '.peers[].name'",
    after_help = mesh::EXIT_CODES
)]
pub(super) struct Args {
    #[command(flatten)]
    mesh: mesh::MeshArgs,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

/// Shows the peers of a mesh.
pub(super) fn run(args: &Args) -> Exit {
    mesh::with_console(&args.mesh, async |console: &mut Console| {
        let look = console.look().await;
        let text = if args.json { format!("{:#}\n", who::json(&look)) } else { who::text(&look) };
        say::result(&text)
    })
}
