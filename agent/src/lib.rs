//! The agent: acts for one service under test.
//!
//! What lives here: a session in the mesh, the outbox of its facts, the actions, stubs, tunnels and faults of a run. It takes
//! complete orders and knows nothing of plan files.

pub mod action;
mod api;
pub mod audit;
mod bench;
pub mod blobs;
pub mod checks;
pub mod cli;
pub mod descriptors;
pub mod endpoints;
mod evidence;
mod health;
mod inherited;
mod joined;
pub mod lease;
mod limits;
mod load;
pub mod logs;
pub mod metrics;
pub mod namespace;
mod network;
pub mod news;
pub mod notes;
mod opening;
pub mod outbox;
pub mod own_log;
pub mod permits;
mod punctual;
pub mod records;
mod rights;
mod service;
pub mod session;
pub mod standing;
pub mod steps;
mod struck;
pub mod stub;
pub mod traffic;
mod tunnel;
pub mod until;
mod wire;
