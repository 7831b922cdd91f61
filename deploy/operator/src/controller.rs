//! What carries plans out: the one place that talks to the API server about pools and runs.
//!
//! Each kind has one pipeline: look into the caches, make a plan, do its steps in order, write the status if it changed, tell
//! what happened. The first step that fails ends it, and it is begun anew after a wait; a conflict is no failure, as somebody else was
//! first, and is looked at again at once.

mod api;
mod cache;
mod failure;
mod leader;
mod operate;
mod pools;
mod retries;
mod runs;
mod watched;
mod world;

pub use failure::Failure;
pub use operate::{Options, operate};
pub use watched::{Figures, Health};
