//! The agent: acts for one service under test.
//!
//! What lives here: a session in the mesh, the outbox of its facts, the actions, stubs, tunnels and faults of a run. It takes
//! complete orders and knows nothing of plan files.

pub mod action;
pub mod checks;
pub mod evidence;
mod limits;
pub mod logs;
pub mod steps;
pub mod stub;
