//! One MeshRun, decided purely.
//!
//! [`needed`] says what has to be read first, [`observe`] makes a picture, [`plan`] says what to do next: the namespace with its
//! limits, copies of what the run needs, the pool, and once that is ready the orchestrator's Job. The Job is made once: a run
//! whose Job went away has failed and is not begun again.

mod desired;
mod observe;
mod plan;

#[cfg(test)]
mod tests;

pub use desired::{Account, namespace_of};
pub use observe::{JobSeen, NamespaceSeen, Observed, PoolSeen, needed, observe};
pub use plan::{Action, Plan, plan};
