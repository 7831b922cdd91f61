//! `meshproof web`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap_complete::ArgValueCandidates;
use meshproof_proto::verdict::Exit;
use tokio_util::sync::CancellationToken;

use super::chat::reads_lines;
use super::completions;
use super::mesh::{LocalAddresses, stopped};
use crate::console::find;
use crate::keeper::folder::RunFolder;
use crate::mesh_file::MeshFile;
use crate::say;
use crate::web::access::Pass;
use crate::web::server::{self, Config};

/// The arguments of `meshproof web`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof web                                   of the run that goes on\n  \
    meshproof web r-9d07 --listen 127.0.0.1:8765    of this one, at a port that stays\n  \
    meshproof web --mesh me.toml                    of a mesh of your own",
    after_help = "Open a URL that it prints: what stands behind the # lets whoever has it in, until this process ends.\n\n\
    Exit codes: 2 usage, or no such run goes on, 5 a failure in the mesh, 130 Ctrl-C, 143 SIGTERM."
)]
pub(super) struct Args {
    /// A run that goes on. Default: the one that does.
    #[arg(value_name = "RUN", conflicts_with = "mesh", add = ArgValueCandidates::new(completions::running))]
    run: Option<String>,
    /// A mesh file, with a console's or an observer's token.
    #[arg(long, value_name = "FILE")]
    mesh: Option<String>,
    /// Where the page is served. Only browsers of this machine reach it.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The name that others see, and the run's journal keeps. Default: your user's.
    #[arg(long = "as", value_name = "NAME", env = "USER", default_value = "someone")]
    person: String,
    /// Where to answer /healthz, /readyz and /metrics over HTTP, as in `0.0.0.0:9464`. Default: only where the page is served.
    #[arg(long, value_name = "ADDRESS")]
    health: Option<SocketAddr>,
    #[command(flatten)]
    local: LocalAddresses,
}

/// Serves the page until it is stopped.
pub(super) fn run(args: Args) -> Exit {
    super::log_to_stderr();
    let ways = match ways(&args) {
        Ok(ways) => ways,
        Err((why, exit)) => return say::failed(&why, exit),
    };
    super::runtime(super::Threads::Two).block_on(async {
        let stops = stopped();
        let listener = match server::listen(args.listen) {
            Ok(listener) => listener,
            Err(error) => return say::failed(&format!("cannot serve the page: {error}"), Exit::Usage),
        };
        let address = match listener.local_addr() {
            Ok(address) => address,
            Err(error) => return say::failed(&error, Exit::MeshFailed),
        };
        let passes: Vec<Pass> = ways
            .into_iter()
            .map(|(token, pass)| {
                let may =
                    if pass.commands() { "asks, disturbs and commands, as `meshproof chat`" } else { "only looks" };
                let _ = say::out(&format!("http://{address}/#{token}  {may}\n"));
                pass
            })
            .collect();
        say::note("until Ctrl-C; who has a URL has what it lets in to");
        let stop = CancellationToken::new();
        let config = Config {
            passes,
            person: args.person,
            addresses: args.local.addresses.addresses(),
            reads_lines: reads_lines(args.local.clone()),
            health: args.health,
        };
        let mut served = tokio::spawn(server::serve(listener, config, stop.clone()));
        tokio::select! {
            exit = stops => {
                stop.cancel();
                // whoever says it twice does not wait for what was begun at a page
                tokio::select! {
                    _ = &mut served => exit,
                    again = stopped() => again,
                }
            }
            served = &mut served => match served {
                Ok(Ok(())) => Exit::Passed,
                Ok(Err(error)) => say::failed(&format!("{error:#}"), Exit::MeshFailed),
                Err(error) => say::failed(&error, Exit::Bug),
            },
        }
    })
}

/// The tokens of pages, each with what it lets in to. A run has one to command and one to look with.
fn ways(args: &Args) -> Result<Vec<(String, Pass)>, (String, Exit)> {
    let wanted = args.run.as_deref().or(args.mesh.as_deref());
    let path = find::place(wanted).map_err(|error| (error.to_string(), error.exit()))?;
    let mut paths = vec![path.clone()];
    if let Some(folder) = path.parent() {
        let observers = RunFolder::new(folder.to_owned()).observers_mesh();
        paths.extend(args.mesh.is_none().then_some(observers));
    }
    paths.into_iter().map(pass).collect()
}

fn pass(path: PathBuf) -> Result<(String, Pass), (String, Exit)> {
    let file = MeshFile::read(&path).map_err(|error| (error.to_string(), Exit::Usage))?;
    Pass::new(path, file).map_err(|error| (error.to_string(), Exit::Usage))
}
