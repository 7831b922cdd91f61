//! `meshproof clean`.

use meshproof_proto::verdict::Exit;

use crate::cluster::{Forensics, Kubectl, KubectlError, clear};
use crate::local::{self, Leftover};
use crate::report::sanitise;
use crate::say;

/// The arguments of `meshproof clean`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof clean\n  meshproof clean --on kubernetes      and the namespaces of runs that are over",
    after_help = "Every `meshproof run` does the same before it starts anything, but for namespaces. Runs that go on are left alone.\n\n\
    Exit codes: 0 nothing is left, 2 usage, 5 something is still there."
)]
pub(super) struct Args {
    /// kubernetes: look into the cluster of the kubeconfig too, for namespaces of runs whose time is up or whose orchestrator was killed. Those of
    /// runs that did not pass are left until their time is up.
    #[arg(long, value_name = "WHERE", value_enum)]
    on: Option<Cluster>,
    /// With --on kubernetes: remove also the namespaces of runs that did not pass and whose time is not up.
    #[arg(long, requires = "on")]
    kept: bool,
    /// With --on kubernetes: the kubeconfig's context. Default: its current one.
    #[arg(long, value_name = "CONTEXT", requires = "on")]
    context: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Cluster {
    Kubernetes,
}

/// Says what was left, and what became of it.
pub(super) fn run(args: &Args) -> Exit {
    let leftovers = match local::clear() {
        Ok(leftovers) => leftovers,
        Err(error) => return say::failed(&error, Exit::MeshFailed),
    };
    let lost = match local::clear_lost() {
        Ok(lost) => lost,
        Err(error) => return say::failed(&error, Exit::MeshFailed),
    };
    let namespaces = match namespaces(args) {
        Ok(namespaces) => namespaces,
        Err(error) => return say::failed(&error, Exit::MeshFailed),
    };
    let lost = lost.into_iter().chain(namespaces);
    let lines = leftovers.iter().map(Leftover::to_string).chain(lost);
    let told: String = lines.map(|line| format!("{}\n", sanitise::line(&line))).collect();
    let told = if told.is_empty() { "nothing was left\n".to_owned() } else { told };
    match say::result(&told) {
        Exit::Passed if !leftovers.iter().all(Leftover::is_gone) => {
            say::failed(&"something is still there", Exit::MeshFailed)
        }
        said => said,
    }
}

/// Of runs in a cluster.
fn namespaces(args: &Args) -> Result<Vec<String>, KubectlError> {
    let Some(Cluster::Kubernetes) = args.on else { return Ok(Vec::new()) };
    let forensics = if args.kept { Forensics::Any } else { Forensics::Expired };
    let kubectl = Kubectl::new(args.context.clone());
    super::runtime(super::Threads::One).block_on(clear(&kubectl, forensics))
}
