//! A byte stream as its holder sees it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use meshproof_proto::id::StreamId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Mux;
use super::state::StreamState;

/// A byte stream to another peer. `shutdown` ends the sending half; dropping it before both halves ended resets it.
#[derive(Debug)]
pub struct ByteStream {
    mux: Arc<Mux>,
    id: StreamId,
}

impl ByteStream {
    pub(super) fn new(mux: Arc<Mux>, id: StreamId) -> Self {
        Self { mux, id }
    }

    /// Breaks the stream off; the peer's reads and writes fail with the reason.
    pub fn reset(self, reason: &str) {
        self.mux.reset(self.id, reason);
    }
}

fn reset_error(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, reason.to_owned())
}

fn gone() -> io::Error {
    reset_error("the stream is over")
}

impl AsyncRead for ByteStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = |stream: &mut StreamState| {
            if !stream.unread.is_empty() {
                let (front, _) = stream.unread.as_slices();
                let taken = front.len().min(buf.remaining());
                buf.put_slice(&front[..taken]);
                stream.unread.drain(..taken);
                stream.receiving.consumed(taken as u64);
                return Poll::Ready(Ok(()));
            }
            // the end came first: a peer that is through with a stream answers what comes twice with a reset
            if stream.receiving.is_complete() {
                return Poll::Ready(Ok(()));
            }
            if let Some(reason) = &stream.reset {
                return Poll::Ready(Err(reset_error(reason)));
            }
            stream.reader = Some(cx.waker().clone());
            Poll::Pending
        };
        self.mux.with(self.id, read).unwrap_or_else(|| Poll::Ready(Err(gone())))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = |stream: &mut StreamState| {
            if let Some(reason) = &stream.reset {
                return Poll::Ready(Err(reset_error(reason)));
            }
            let taken = stream.sending.room().min(bytes.len());
            if taken == 0 && !bytes.is_empty() {
                stream.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            stream.sending.write(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        };
        self.mux.with(self.id, write).unwrap_or_else(|| Poll::Ready(Err(gone())))
    }

    /// Written bytes are on their way without further ado; that they arrived only the peer's answer tells.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.mux.with(self.id, |stream| stream.sending.finish());
        Poll::Ready(Ok(()))
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        let broken = self.mux.with(self.id, |stream| {
            stream.unread.clear();
            !(stream.receiving.is_complete() && stream.sending.is_finished())
        });
        if broken == Some(true) {
            self.mux.reset(self.id, "the peer dropped the stream");
        }
        self.mux.with(self.id, |stream| stream.abandoned = true);
    }
}
