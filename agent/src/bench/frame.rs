//! Frames of a bench: a kind, a number in eight bytes, little endian; behind data, so many bytes.

use std::io;

use meshproof_proto::limits::STREAM_CHUNK_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt as _};

const HEADER_BYTES: usize = 9;

/// A frame of data fills one frame of the stream.
pub(super) const DATA_BYTES: usize = STREAM_CHUNK_BYTES - HEADER_BYTES;

/// One frame; the bytes of data are nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// To be answered with the same number.
    Ping(u64),
    Pong(u64),
    Data(usize),
    /// So many bytes of data have arrived.
    Arrived(u64),
    /// Send data for so many milliseconds.
    Send(u64),
    /// No more data.
    End,
}

impl Frame {
    /// Its bytes. Those of data follow as zeros: the link encrypts and does not compress.
    pub(super) fn bytes(self) -> Vec<u8> {
        let (kind, number) = match self {
            Self::Ping(number) => (0, number),
            Self::Pong(number) => (1, number),
            Self::Data(length) => (2, length as u64),
            Self::Arrived(bytes) => (3, bytes),
            Self::Send(milliseconds) => (4, milliseconds),
            Self::End => (5, 0),
        };
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&u64::to_le_bytes(number));
        if let Self::Data(length) = self {
            bytes.resize(HEADER_BYTES + length, 0);
        }
        bytes
    }
}

/// Reads frames, and throws data away.
#[derive(Debug)]
pub(super) struct Frames<R> {
    reader: R,
    data: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, data: vec![0; DATA_BYTES] }
    }

    /// The next frame; the end of the stream is an error. Given up half way, the rest is no frame.
    pub(super) async fn next(&mut self) -> io::Result<Frame> {
        self.next_or_end().await?.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the other end has ended"))
    }

    /// The next frame, or the end of the stream.
    pub(super) async fn next_or_end(&mut self) -> io::Result<Option<Frame>> {
        let mut header = [0; HEADER_BYTES];
        if self.reader.read(&mut header[..1]).await? == 0 {
            return Ok(None);
        }
        self.reader.read_exact(&mut header[1..]).await?;
        let [kind, number @ ..] = header;
        let number = u64::from_le_bytes(number);
        let frame = match kind {
            0 => Frame::Ping(number),
            1 => Frame::Pong(number),
            2 => Frame::Data(self.skip(number).await?),
            3 => Frame::Arrived(number),
            4 => Frame::Send(number),
            5 => Frame::End,
            other => return Err(unexpected(&format!("a frame of kind {other}"))),
        };
        Ok(Some(frame))
    }

    async fn skip(&mut self, length: u64) -> io::Result<usize> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(data) = self.data.get_mut(..length) else {
            return Err(unexpected(&format!("{length} bytes of data in one frame, at most {DATA_BYTES} are taken,")));
        };
        self.reader.read_exact(data).await?;
        Ok(length)
    }
}

pub(super) fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} came in a bench"))
}
