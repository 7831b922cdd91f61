//! meshproof on Kubernetes: keeps pools of agents in zones (MeshPool) and runs in namespaces of their own (MeshRun).
//!
//! What decides is pure: what should be there (`desired`), what is (`observe`), and what to do about the difference
//! (`plan(spec, observed, now)`). Around it stand the controllers, which carry plans out, and the zone reporter, which says whether a
//! zone's mesh is well. The operator commands no agent: it knows pods, not plans.

pub mod clock;
pub mod controller;
pub mod election;
pub mod kinds;
pub mod limits;
pub mod objects;
pub mod pool;

pub mod reporter;
pub mod run;
pub mod sightings;
