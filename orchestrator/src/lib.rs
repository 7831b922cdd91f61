//! The user's side of meshproof: the plan language.

pub mod plan;
pub mod record;
pub mod run;
