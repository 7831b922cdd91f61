//! What users write: the kinds MeshPool and MeshRun, as the API server keeps them.
//!
//! Only data. Results are referred to and never rows of a status, and what can be refused by the API server is refused there.

mod common;
mod pool;
mod run;

pub mod crds;

pub use common::{Condition, Conditions, GROUP, KeyOf, VERSION, condition};
pub use pool::*;
pub use run::*;
