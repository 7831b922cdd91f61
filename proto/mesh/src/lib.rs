//! Joining a mesh.

pub mod rtc;
mod udp;
