//! Signals of others on this link: the peer has us pass some on, and passes some on to us.
//!
//! Each costs the node a moment, and most of them somebody else's link a place in its queue. So a link has an allowance of them,
//! and one that floods takes nothing from the others.

use std::time::Instant;

use meshproof_proto::allowance::Allowance;
use meshproof_proto::id::PeerId;
use meshproof_proto::identity::Signed;

use super::ToNode;
use super::actor::LinkTask;
use crate::limits::{FORWARDED, FORWARDS};

/// What a link has left of its allowances.
#[derive(Debug)]
pub(super) struct Errands {
    forwards: Allowance,
    forwarded: Allowance,
}

impl Errands {
    pub(super) fn new(now: Instant) -> Self {
        Self { forwards: Allowance::new(FORWARDS, now), forwarded: Allowance::new(FORWARDED, now) }
    }
}

impl LinkTask {
    /// The peer wants a signal passed on.
    pub(super) fn forward(&mut self, to: PeerId, signal: Signed) {
        if self.errands.forwards.take_now(Instant::now()) {
            self.to_node(ToNode::Forward { from: self.peer.peer, to, signal });
        }
    }

    /// The peer passes a signal on to us.
    pub(super) fn forwarded(&mut self, from: PeerId, signal: Signed) {
        if self.errands.forwarded.take_now(Instant::now()) {
            self.to_node(ToNode::Forwarded { from, signal });
        }
    }
}
