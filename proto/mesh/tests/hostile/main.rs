//! Peers that the mesh admitted and that then misbehave.
//!
//! Each case is a row: what is sent, and what the honest side says about it. Around each, a friend of the same process
//! must not notice anything, memory is bounded, nothing panics, and no socket is left: see [`scene::Scene::end`].

#[path = "../common/brief.rs"]
mod brief;
#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod common;
#[path = "../common/links.rs"]
mod links;
#[path = "../common/process.rs"]
mod process;

mod bulk;
mod control;
mod expiry;
mod floods;
mod forwards;
mod frames;
mod hello;
mod older;
mod peer;
mod scene;
mod signals;
mod turns;
