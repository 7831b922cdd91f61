//! The one place where wire types become bytes: bincode between our own binaries, JSON with a browser.
//!
//! bincode is unmaintained (RUSTSEC-2025-0141) and the owner's choice; it is pinned, every decode is bounded, and nothing else names it.

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::limits;

/// How the frames of a connection are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Codec {
    /// bincode 2, standard configuration: little endian, variable-length integers.
    Bincode,
    /// JSON text, for browsers.
    Json,
}

/// Bytes that are not what they should be, or a value that does not fit its limit.
#[derive(Clone, Debug, Error)]
pub enum CodecError {
    #[error("a frame of {size} bytes is over the limit of {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("{0} bytes follow the end of the frame")]
    Trailing(usize),
    #[error("cannot decode: {0}")]
    Decode(String),
    #[error("cannot encode: {0}")]
    Encode(String),
}

impl Codec {
    /// Writes a value; fails when it is larger than one RPC frame may be.
    pub fn encode<T: Serialize>(self, value: &T) -> Result<Vec<u8>, CodecError> {
        let bytes = match self {
            Codec::Bincode => bincode::serde::encode_to_vec(value, bincode_config())
                .map_err(|error| CodecError::Encode(error.to_string()))?,
            Codec::Json => serde_json::to_vec(value).map_err(|error| CodecError::Encode(error.to_string()))?,
        };
        bounded(&bytes)?;
        Ok(bytes)
    }

    /// Reads a value that fills `bytes` exactly.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, CodecError> {
        bounded(bytes)?;
        match self {
            Codec::Bincode => {
                let (value, used) = bincode::serde::decode_from_slice(bytes, bincode_config())
                    .map_err(|error| CodecError::Decode(error.to_string()))?;
                match bytes.len() - used {
                    0 => Ok(value),
                    rest => Err(CodecError::Trailing(rest)),
                }
            }
            Codec::Json => serde_json::from_slice(bytes).map_err(|error| CodecError::Decode(error.to_string())),
        }
    }

    /// Reads a value at the front of `bytes`, and gives what follows it. Bincode only.
    pub fn decode_front<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<(T, &[u8]), CodecError> {
        bounded(bytes)?;
        let read = bincode::serde::decode_from_slice(bytes, bincode_config());
        read.map(|(value, used)| (value, &bytes[used..])).map_err(|error| CodecError::Decode(error.to_string()))
    }
}

/// The limit bounds what a length field inside a frame can make us allocate.
fn bincode_config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<{ limits::RPC_FRAME_BYTES }>()
}

fn bounded(bytes: &[u8]) -> Result<(), CodecError> {
    if bytes.len() > limits::RPC_FRAME_BYTES {
        return Err(CodecError::TooLarge { size: bytes.len(), limit: limits::RPC_FRAME_BYTES });
    }
    Ok(())
}

/// Bytes that JSON shows as base64 and bincode keeps as they are. For `#[serde(with = "…")]`.
pub mod base64_bytes {
    use data_encoding::BASE64;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &Vec<u8>, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            BASE64.encode(bytes).serialize(serializer)
        } else {
            bytes.serialize(serializer)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            BASE64.decode(String::deserialize(deserializer)?.as_bytes()).map_err(D::Error::custom)
        } else {
            Vec::deserialize(deserializer)
        }
    }
}

/// The same for long ones, which bincode takes as one block: byte by byte, a link's goodput was half of what it is.
pub mod base64_block {
    use serde::{Deserializer, Serializer};

    use super::base64_bytes;

    pub fn serialize<S: Serializer>(bytes: &Vec<u8>, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            base64_bytes::serialize(bytes, serializer)
        } else {
            serde_bytes::serialize(bytes, serializer)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            base64_bytes::deserialize(deserializer)
        } else {
            serde_bytes::deserialize(deserializer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_base64_for_a_browser_and_as_it_is_for_others() {
        let piece = crate::frame::Piece { last: true, bytes: vec![0, 255] };
        assert_eq!(Codec::Json.encode(&piece).expect("small"), br#"{"last":true,"bytes":"AP8="}"#);
        assert_eq!(Codec::Bincode.encode(&piece).expect("small"), [1, 2, 0, 255]);
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = Codec::Bincode.encode(&7_u32).expect("small");
        bytes.push(0);
        assert!(matches!(Codec::Bincode.decode::<u32>(&bytes), Err(CodecError::Trailing(1))));
    }

    #[test]
    fn a_length_field_that_lies_allocates_nothing() {
        // a Vec<u8> that claims 2^62 elements
        let bytes = [253, 0, 0, 0, 0, 0, 0, 0, 64];
        assert!(Codec::Bincode.decode::<Vec<u8>>(&bytes).is_err());
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_both_ways() {
        let large = vec![0_u8; limits::RPC_FRAME_BYTES + 1];
        assert!(matches!(Codec::Bincode.encode(&large), Err(CodecError::TooLarge { .. } | CodecError::Encode(_))));
        assert!(matches!(Codec::Json.decode::<Vec<u8>>(&large), Err(CodecError::TooLarge { .. })));
    }
}
