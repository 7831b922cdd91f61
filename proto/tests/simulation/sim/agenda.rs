//! What happens next: the events of a world and their order.

use std::time::Instant;

use crate::id::{Generation, PeerId};
use crate::signal::Route;

use super::weather::Fault;
use super::wire::{Frame, Signal};

/// One kind of connection of one half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    pub half: usize,
    pub kind: usize,
}

/// What a connection tells the task that owns the link.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    Open,
    Answered,
    Ended,
    Bye,
}

/// A description that is being made.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    pub generation: Generation,
    pub route: Route,
    /// The connection that was offered, when this is the answer.
    pub offer: Option<usize>,
}

/// What happens in a world.
#[derive(Debug)]
pub enum Event {
    Timer(At),
    Made {
        at: At,
        description: Description,
    },
    Signal(Signal),
    Handshake {
        connection: usize,
        tries: u32,
    },
    Opens {
        connection: usize,
        end: usize,
    },
    Fails {
        connection: usize,
        end: usize,
    },
    Frame {
        connection: usize,
        from: usize,
        frame: Frame,
    },
    Told {
        at: At,
        generation: Generation,
        told: Told,
    },
    Works {
        stream: usize,
    },
    Fault(Fault),
    Heals {
        from: usize,
        to: usize,
    },
    SignalingBack,
    Awakes {
        node: usize,
    },
    Respawns {
        node: usize,
    },
    /// The node hears that the peer is not listed any more.
    Misses {
        node: usize,
        peer: PeerId,
    },
    /// The node hears that a link is not up any more.
    Down {
        half: usize,
    },
    /// The node hears who the other is now.
    Learns {
        node: usize,
        other: usize,
    },
    Wants {
        node: usize,
        other: usize,
    },
    Calm,
    Judge,
}

/// An event and its time; those of one time come in the order in which they were planned.
#[derive(Debug)]
pub struct Due {
    pub at: Instant,
    pub number: u64,
    /// Boxed, because the queue moves it about.
    pub event: Box<Event>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
