//! The rendezvous server: introduces the peers of a mesh to each other and carries their signed signals.
//!
//! [`rooms`] decides, without sockets or clocks; [`server`] is the WebSocket shell around it; [`cli`] is the command. Where
//! two peers have no other way, [`relays`] decides whose datagrams go to whom, and `relay` carries them. What
//! lives here never looks inside a signal, never depends on the mesh crate, and knows of each mesh that it serves the public root
//! key only; it forgets everything when it stops. The one secret that it may hold is what it shares with TURN servers ([`ice`]).

pub mod cli;
mod epochs;
mod health;
mod hub;
pub mod ice;
pub mod limits;
mod relay;
pub mod relays;
pub mod rooms;
pub mod server;
mod socket;
mod sources;
pub mod tls;
mod vetting;

pub use server::{Config, serve};
