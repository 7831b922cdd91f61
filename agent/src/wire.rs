//! What agents say to each other on byte streams and in datagrams.

use meshproof_proto::codec::{Codec, CodecError};
pub use meshproof_proto::header::StreamHeader;
use meshproof_proto::id::{Digest, RunId};
use serde::{Deserialize, Serialize};

use crate::action::Answer;

/// What a datagram of the mesh carries: one of the services, or one that measures the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packet {
    /// From a client beside the sender to this port of the service beside the receiver.
    There {
        run: RunTag,
        port: String,
        flow: u64,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The service's answer, to the client that the sender's flow is of.
    Back {
        run: RunTag,
        flow: u64,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Comes back as it is.
    Probe {
        run: RunTag,
        number: u64,
    },
    ProbeBack {
        run: RunTag,
        number: u64,
    },
    /// Of the data network, as it is.
    Ip {
        run: RunTag,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
}

/// A run in eight bytes: enough to tell it from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunTag(pub u64);

impl RunTag {
    pub fn of(run: &RunId) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = Digest::of(run.0.as_bytes()).0;
        Self(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

impl Packet {
    pub fn run(&self) -> RunTag {
        match self {
            Self::There { run, .. }
            | Self::Back { run, .. }
            | Self::Probe { run, .. }
            | Self::ProbeBack { run, .. }
            | Self::Ip { run, .. } => *run,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        Codec::Bincode.encode(self).expect("a datagram and a name are short")
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Codec::Bincode.decode(bytes)
    }
}

/// One record of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// From 0, without gaps.
    pub index: u64,
    /// The record, as JSON text.
    pub json: String,
}

/// What came of applying a record, in the order of the records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    pub index: u64,
    pub answer: Answer,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_survive_their_bytes_and_other_bytes_are_refused() {
        let run = RunTag::of(&RunId("r1".to_owned()));
        for packet in [
            Packet::There { run, port: "dns".to_owned(), flow: 7, bytes: vec![0, 255] },
            Packet::Back { run, flow: 7, bytes: Vec::new() },
            Packet::Probe { run, number: 1 },
            Packet::ProbeBack { run, number: 1 },
            Packet::Ip { run, bytes: vec![0x45, 0] },
        ] {
            assert_eq!(Packet::decode(&packet.encode()).expect("its own bytes"), packet);
        }
        assert!(Packet::decode(b"GET / HTTP/1.1").is_err());
        assert_ne!(run, RunTag::of(&RunId("r2".to_owned())));
    }
}
