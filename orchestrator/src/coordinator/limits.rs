//! How much the driver of a run holds at most.

/// Answers to orders that wait for its loop.
pub(super) const INBOX: usize = 256;

/// Messages with answers for the programs of one agent that wait to be sent: as many as a link that heals needs seconds for.
pub(super) const ANSWERS: usize = 4_096;

/// Answers in one of them, far below what a frame holds where values are small; a value has at most 64 KiB.
pub(super) const ANSWERS_TOLD: usize = 64;

/// Agents that get files from here at once: one in each file's line, and those whose sources are gone.
pub(super) const FILES_SERVED: usize = 64;

/// People who follow a run over the mesh at once: a team, each with a page and a terminal.
pub(super) const FOLLOWERS: usize = 64;

/// Agents that another one is told of as having a file before it, and as many behind it: two may be gone at the same time.
pub(super) const FILE_SOURCES: usize = 3;
