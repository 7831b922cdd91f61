//! The user's side of meshproof: the plan language.

pub mod plan;
