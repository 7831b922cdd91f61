//! What travels, and the connections it travels on.

use std::collections::VecDeque;
use std::time::Instant;

use crate::id::{Digest, Generation, PeerId};
use crate::signal::Route;

/// A message on a connection: reliable and in order, as long as the connection lives.
#[derive(Clone, Debug)]
pub enum Frame {
    Beat,
    BeatAnswer,
    Signal(Signal),
    /// The receiver is asked to pass a signal on.
    Forward(Signal),
    /// The signal of another, passed on.
    Forwarded(Signal),
    Open {
        stream: usize,
    },
    Data {
        stream: usize,
        offset: u64,
        bytes: Vec<u8>,
    },
    Fin {
        stream: usize,
        offset: u64,
    },
    Ack {
        stream: usize,
        received: u64,
        limit: u64,
    },
    Bye,
    /// The other end was closed. Always the last.
    Closed,
}

impl Frame {
    /// The frame without its bytes, for people.
    pub fn brief(&self) -> String {
        match self {
            Self::Data { stream, offset, bytes } => format!("stream {stream}: {} bytes at {offset}", bytes.len()),
            other => format!("{other:?}"),
        }
    }
}

/// What one peer tells the other before they have a connection.
#[derive(Clone, Debug)]
pub struct Signal {
    pub from: PeerId,
    pub to: PeerId,
    pub kind: usize,
    pub generation: Generation,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    Offer { route: Route, sdp: String },
    Answer { offer: Digest, sdp: String },
    PleaseOffer,
}

/// Where a connection's end is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody made it yet.
    Absent,
    Made,
    Open,
    Closed,
}

/// One end of a connection.
#[derive(Debug)]
pub struct End {
    /// The link it belongs to, as its owner holds it.
    pub half: usize,
    pub phase: Phase,
    pub closed_at: Option<Instant>,
    /// Frames from here were lost from then on.
    pub mute_since: Option<Instant>,
    /// When the last frame from here arrives.
    pub last_arrival: Instant,
    /// Frames from here that wait for the path to come back.
    pub stalled: VecDeque<Frame>,
    /// When frames from here went on their way that had waited: old answers among them pass for life.
    pub flushed_at: Option<Instant>,
    /// Frames that came here before the hello was done.
    pub early: Vec<Frame>,
    /// Stream frames from here that are not there yet.
    pub in_flight: usize,
}

impl End {
    pub fn new(half: usize, phase: Phase, now: Instant) -> Self {
        Self {
            half,
            phase,
            closed_at: None,
            mute_since: None,
            last_arrival: now,
            stalled: VecDeque::new(),
            flushed_at: None,
            early: Vec::new(),
            in_flight: 0,
        }
    }
}

/// One generation of one kind of connection. End 0 offered it, end 1 answers.
#[derive(Debug)]
pub struct Connection {
    pub kind: usize,
    pub route: Route,
    pub generation: Generation,
    /// The longest that a frame travels: one connection may take another way than the next.
    pub latency_ms: u64,
    /// When the first of its ends was open.
    pub opened_at: Option<Instant>,
    pub ends: [End; 2],
}

/// The description of a connection is its number.
pub fn sdp(connection: usize) -> String {
    connection.to_string()
}

pub fn read_sdp(sdp: &str) -> usize {
    sdp.parse().expect("descriptions are made by the simulation only")
}

/// Stands for the digest of an offer.
pub fn digest(connection: usize) -> Digest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(connection as u64).to_le_bytes());
    Digest(bytes)
}
