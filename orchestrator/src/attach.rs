//! A run followed by somebody who did not start it: from its first event, then live, to its end.
//!
//! What is shown is the run's journal, which the orchestrator writes before it tells anybody; so whoever attaches sees what the
//! terminal of the run shows, in the same order, and disturbs nothing. On the orchestrator's machine it is read where it is written; over
//! the mesh, the orchestrator sends it.

mod carried;
mod find;
mod follow;
mod shown;
mod watch;

pub use carried::follow_over;
pub use find::{AttachError, find, running};
pub use follow::{End, follow};
pub use watch::{Watched, watch};
