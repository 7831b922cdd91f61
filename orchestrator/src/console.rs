//! A console: a peer that joins the mesh of a run that goes on, looks, and measures.
//!
//! It links to agents only and asks each for what it sees. Nothing here decides about a run. Names and reasons come from other
//! machines; they pass [`sanitise`](crate::report::sanitise) before they reach a terminal.

pub mod bench;
mod commanders;
pub mod find;
pub mod holding;
pub mod limits;
pub mod links;
mod look;
pub mod meant;
mod peer;
mod people;
pub mod resolve;
pub mod stubs;
pub mod who;

pub use holding::Holding;
pub use look::{Answered, Look, Silent};
pub use peer::{Console, ConsoleError};
pub use people::Heard;
pub(crate) use people::{is_person, listen};
