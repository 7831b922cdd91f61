//! A request that is answered on the way: its client hears a status, and its service nothing.

use std::io;

use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::limits;

/// Why a connection's bytes are not carried to their end.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    #[error(transparent)]
    Broken(#[from] io::Error),
    /// Its client is to be answered with this status, and both sides are to be closed.
    #[error("a fault of the run answered with status {0}")]
    Answered(u16),
}

/// Answers the client, and ends both sides as a server does that takes no more requests.
pub async fn answer(
    status: u16,
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    service: &mut (impl AsyncRead + AsyncWrite + Unpin),
) {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Fault");
    let head = format!("HTTP/1.1 {status} {reason}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let to_client = async {
        client.write_all(head.as_bytes()).await?;
        drained(client).await
    };
    // Whoever does not close in time is cut off; the answer is with the client by then.
    let _ = timeout(limits::ANSWERED_WITHIN, async { tokio::join!(to_client, drained(service)) }).await;
}

/// Ends our direction and reads what the other still says: closing over unread bytes would be a reset, which overtakes an answer.
async fn drained(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}
