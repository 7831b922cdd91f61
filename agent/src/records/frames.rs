//! Messages on a byte stream, each behind its length.

use std::io;

use meshproof_proto::codec::{Codec, CodecError};
use meshproof_proto::limits::RPC_FRAME_BYTES;
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// Appends a message.
pub(crate) fn put<T: Serialize>(buffer: &mut Vec<u8>, message: &T) -> Result<(), CodecError> {
    let bytes = Codec::Bincode.encode(message)?;
    let length = u32::try_from(bytes.len()).expect("the codec bounds what it writes");
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&bytes);
    Ok(())
}

/// Takes the next message; `None` at the stream's end.
pub(crate) async fn take<T: DeserializeOwned>(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<T>> {
    if reader.fill_buf().await?.is_empty() {
        return Ok(None);
    }
    let length = reader.read_u32_le().await? as usize;
    if length > RPC_FRAME_BYTES {
        return Err(invalid(format!("a message of {length} bytes is over the limit of {RPC_FRAME_BYTES}")));
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).await?;
    Codec::Bincode.decode(&bytes).map(Some).map_err(|error| invalid(error.to_string()))
}

pub(crate) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
