//! The environment of a run on this machine: signaling, agents and services, behind a keeper process.
//!
//! This is the only place of the orchestrator that knows that they are processes. It makes the mesh's keys, the folder of
//! the run and the keeper, and then speaks the keeper's protocol. Whatever happens to this process, the keeper cleans up.

mod client;
mod collect;
mod containers;
mod environment;
mod error;
mod folders;
mod hold;
mod keys;
mod leftovers;
mod limits;
mod opening;
mod processes;
mod spec;
#[cfg(test)]
pub(crate) mod testing;
mod withheld;

pub use collect::Collect;
pub use containers::{clear_lost, contain};
pub use environment::{LocalEnvironment, Place, Wishes};
pub use error::LocalError;
pub use folders::{KeptMesh, Running, running};
pub use hold::Release;
pub use keys::ORCHESTRATOR;
pub(crate) use keys::Root;
pub use leftovers::{Leftover, clear};
pub use processes::Processes;
pub use spec::Spec;
pub use withheld::Withheld;

pub use crate::keeper::engine::Engine;
/// Whether this machine lets services have networks of their own, and if not, why.
pub use crate::keeper::namespace::possible as namespaces_possible;
/// Whether this machine's kernel lets a program change a network so.
pub use crate::keeper::namespace::takes as network_takes;
pub use crate::keeper::protocol::{
    Cause, Disturbance, EndReport, EndVerdict, Ending, Exit, File, How, Notice, PortWish, ProcessExited, StartService,
    StopSignal, StopWish, Stopped, Target, What,
};
pub use crate::keeper::setup::Programs;
/// This process's own log, which is the agents' too.
pub use meshproof_agent::own_log::mask_with as mask_own_log;
/// Whether this kernel can hold the programs of steps to what an agent permits.
pub use meshproof_agent::permits::can_confine;
