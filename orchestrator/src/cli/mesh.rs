//! What `links`, `who` and `bench` share: which mesh, how to join it, how to end.

use clap_complete::ArgValueCompleter;
use meshproof_mesh::addresses::Offered;
use meshproof_proto::verdict::Exit;
use tokio::signal::unix::{SignalKind, signal};

use super::completions;
use crate::console::{Console, find};
use crate::say;

/// Which mesh, and from where.
#[derive(Debug, clap::Args)]
pub(super) struct MeshArgs {
    /// A run that goes on, or a mesh file. Default: the one run that goes on.
    #[arg(long, value_name = "RUN|FILE", add = ArgValueCompleter::new(completions::running_or_file))]
    pub(super) mesh: Option<String>,
    #[command(flatten)]
    pub(super) local: LocalAddresses,
}

/// Where this process can be reached.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct LocalAddresses {
    /// Local addresses that other peers can reach; several are separated by commas. `auto`: those that lead to other machines, also
    /// when they change.
    #[arg(long, value_name = "ADDRESSES", env = "MESHPROOF_ADDRESSES", default_value = "127.0.0.1")]
    pub(super) addresses: Offered,
}

/// Said in every help text.
pub(super) const EXIT_CODES: &str =
    "Exit codes: 0 done, 2 usage, or no such run goes on, 5 a failure in the mesh, 70 bug, 130 Ctrl-C, 143 SIGTERM.";

/// Joins the mesh, links to its agents, and does something there until it is done or a signal comes; then leaves.
pub(super) fn with_console(args: &MeshArgs, work: impl AsyncFnOnce(&mut Console) -> Exit) -> Exit {
    super::log_to_stderr();
    let file = match find::find(args.mesh.as_deref()) {
        Ok(file) => file,
        Err(error) => return say::failed(&error, error.exit()),
    };
    let addresses = args.local.addresses.addresses();
    super::runtime(super::Threads::Two).block_on(async {
        let mut console = match Console::join(file, addresses) {
            Ok(console) => console,
            Err(error) => return say::failed(&error, Exit::MeshFailed),
        };
        let exit = tokio::select! {
            exit = async {
                match console.gather().await {
                    Ok(()) => work(&mut console).await,
                    Err(error) => say::failed(&error, Exit::MeshFailed),
                }
            } => exit,
            exit = stopped() => exit,
        };
        console.leave().await;
        exit
    })
}

/// Ctrl-C or SIGTERM, from the call on: who is stopped before the first look at this is stopped all the same.
pub(super) fn stopped() -> impl Future<Output = Exit> {
    let signals =
        signal(SignalKind::interrupt()).and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
    async {
        let Ok((mut interrupt, mut terminate)) = signals else {
            // without a handler the signal's own effect remains, which ends us
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => Exit::Interrupted,
            _ = terminate.recv() => Exit::Terminated,
        }
    }
}
