//! Data, as fast as the stream takes it.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::frame::{DATA_BYTES, Frame};

/// Sends data for so long, and says that it was all.
pub(super) async fn push(writer: &mut (impl AsyncWrite + Unpin), lasts: Duration) -> io::Result<()> {
    let began = Instant::now();
    let data = Frame::Data(DATA_BYTES).bytes();
    while began.elapsed() < lasts {
        writer.write_all(&data).await?;
    }
    writer.write_all(&Frame::End.bytes()).await
}
