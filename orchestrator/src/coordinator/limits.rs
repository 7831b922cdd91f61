//! How much the driver of a run holds at most.

/// Answers to orders that wait for its loop.
pub(super) const INBOX: usize = 256;
