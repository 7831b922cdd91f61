//! Commit by commit: which change broke it.

pub mod search;
