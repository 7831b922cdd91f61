//! What agents say to each other on byte streams.

use meshproof_proto::codec::{Codec, CodecError};
use meshproof_proto::id::RunId;
use meshproof_proto::order::RecordStreamId;
use serde::{Deserialize, Serialize};

use crate::action::Answer;

/// The header of a byte stream: what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamHeader {
    /// A connection to this port of the service beside the receiver.
    Tunnel { run: RunId, port: String },
    /// Bytes that come back as they are, to measure the way.
    Probe,
    /// [`Record`]s one way, [`Applied`] the other, each behind its length in four bytes, little endian.
    Records { run: RunId, stream: RecordStreamId },
    /// Bytes for their own sake: what the link carries. See `bench`.
    Bench,
}

impl StreamHeader {
    /// The run that it belongs to.
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::Tunnel { run, .. } | Self::Records { run, .. } => Some(run),
            Self::Probe | Self::Bench => None,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        Codec::Bincode.encode(self).expect("names are short")
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
    fn headers_survive_their_bytes_and_other_bytes_are_refused() {
        let run = RunId("r1".to_owned());
        for header in [
            StreamHeader::Tunnel { run: run.clone(), port: "tcp".to_owned() },
            StreamHeader::Probe,
            StreamHeader::Records { run, stream: RecordStreamId(7) },
            StreamHeader::Bench,
        ] {
            assert_eq!(StreamHeader::decode(&header.encode()).expect("its own bytes"), header);
        }
        assert!(StreamHeader::decode(b"GET / HTTP/1.1").is_err());
    }
}
