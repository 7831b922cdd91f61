//! `meshproof links`.

use std::io::IsTerminal as _;

use meshproof_proto::verdict::Exit;

use super::mesh;
use crate::console::{Console, Look, limits, links};
use crate::say::{self, Reader};

/// The arguments of `meshproof links`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof links                      the links of the run that goes on\n  \
    meshproof links --watch              the same, ever again, until Ctrl-C\n  \
    meshproof links --json | jq '.links[] | select(.state != \"up\")'",
    after_help = mesh::EXIT_CODES
)]
pub(super) struct Args {
    #[command(flatten)]
    mesh: mesh::MeshArgs,
    /// One JSON document; with --watch one a line.
    #[arg(long)]
    json: bool,
    /// Look again every second until Ctrl-C.
    #[arg(long)]
    watch: bool,
}

/// Shows the links of a mesh.
pub(super) fn run(args: &Args) -> Exit {
    mesh::with_console(&args.mesh, async |console: &mut Console| {
        loop {
            let look = console.look().await;
            if !args.watch {
                return say::result(&text(args, &look));
            }
            match say::out(&text(args, &look)) {
                Ok(Reader::Reads) => console.attend(limits::WATCH_EVERY).await,
                Ok(Reader::Gone) => return Exit::Passed,
                Err(error) => return say::unwritten(&error),
            }
        }
    })
}

fn text(args: &Args, look: &Look) -> String {
    match (args.json, args.watch) {
        (true, false) => format!("{:#}\n", links::json(look)),
        (true, true) => format!("{}\n", links::json(look)),
        (false, false) => links::text(look),
        // home, and clear what was below it
        (false, true) if std::io::stdout().is_terminal() => format!("\x1b[H\x1b[J{}", links::text(look)),
        (false, true) => format!("{}\n", links::text(look)),
    }
}
