//! Streams of records from agent to agent.
//!
//! The sender's agent makes the records and checks what comes back; the receiver's agent applies each to its service and
//! answers in order. Both sides read and write at once, so the link's windows are all that bounds how far ahead the sender is.

pub(crate) mod frames;
mod judge;
mod receive;
mod send;

#[cfg(test)]
mod tests;

pub use receive::receive;
pub use send::send;
