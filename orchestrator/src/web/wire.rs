//! What a page and the process behind it say to each other: JSON text over one socket.
//!
//! Frames of links, signals and texts of calls pass as they are; what they mean is between the page and its peers.

use std::collections::BTreeSet;

use meshproof_mesh::LinkInfo;
use meshproof_proto::frame::ControlFrame;
use meshproof_proto::id::{Name, PeerId, RunId};
use meshproof_proto::identity::{Chain, Role};
use meshproof_proto::rpc::RoomNews;
use meshproof_proto::trust::RootNews;
use meshproof_proto::version::Version;
use serde::{Deserialize, Serialize};

use crate::record::Record;
use crate::report::style::Tone;

/// From the page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromPage {
    /// The first word on every socket.
    Hello {
        token: String,
        /// The key that the page has made.
        instance: PeerId,
        /// What it was called when it was here before.
        name: Option<Name>,
        /// The journal that it has read before, and how far.
        after: Option<Place>,
    },
    /// To the signaling server.
    Signaling(String),
    /// Whether somebody is to stand in for the page in the mesh.
    StandIn(Wish),
    /// To a peer, through who stands in.
    Frame {
        peer: PeerId,
        frame: ControlFrame,
    },
    /// An agent can be called through the page.
    Linked {
        peer: PeerId,
        name: Name,
    },
    Unlinked {
        peer: PeerId,
    },
    /// The answer of a peer to that call: a tarpc response.
    Did {
        peer: PeerId,
        call: u64,
        reply: String,
    },
    /// Another person said or did something.
    Heard {
        by: Name,
        news: RoomNews,
    },
    /// So many people heard that.
    Told {
        number: u64,
        heard: usize,
    },
    /// What the person wrote.
    Line(String),
    /// What could stand at the end of that.
    Complete {
        number: u64,
        line: String,
    },
    /// The mesh's root says so, says a peer.
    News(RootNews),
}

/// Whether somebody is to stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    Wanted,
    /// Every agent has a direct link now.
    NotNeeded,
}

/// How far a journal was read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Place {
    pub journal: String,
    pub n: u64,
}

/// To the page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToPage {
    Welcome(Box<Welcome>),
    /// The page may not come in; the socket closes. Says why and what to do.
    Refused(String),
    Trust(Trusted),
    Signaling(Signaling),
    /// From a peer, through who stands in.
    Frame {
        peer: PeerId,
        frame: ControlFrame,
    },
    /// The links of who stands in; none: nobody can, and why.
    StandIn(Result<Vec<StandInLink>, String>),
    /// Have this call made, and answered within so long: what a tarpc request holds.
    Do {
        peer: PeerId,
        call: u64,
        within_ms: u64,
        request: String,
    },
    /// That call is not waited for any more.
    Undo {
        peer: PeerId,
        call: u64,
    },
    /// Tell the other people.
    Tell {
        number: u64,
        news: RoomNews,
    },
    Said {
        kind: Kind,
        text: String,
    },
    Candidates {
        number: u64,
        from: usize,
        words: Vec<Word>,
    },
    /// The records that follow are of this journal, from its first one, or from where the page has stopped reading it.
    Journal {
        journal: String,
        after: u64,
    },
    Records(Vec<Shown>),
    /// There is no journal to read, or nobody writes it any more; and why.
    NoJournal(String),
    /// Nobody writes it, and nobody will; and why.
    BrokeOff(String),
}

/// What a page is told when it comes in.
#[derive(Debug, Serialize)]
pub struct Welcome {
    pub version: &'static str,
    pub protocol: Version,
    pub mesh: Name,
    pub run: Option<RunId>,
    pub name: Name,
    pub role: Role,
    pub chain: Chain,
    pub trust: Trusted,
    /// Agents that ought to be there.
    pub agents: Vec<Name>,
}

/// The root keys of the mesh, and the keys that are no longer good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trusted {
    pub roots: Vec<PeerId>,
    pub revoked: BTreeSet<PeerId>,
}

/// The way to a signaling server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signaling {
    Up,
    Down(String),
    Heard(String),
}

/// A link of who stands in for a page.
#[derive(Debug, Serialize)]
pub struct StandInLink {
    pub peer: PeerId,
    pub state: &'static str,
    pub rtt_us: Option<u64>,
}

impl From<LinkInfo> for StandInLink {
    fn from(link: LinkInfo) -> Self {
        let rtt_us = link.rtt.and_then(|rtt| u64::try_from(rtt.as_micros()).ok());
        Self { peer: link.peer, state: link.state, rtt_us }
    }
}

/// Whether something was asked for or stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Result,
    Note,
}

/// A word that could stand at the end of a line, and what it is.
#[derive(Debug, Serialize)]
pub struct Word {
    pub word: String,
    pub about: String,
}

/// A record, and its line as people read it anywhere else.
#[derive(Debug, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    pub record: Record,
    pub said: Option<SaidLine>,
}

/// What is said of a record.
#[derive(Debug, Serialize)]
pub struct SaidLine {
    pub tone: &'static str,
    pub word: &'static str,
    pub text: String,
}

impl SaidLine {
    pub(crate) fn of(said: crate::report::telling::Said) -> Self {
        let tone = match said.tone {
            Tone::Good => "good",
            Tone::Bad => "bad",
            Tone::Warning => "warning",
            Tone::Strong => "strong",
            Tone::Faint => "faint",
        };
        Self { tone, word: said.word, text: said.text }
    }
}
