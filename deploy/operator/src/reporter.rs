//! The zone reporter: says that the mesh of a zone is well, by renewing the zone's Lease, and says nothing otherwise.
//!
//! It asks the zone's agents over plain HTTP, as any machine that watches them does, and commands nobody. Kubernetes sees whether pods
//! run; whether the zone's agents reach signaling and each other only they know, so a zone whose network is cut while its nodes
//! and pods look well is silent, too. It runs in the zone that it reports on: what cuts that off cuts the reporter off.

mod ask;
mod judge;
mod renew;

pub use ask::ask;
pub use judge::{Answer, Unwell, judge};
pub use renew::{Options, report};
