//! What a peer says before there is a connection: descriptions and candidates.
use crate::peer::{Hostile, Part};
use crate::scene::Scene;
