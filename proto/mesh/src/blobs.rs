//! Blobs from peer to peer: whoever holds chunks gives them to those that ask over a byte stream.
//!
//! Who asks writes the number of a chunk (four bytes, little endian) and whether it may be waited for (a byte), again and again.
//! Each is answered in its turn with the number, the length (four bytes) and the chunk; a length of 0 says that it is not there. What
//! comes is believed when its digest is the one that the blob's description has. Neither side holds more than a few chunks.

mod held;

#[cfg(test)]
mod tests;

pub use held::{HeldBlob, NotKept};

use std::collections::VecDeque;
use std::io;

use meshproof_proto::limits::BLOB_CHUNK_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::limits::{BLOB_CHUNKS_ASKED, BLOB_SILENT};

/// Whether a chunk that is not there is waited for: its holder gets it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// What is not there now is told to be not there.
    None,
    UntilItComes,
}

/// What came of asking one peer.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Of the chunks that were right.
    pub bytes: u64,
    /// Chunks that were not what they should be.
    pub damaged: u32,
    /// Why there were no more.
    pub error: Option<io::Error>,
}

/// Gives chunks to whoever opened the stream, until it asks for no more; gives how many bytes they were.
///
/// # Errors
/// The stream broke, or the blob cannot be read here.
pub async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, blob: &HeldBlob) -> io::Result<u64> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut given = 0;
    loop {
        let chunk = match reader.read_u32_le().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            chunk => chunk?,
        };
        let patience = if reader.read_u8().await? == 0 { Patience::None } else { Patience::UntilItComes };
        let is_one = blob.is_of(chunk);
        if patience == Patience::UntilItComes && is_one {
            blob.has(chunk).await;
        }
        let bytes = if is_one && blob.has_now(chunk) { blob.read(chunk).await? } else { Vec::new() };
        writer.write_u32_le(chunk).await?;
        writer.write_u32_le(u32::try_from(bytes.len()).unwrap_or(0)).await?;
        writer.write_all(&bytes).await?;
        given += bytes.len() as u64;
    }
    writer.shutdown().await?;
    Ok(given)
}

/// Asks for every chunk that is not here.
pub async fn fetch(stream: impl AsyncRead + AsyncWrite + Unpin, blob: &HeldBlob, patience: Patience) -> Fetched {
    let mut fetched = Fetched::default();
    fetched.error = exchange(stream, (blob, patience), &mut fetched).await.err();
    fetched
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    (blob, patience): (&HeldBlob, Patience),
    fetched: &mut Fetched,
) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut missing = blob.missing().into_iter();
    let mut asked = VecDeque::new();
    loop {
        while asked.len() < BLOB_CHUNKS_ASKED
            && let Some(chunk) = missing.next()
        {
            writer.write_u32_le(chunk).await?;
            writer.write_u8(u8::from(patience == Patience::UntilItComes)).await?;
            asked.push_back(chunk);
        }
        let Some(expected) = asked.pop_front() else { break };
        let (chunk, bytes) = timeout(BLOB_SILENT, answer(&mut reader)).await.map_err(|_| silent())??;
        if chunk != expected {
            return Err(strange(format!("chunk {expected} was asked for, {chunk} came")));
        }
        if bytes.is_empty() {
            continue;
        }
        let length = bytes.len() as u64;
        match blob.put(chunk, bytes).await {
            Ok(()) => fetched.bytes += length,
            Err(NotKept::Damaged) => fetched.damaged += 1,
            Err(NotKept::Disk(error)) => return Err(error),
        }
    }
    writer.shutdown().await?;
    // a stream that is dropped before its end is a broken one to whoever is at the other
    timeout(BLOB_SILENT, reader.read(&mut [0])).await.map_err(|_| silent())??;
    Ok(())
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("it sent nothing for {BLOB_SILENT:?}"))
}

async fn answer(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<(u32, Vec<u8>)> {
    let chunk = reader.read_u32_le().await?;
    let length = reader.read_u32_le().await? as usize;
    if length > BLOB_CHUNK_BYTES {
        return Err(strange(format!("a chunk of {length} bytes is over the limit of {BLOB_CHUNK_BYTES}")));
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).await?;
    Ok((chunk, bytes))
}

fn strange(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
