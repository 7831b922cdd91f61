//! Bodies of replies: at once, slowly, or broken off by a reset.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use meshproof_proto::order::{Ends, Slow};
use thiserror::Error;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep};

use super::line::Reset;
use super::reply::Manner;

#[derive(Debug)]
pub(super) struct ReplyBody {
    left: Bytes,
    pace: Option<Pace>,
    /// Break off, with a reset, when no more than this is left.
    breaks: Option<(usize, Reset)>,
    /// Whether what came before the break was handed on to the socket.
    flushed: bool,
}

/// The pieces of a slow body.
#[derive(Debug)]
pub(super) struct Pace {
    piece: usize,
    between: Duration,
    next: Option<Pin<Box<Sleep>>>,
}

/// The stub broke the connection on purpose.
#[derive(Debug, Error)]
#[error("the stub resets the connection, as the plan says")]
pub(super) struct Broken;

impl ReplyBody {
    pub(super) fn whole(body: Bytes) -> Self {
        Self { left: body, pace: None, breaks: None, flushed: false }
    }

    /// As the reply says.
    pub(super) fn of(body: Bytes, reply: &Manner, reset: &Reset) -> Self {
        let pace = reply.slow.as_ref().and_then(|slow| Pace::of(slow, body.len()));
        let breaks = (reply.ends == Ends::ResetInBody).then(|| (body.len() / 2, reset.clone()));
        Self { left: body, pace, breaks, flushed: false }
    }

    /// What may be said at once.
    fn sendable(&self) -> usize {
        self.left.len() - self.breaks.as_ref().map_or(0, |(rest, _)| *rest)
    }
}

impl Pace {
    /// `None`: there is nothing to spread.
    pub(super) fn of(slow: &Slow, bytes: usize) -> Option<Self> {
        let pieces = usize::try_from(slow.pieces).unwrap_or(usize::MAX).clamp(1, bytes.max(1));
        let piece = bytes.div_ceil(pieces);
        let gaps = u32::try_from(bytes.div_ceil(piece.max(1))).unwrap_or(u32::MAX).saturating_sub(1);
        let between = Duration::from_millis(slow.over_ms).checked_div(gaps)?;
        Some(Self { piece, between, next: None })
    }

    /// Writes all of it, in this pace.
    pub(super) async fn send(mut self, mut bytes: Bytes, to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        while !bytes.is_empty() {
            let most = std::future::poll_fn(|cx| self.poll(cx)).await;
            to.write_all(&bytes.split_to(most.min(bytes.len()))).await?;
            to.flush().await?;
        }
        Ok(())
    }

    /// How much is to be said now, once its time has come.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if let Some(next) = &mut self.next {
            std::task::ready!(next.as_mut().poll(cx));
        }
        let due = self.next.as_ref().map_or_else(Instant::now, |next| next.deadline());
        self.next = Some(Box::pin(tokio::time::sleep_until(due + self.between)));
        Poll::Ready(self.piece)
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if this.left.is_empty() && this.breaks.is_none() {
            return Poll::Ready(None);
        }
        let sendable = this.sendable();
        if sendable == 0 {
            if !std::mem::replace(&mut this.flushed, true) {
                // One turn for the server to write what it has: the client is to see half of a body, not nothing.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some((_, reset)) = &this.breaks {
                reset.ask();
            }
            return Poll::Ready(Some(Err(Broken)));
        }
        let most = match &mut this.pace {
            Some(pace) => std::task::ready!(pace.poll(cx)),
            None => sendable,
        };
        Poll::Ready(Some(Ok(Frame::data(this.left.split_to(most.min(sendable))))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.breaks.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}
