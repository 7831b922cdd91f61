//! What a program asks of a run through the agent beside it, and what it is told.

use serde::{Deserialize, Serialize};

use crate::id::Name;
use crate::order::network::Wanted;

/// One request of a program. Each has a number of its agent's, under which it is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// It is so far. Answered by [`Told::Count`].
    Signal { name: String },
    /// A value, as JSON text, for everybody who subscribes. Answered by [`Told::Count`].
    Publish { topic: String, value: String },
    /// It waits until a name was signalled so many times, by whomever. Answered by [`Told::Open`].
    Entries { name: String, count: u64 },
    /// It waits until these members have signalled a name: those of a group, or everybody. Answered by [`Told::Open`].
    Barrier { name: String, of: Option<String> },
    /// It wants every value of a topic, those from before too. Answered by [`Told::Values`], again and again.
    Subscribe { topic: String },
    /// It does not wait any more for what it asked under that number. Not answered.
    GiveUp { number: u64 },
    /// How it went. Answered by [`Told::Open`] once it counts.
    Ended(MemberEnd),
    /// Something that it measured. Not answered.
    Measured { metric: String, value: f64 },
    /// Something that it tells people. Not answered.
    Said { text: String },
    /// Its agent has made the network what it wants it to be, and signals this name in its place. Answered by [`Told::Count`], or where
    /// there is no name by [`Told::Open`].
    Network { wanted: Box<Wanted>, signal: Option<String> },
}

/// A request of a member's program, where its agent has several members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberAsked {
    pub member: Name,
    /// Never used again at this agent.
    pub number: u64,
    pub ask: Ask,
}

/// What a program says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberEnd {
    Success,
    Failure { why: String },
    Crash { why: String },
}

/// What a program is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// How often the name was signalled by then, or how many values the topic had.
    Count(u64),
    /// What was waited for is there.
    Open,
    /// Values of a topic as JSON texts; the first has this number, counted from 0. More may follow.
    Values { from: u64, values: Vec<String> },
    /// It cannot be, and why.
    Refused(String),
}

/// An answer to the request with that number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub number: u64,
    pub told: Told,
}
