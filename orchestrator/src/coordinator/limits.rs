//! How much the driver of a run holds at most.

/// Answers to orders that wait for its loop.
pub(super) const INBOX: usize = 256;

/// Messages with answers for the programs of one agent that wait to be sent: as many as a link that heals needs seconds for.
pub(super) const ANSWERS: usize = 4_096;

/// Answers in one of them, far below what a frame holds where values are small; a value has at most 64 KiB.
pub(super) const ANSWERS_TOLD: usize = 64;
