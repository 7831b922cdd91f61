//! What agents remember for orchestrators: who may command a run, and what its orchestrator has decided.
//!
//! An orchestrator that wants to command a run that it has not begun asks every agent for a *promise*: the agent obeys nobody at a lower
//! term from then on, and nobody else at this one. Each *name* of the run has one vote, and only who has those of more than half commands;
//! so no two orchestrators command at one term. What is to be remembered goes to all names, or in a run of many to a few, the keepers; who commands
//! has more than half of their promises, too, so what more than half of them have stored is known to at least one that promised.
//!
//! What an orchestrator remembers comes in numbered pieces, which are nothing but bytes to an agent. Whoever stores a piece has all those
//! before it, and where the last ones of two agents have the same number and term, so have all before them.

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::id::{Digest, Name, PeerId, RunId, Term};
use crate::order::{Authority, NameTerm};
use crate::secrets::Secrets;

/// Obey me at this term, and nobody at a lower one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    pub run: RunId,
    pub term: Term,
}

/// The promise, on the agent's disk, and what the agent knows of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promised {
    pub memory: Extent,
    /// The instance that began the numbering of this name's events.
    pub origin: PeerId,
    /// None: this instance has not taken the name over yet, and an instance before it has left the rest on the disk.
    pub holding: Option<Holding>,
}

/// Whom an agent obeys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub run: RunId,
    /// From which term on.
    pub term: Term,
    pub peer: PeerId,
}

/// How much an agent remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Extent {
    /// The term of the last piece: what was written later counts more.
    pub term: Term,
    /// The last piece's number; 0: none.
    pub pieces: u64,
}

impl Default for Extent {
    /// Of an agent that was told nothing.
    fn default() -> Self {
        Self { term: Term(0), pieces: 0 }
    }
}

/// What an instance knows that takes part in the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    pub plan: Digest,
    /// As it was told them. They stand on no disk.
    pub secrets: Secrets,
    /// Why not everything is known that was seen under its name; none: it is.
    pub damage: Option<String>,
}

/// One piece of what an orchestrator remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Of the orchestrator that wrote it.
    pub term: Term,
    pub bytes: Vec<u8>,
}

/// Store these. What the agent has from there on is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remember {
    pub authority: Authority,
    /// The first piece's number, from 1.
    pub from: u64,
    pub pieces: Vec<Piece>,
}

/// Give back what is on the disk. Only who has the agent's promise for this term may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    pub run: RunId,
    pub term: Term,
    pub what: Recollection,
}

/// A part of what is on an agent's disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recollection {
    /// Pieces from this number on.
    Pieces(u64),
    /// Events from this number on, acknowledged or not.
    Events(u64),
    /// Copies of another agent's events, from this number on.
    Copies { of: Name, from: u64 },
}

/// As much of it as goes into an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recalled {
    pub pieces: Vec<Piece>,
    pub events: Vec<Event>,
    /// Whether more follows.
    pub more: bool,
}

/// Keep these events of an agent, whose disk may be lost. Those that follow on what is kept are added; the answer says up to which number
/// all of them are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copies {
    pub run: RunId,
    /// Whose they are, and the instance that began their numbering.
    pub name: Name,
    pub origin: PeerId,
    pub events: Vec<Event>,
}

/// These instances of your name stand by: what is on your disk is to be on theirs, before anything follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standbys {
    pub authority: Authority,
    /// Grows with each that is given; one that comes late is not heeded.
    pub number: u64,
    pub peers: Vec<PeerId>,
}

/// A part of the file in which an agent keeps what it knows of a run, as it is. The answer says up to where the file is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorPart {
    pub run: RunId,
    /// At which the sender holds the name. What others send at a lower one is not taken any more.
    pub term: NameTerm,
    /// Where the part begins; 0: the file begins anew.
    pub from: u64,
    pub bytes: Vec<u8>,
}
