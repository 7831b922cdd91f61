//! `meshproof bench`.

use std::time::Duration;

use meshproof_proto::limits::{BENCH_LONGEST, BENCH_PINGS};
use meshproof_proto::verdict::Exit;

use super::mesh;
use crate::console::Console;
use crate::console::bench::{self, Wish};
use crate::say;

/// The arguments of `meshproof bench`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof bench --between shop ledger\n  \
    meshproof bench --between shop ledger --seconds 10 --pings 1000 --json",
    after_help = mesh::EXIT_CODES
)]
pub(super) struct Args {
    #[command(flatten)]
    mesh: mesh::MeshArgs,
    /// The two agents. The first measures: round trips, then bytes to the second, then bytes back.
    #[arg(long, num_args = 2, value_names = ["AGENT", "AGENT"], required = true)]
    between: Vec<String>,
    /// Seconds of sending, each way.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=BENCH_LONGEST.as_secs()))]
    seconds: u64,
    /// Round trips.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=i64::from(BENCH_PINGS)))]
    pings: u32,
    /// One JSON document; progress goes to standard error.
    #[arg(long)]
    json: bool,
}

/// Measures the link of two agents. They carry all of it themselves.
pub(super) fn run(args: &Args) -> Exit {
    let [from, to] = &args.between[..] else {
        return say::failed(&"two agents were expected, as in `--between shop ledger`", Exit::Usage);
    };
    if from == to {
        return say::failed(&format!("a link has two ends, and `{from}` is one; name another agent"), Exit::Usage);
    }
    let wish = Wish { from: from.clone(), to: to.clone(), pings: args.pings, lasts: Duration::from_secs(args.seconds) };
    mesh::with_console(&args.mesh, async |console: &mut Console| {
        let tell = |line: String| if args.json { say::note(line) } else { drop(say::out(&format!("{line}\n"))) };
        match Box::pin(bench::bench(console, &wish, tell)).await {
            Ok(report) => {
                let document = args.json.then(|| format!("{:#}\n", bench::json(&wish, &report)));
                say::result(&document.unwrap_or_default())
            }
            Err(error) => say::failed(&error, error.exit()),
        }
    })
}
