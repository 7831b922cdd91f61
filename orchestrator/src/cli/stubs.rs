//! `meshproof stubs`.

use meshproof_proto::verdict::Exit;

use super::mesh;
use crate::console::{Console, stubs};
use crate::say;

/// The arguments of `meshproof stubs`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof stubs                      calls of each route, last calls and health, of the run that goes on\n  \
    meshproof stubs payments             of this stub\n  \
    meshproof stubs payments --purge     it forgets every call, and its routes are the plan's again\n  \
    meshproof stubs --json | jq '.stubs[] | {stub, calls}'",
    after_help = mesh::EXIT_CODES
)]
pub(super) struct Args {
    /// Only this stub.
    #[arg(value_name = "STUB")]
    stub: Option<String>,
    /// Make the stub forget every call, as at the beginning of a test.
    #[arg(long, requires = "stub")]
    purge: bool,
    #[command(flatten)]
    mesh: mesh::MeshArgs,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Whether no stub forgets anything.
    pub(super) fn only_looks(&self) -> bool {
        !self.purge
    }
}

/// Shows what stubs hold, or makes one forget it.
pub(super) fn run(args: &Args) -> Exit {
    mesh::with_console(&args.mesh, async |console: &mut Console| {
        let all = console.stubs().await;
        let known: Vec<String> = all.stubs.iter().map(|(_, stub)| stub.name.clone()).collect();
        let found = all.only(args.stub.as_deref());
        if let (Some(wanted), true) = (&args.stub, found.stubs.is_empty()) {
            let known = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
            let why = format!("there is no stub `{wanted}` in this mesh; known: {known}");
            return say::failed(&why, Exit::Usage);
        }
        let found = match args.purge {
            false => found,
            true => match console.purge(&found).await {
                Ok(()) => console.stubs().await.only(args.stub.as_deref()),
                Err(error) => return say::failed(&error, Exit::MeshFailed),
            },
        };
        let text = if args.json { format!("{:#}\n", stubs::json(&found)) } else { stubs::text(&found) };
        say::result(&text)
    })
}
