//! `meshproof links`.

use std::io::{IsTerminal as _, Write as _};

use meshproof_proto::verdict::Exit;

use super::mesh;
use crate::console::{Console, Look, limits, links};

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
            // who reads may have seen enough: that is no failure
            if show(args, &look).is_err() || !args.watch {
                return Exit::Passed;
            }
            console.attend(limits::WATCH_EVERY).await;
        }
    })
}

fn show(args: &Args, look: &Look) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match (args.json, args.watch) {
        (true, false) => writeln!(out, "{:#}", links::json(look))?,
        (true, true) => writeln!(out, "{}", links::json(look))?,
        (false, false) => write!(out, "{}", links::text(look))?,
        // home, and clear what was below it
        (false, true) if out.is_terminal() => write!(out, "\x1b[H\x1b[J{}", links::text(look))?,
        (false, true) => writeln!(out, "{}", links::text(look))?,
    }
    out.flush()
}
