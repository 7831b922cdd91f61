//! What a byte stream is for, as whoever opens it says.

use serde::{Deserialize, Serialize};

use crate::codec::{Codec, CodecError};
use crate::id::{Digest, RunId};
use crate::order::RecordStreamId;

/// The header of a byte stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamHeader {
    /// A connection to this port of the service beside the receiver.
    Tunnel { run: RunId, port: String },
    /// Bytes that come back as they are, to measure the way.
    Probe,
    /// Records one way, what came of each the other, each behind its length in four bytes, little endian.
    Records { run: RunId, stream: RecordStreamId },
    /// Bytes for their own sake: what the link carries.
    Bench,
    /// Chunks of a blob that the receiver has, as they are asked for.
    Blob { run: RunId, digest: Digest },
    /// The journal of the run that the receiver commands, from its first line on, as it is written.
    Journal,
}

impl StreamHeader {
    /// The run that it belongs to.
    #[must_use]
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::Tunnel { run, .. } | Self::Records { run, .. } | Self::Blob { run, .. } => Some(run),
            Self::Probe | Self::Bench | Self::Journal => None,
        }
    }

    /// # Panics
    /// Never: names are short.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Codec::Bincode.encode(self).expect("names are short")
    }

    /// # Errors
    /// These bytes are no header.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Codec::Bincode.decode(bytes)
    }
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
            StreamHeader::Records { run: run.clone(), stream: RecordStreamId(7) },
            StreamHeader::Bench,
            StreamHeader::Blob { run, digest: Digest([1; 32]) },
            StreamHeader::Journal,
        ] {
            assert_eq!(StreamHeader::decode(&header.encode()).expect("its own bytes"), header);
        }
        assert!(StreamHeader::decode(b"GET / HTTP/1.1").is_err());
    }
}
