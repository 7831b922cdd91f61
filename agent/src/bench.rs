//! What a link carries, measured over one byte stream between two agents.
//!
//! The *near* agent was asked; the *far* one answers. First the near one sends pings one at a time, each answered at once: the
//! round trip of the two tasks. Then it sends data, and the far one says ever again how much has arrived; then the far one sends.
//! What is counted is always what arrived, never what a queue took. One stream for all of it, so that the end of one end is the
//! end of the other.

mod far;
mod frame;
mod near;
mod push;

#[cfg(test)]
mod tests;

pub(crate) use far::far;
pub(crate) use near::near;
