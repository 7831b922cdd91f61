//! One look at a mesh: what every agent said, and who said nothing.

use std::collections::BTreeMap;

use meshproof_proto::id::{Name, PeerId, RunId};
use meshproof_proto::identity::Identity;
use meshproof_proto::links::LinkReport;
use meshproof_proto::rpc::About;

/// What was seen.
#[derive(Clone, Debug)]
pub struct Look {
    pub run: Option<RunId>,
    pub mesh: Name,
    /// This console.
    pub me: PeerId,
    /// Everybody else, as signaling lists them.
    pub roster: Vec<Identity>,
    pub answers: BTreeMap<PeerId, Answered>,
    pub silent: Vec<Silent>,
}

/// An agent's answer.
#[derive(Clone, Debug)]
pub struct Answered {
    pub about: About,
    pub links: Vec<LinkReport>,
}

/// An agent that did not answer, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    pub name: Name,
    pub why: String,
}
