//! The runs that were: where they are kept, for how long, what each came to, and how one is run again.
//!
//! A kept run is a folder with its journal; what is said about it is read from there and nowhere else. Nothing is removed that
//! is not such a folder, nor a run that still goes on.

mod brief;
mod flaky;
mod keep;
mod kept;
mod logs;
mod rerun;

pub use brief::{Brief, Finish, State, goes_on, size};
pub use flaky::{Flake, flaky};
pub use keep::{Keep, Removed, Why};
pub use kept::{HistoryError, Kept, SESSIONS, state_folder};
pub use logs::{Log, logs};
pub use rerun::{Again, RerunError, Which, again};
