//! The keeper: the process that keeps a local environment alive, and ends it.
//!
//! It runs signaling, one agent a service and the services, each as a process group of its own, in a session of its own. It
//! knows no plan: it is told what to start over a unix socket in the run's folder. When the orchestrator is gone, whoever
//! connects within the orphan grace takes over; else everything is ended. Nothing that was started outlives it: it is the
//! parent of every orphan below it ([`reaper`]), and its [`guard`] does the same for the keeper itself.
//!
//! Here may live what makes, watches and ends processes on this machine. Never: plans, steps, the mesh.

pub mod containers;
mod control;
pub mod engine;
pub mod folder;
mod group;
mod groups;
mod guard;
mod instances;
mod keeping;
pub mod limits;
pub mod lines;
pub mod marked;
pub mod namespace;
mod opening;
mod parent;
mod ports;
pub mod procfs;
pub mod protocol;
mod reaper;
mod requests;
mod respawn;
mod serve;
pub mod setup;
mod spawn;
mod start;

pub use parent::{DIE_WITH_PARENT, Follower, die_with_parent};
pub use spawn::WORKER_THREADS;
pub use start::{Args, run};
