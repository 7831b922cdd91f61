//! `meshproof attach`.

use std::net::SocketAddr;

use clap_complete::{ArgValueCandidates, ArgValueCompleter};
use meshproof_proto::verdict::Exit;

use super::completions;
use super::history::Place;
use super::mesh::{LocalAddresses, stopped};
use crate::attach::{self, AttachError, End};
use crate::console::{Console, find};
use crate::coordinator::{self, Seen};
use crate::local::KeptMesh;
use crate::progress::Mode;
use crate::say;

/// The arguments of `meshproof attach`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof attach                     the run that goes on\n  \
    meshproof attach r-9d07              this one, or what it was if it has ended\n  \
    meshproof attach last --progress json | jq .what\n  \
    meshproof attach --mesh me.toml      the run that goes on in this mesh, whichever machine commands it\n  \
    meshproof attach --standby           wait; should the run's orchestrator be gone, go on in its place",
    after_help = "Exit codes: those of the run (`meshproof run --help`); 5 also if it broke off, 2 if there is no such run,\n\
    130 Ctrl-C, which leaves the run alone; once it was taken over, Ctrl-C ends it."
)]
pub(super) struct Args {
    /// A run: its name, a beginning of it, `last`, or the folder of its reports. Default: the one that goes on.
    #[arg(add = ArgValueCandidates::new(completions::runs))]
    pub(super) run: Option<String>,
    /// Command the run from now on, in the place of an orchestrator that died or hangs: with the promises of more than half of its
    /// agents, from what they remember. One that comes back follows.
    #[arg(long)]
    take_over: bool,
    /// Wait, and take the run over once its orchestrator is gone.
    #[arg(long, conflicts_with = "take_over")]
    standby: bool,
    /// Follow a run of this mesh, from any machine that can join it: whoever commands the run sends its journal. A mesh file, or a run
    /// that goes on here.
    #[arg(
        long,
        value_name = "RUN|FILE",
        conflicts_with_all = ["take_over", "standby"],
        add = ArgValueCompleter::new(completions::running_or_file)
    )]
    mesh: Option<String>,
    #[command(flatten)]
    local: LocalAddresses,
    /// With --take-over or --standby: answer /healthz, /readyz and /metrics there, as in `--health 127.0.0.1:9464`. Default: nowhere.
    #[arg(long, value_name = "ADDRESS")]
    health: Option<SocketAddr>,
    /// How to show what happens.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    progress: Mode,
    #[command(flatten)]
    place: Place,
}

impl Args {
    /// Whether it follows a run and does no more.
    pub(super) fn only_looks(&self) -> bool {
        !self.take_over && !self.standby
    }
}

/// Follows a run to its end.
pub(super) fn run(args: &Args) -> Exit {
    super::log_to_stderr();
    if args.take_over || args.standby {
        return command(args);
    }
    if args.health.is_some() {
        return say::failed(&"--health is for whoever may command the run: add --standby or --take-over", Exit::Usage);
    }
    if let Some(mesh) = &args.mesh {
        return over(mesh, args);
    }
    let folder = match args.place.find(args.run.as_deref()) {
        Ok(folder) => folder,
        Err(error) => return say::failed(&error, error.exit()),
    };
    super::runtime(super::Threads::One).block_on(async {
        let ended = tokio::select! {
            ended = attach::follow(&folder, args.progress) => ended,
            exit = stopped() => return exit,
        };
        exit_of(ended, || {
            format!("its orchestrator died, and nobody went on with it; what it saw is in {}", folder.display())
        })
    })
}

/// What a run that was followed comes to; `why` it broke off, if it did.
fn exit_of(ended: Result<End, AttachError>, why: impl FnOnce() -> String) -> Exit {
    match ended {
        Ok(End::Ended { exit }) => Exit::from_code(exit).unwrap_or(Exit::MeshFailed),
        Ok(End::Unread) => Exit::Passed,
        Ok(End::BrokeOff { run }) => say::failed(&format!("{run} broke off: {}", why()), Exit::MeshFailed),
        Err(error) => say::failed(&error, error.exit()),
    }
}

/// Follows a run of a mesh, whoever commands it and wherever.
fn over(mesh: &str, args: &Args) -> Exit {
    let file = match find::find(Some(mesh)) {
        Ok(file) => file,
        Err(error) => return say::failed(&error, error.exit()),
    };
    super::runtime(super::Threads::Two).block_on(async {
        let mut console = match Console::join(file, args.local.addresses.addresses()) {
            Ok(console) => console,
            Err(error) => return say::failed(&error, Exit::MeshFailed),
        };
        console.seek_commanders();
        let ended = tokio::select! {
            ended = Box::pin(attach::follow_over(&mut console, args.run.as_deref(), args.progress)) => ended,
            exit = stopped() => return exit,
        };
        console.leave().await;
        exit_of(ended, || {
            "whoever commanded it is gone, and none of its agents waits for another; what it saw is where it was started".to_owned()
        })
    })
}

/// Goes on with a run, now or once nobody else does.
fn command(args: &Args) -> Exit {
    let running = match attach::running(args.run.as_deref()) {
        Ok(running) => running,
        Err(error) => return say::failed(&error, error.exit()),
    };
    let kept = match KeptMesh::of(&running) {
        Ok(kept) => kept,
        Err(error) => return say::failed(&error, Exit::MeshFailed),
    };
    super::runtime(super::Threads::Two).block_on(async {
        let seen = Seen { progress: args.progress, health: args.health };
        let done = match args.standby {
            true => Box::pin(coordinator::stand_by(kept, seen)).await,
            false => Box::pin(coordinator::take_over(kept, seen)).await,
        };
        done.unwrap_or_else(|error| say::failed(&error, error.exit()))
    })
}
