//! Makes a run happen: builds, makes the environment, joins the mesh, and then carries orders out and answers in.
//!
//! What happens next is decided by [`crate::run::Run`], which is pure; here is the shell around it, with one loop that waits
//! for agents, processes, signals and time. Everything that is said goes through the journal first. What lives here may know
//! the mesh and the environment; it never decides about steps, and never knows stubs, proxies or processes.

mod authority;
mod build;
mod claiming;
mod clustered;
mod conduct;
mod confided;
mod copies;
mod crew;
mod driver;
mod failover;
mod files;
mod followers;
pub(crate) mod front;
mod gathering;
mod health;
mod held;
mod intake;
pub(crate) mod invoked;
mod limits;
mod network;
mod orders;
mod outcome;
mod programs;
mod ready;
mod remembering;
mod scribe;
mod signals;
mod stall;
mod standbys;
mod standing;
mod succession;
mod superseded;
mod taking_over;
mod teardown;
mod turn;
mod windows;
mod witness;
mod zones;

pub use succession::NotTakenOver;
pub use taking_over::{Seen, stand_by, take_over};

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::id::{Name, RunId};
use meshproof_proto::verdict::Exit;
use tokio_util::sync::CancellationToken;

use crate::cluster;
use crate::local::Engine;
use crate::memory::Given;
use crate::mesh_file::MeshFile;
use crate::plan::{Plan, Source};
use crate::progress::{FailureOutput, Mode, StatusLevel};
use crate::run::{FirstFailure, Flaky};

/// How to run a plan.
#[derive(Debug, Clone)]
pub struct Options {
    pub run: RunId,
    /// Absolute.
    pub plan_dir: PathBuf,
    /// Where reports go, absolute.
    pub out: PathBuf,
    pub mode: Mode,
    pub status_level: StatusLevel,
    pub failure_output: FailureOutput,
    pub seed: u64,
    pub flaky: Flaky,
    pub first_failure: FirstFailure,
    /// The run ends after so long, counted from its begin.
    pub deadline: Option<Duration>,
    /// What stood after `meshproof run`, so that the run can be started again; empty: the command did not start it.
    pub arguments: Vec<String>,
    /// What the plan was given, so that another orchestrator can go on with the run; none: nobody can.
    pub given: Option<Given>,
    /// The meshproof binary, whose subcommands are the other processes of a run; none: this process's own.
    pub binary: Option<PathBuf>,
    /// Where machines ask how it is; none: nowhere.
    pub health: Option<SocketAddr>,
    /// The mesh that it runs in; none: one of its own, made for it.
    pub mesh: Option<Standing>,
    /// The cluster that its own mesh is made in; none: nobody's.
    pub cluster: Option<Clustered>,
    /// Whose containers the services and agents of its own mesh live in; none: nobody's.
    pub on: Option<Engine>,
    /// How long agents are waited for that take part in another run; none: that one is named, and the run ends.
    pub wait: Option<Duration>,
    /// Ends the run as Ctrl-C does, for whoever has it in this process.
    pub stop: CancellationToken,
}

/// A mesh that is there already, with its agents and the services beside them.
#[derive(Debug, Clone)]
pub struct Standing {
    /// With the token of an orchestrator.
    pub file: MeshFile,
    /// Where this process can be reached.
    pub addresses: Vec<IpAddr>,
    /// Services for which this machine stands in: their agents have joined, and no other may be there.
    pub here: Vec<Name>,
}

/// A cluster that has room for a run.
#[derive(Debug, Clone)]
pub struct Clustered {
    pub wanted: Arc<cluster::Wanted>,
    /// Where this process can be reached from there; where it cannot, its links are relayed by signaling.
    pub addresses: Vec<IpAddr>,
}

impl Options {
    /// What a run is without further wishes: quiet, in a folder that must still be named.
    #[must_use]
    pub fn new(run: RunId, plan_dir: PathBuf) -> Self {
        Self {
            run,
            plan_dir,
            out: PathBuf::new(),
            mode: Mode::Quiet,
            status_level: StatusLevel::default(),
            failure_output: FailureOutput::default(),
            seed: 0,
            flaky: Flaky::default(),
            first_failure: FirstFailure::default(),
            deadline: None,
            arguments: Vec::new(),
            given: None,
            binary: None,
            health: None,
            mesh: None,
            cluster: None,
            on: None,
            wait: None,
            stop: CancellationToken::new(),
        }
    }
}

/// The id of a new run.
#[must_use]
pub fn fresh_id() -> RunId {
    RunId(format!("r-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]))
}

/// A seed that nobody has chosen.
#[must_use]
pub fn fresh_seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0 >> 16
}

/// Runs a plan on this machine, from its build to the last process's end.
pub async fn run(plan: Arc<Plan>, source: Arc<Source>, options: Options) -> Exit {
    match driver::Driver::new(plan, source, options) {
        Ok(driver) => Box::pin(driver.drive()).await,
        Err(error) => {
            // nothing was started: what failed is the folder for the reports, or an address
            crate::say::failed(&format!("{error:#}"), Exit::Usage)
        }
    }
}
