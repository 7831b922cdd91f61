//! JSON lines on a socket, of bounded length both ways.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};

use super::limits::LINE_BYTES;

/// Why a line could not be read or written.
#[derive(Debug, Error)]
pub enum LineError {
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("a line of more than {LINE_BYTES} bytes")]
    TooLong,
    #[error("a line that cannot be read: {0}")]
    Unreadable(#[source] serde_json::Error),
}

/// Reads JSON lines.
#[derive(Debug)]
pub struct Lines<R>(BufReader<R>);

impl<R: AsyncRead + Unpin> Lines<R> {
    pub fn new(from: R) -> Self {
        Self(BufReader::new(from))
    }

    /// The next value; `None` when the other side has closed. Not to be cancelled half way.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LineError> {
        let mut line = Vec::new();
        let bound = u64::try_from(LINE_BYTES).unwrap_or(u64::MAX);
        (&mut self.0).take(bound).read_until(b'\n', &mut line).await?;
        match line.last() {
            None => Ok(None),
            Some(b'\n') => serde_json::from_slice(&line).map(Some).map_err(LineError::Unreadable),
            Some(_) if line.len() >= LINE_BYTES => Err(LineError::TooLong),
            Some(_) => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
        }
    }
}

/// A value as a line.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, LineError> {
    let mut line = serde_json::to_vec(value).map_err(LineError::Unreadable)?;
    line.push(b'\n');
    if line.len() > LINE_BYTES { Err(LineError::TooLong) } else { Ok(line) }
}

/// Writes a value as a line.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> Result<(), LineError> {
    to.write_all(&encode(value)?).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_back_and_an_endless_one_is_refused() {
        let mut sent = encode(&"a\nb").expect("short");
        sent.extend(encode(&7).expect("short"));
        let mut lines = Lines::new(sent.as_slice());
        assert_eq!(lines.next::<String>().await.expect("whole"), Some("a\nb".to_owned()));
        assert_eq!(lines.next::<u8>().await.expect("whole"), Some(7));
        assert_eq!(lines.next::<u8>().await.expect("closed"), None);

        let endless = tokio::io::repeat(b'x');
        assert!(matches!(Lines::new(endless).next::<u8>().await, Err(LineError::TooLong)));
        assert!(matches!(Lines::new(b"7".as_slice()).next::<u8>().await, Err(LineError::Io(_))));
    }
}
