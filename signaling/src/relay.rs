//! The shell of the relays: the desk that owns them, and the sockets that carry datagrams from one end to the other.

mod desk;
mod socket;

pub(crate) use desk::{Arrival, Desk};
pub(crate) use socket::{Post, run};
