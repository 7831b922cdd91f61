//! One MeshPool, decided purely.
//!
//! [`observe`] makes a picture of what the API server has. [`plan`] says what to do next: [`failover`] decides which zone is
//! active, [`sizes`] how many agents each zone has, [`desired`] writes the objects, and what differs from the picture is applied.
//! A plan whose steps were all carried out has an empty one after it.

mod desired;
mod failover;
mod names;
mod observe;
mod plan;
mod pods;
mod sizes;
mod status;

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod tests;

pub use desired::{Settings, active_lease, desired, notice};
pub use failover::{Turn, Why};
pub use names::Names;
pub use observe::{ActiveLease, LeaseState, Observed, PodSeen, ZoneSeen, observe};
pub use plan::{Action, Happened, Plan, plan};
