//! The messages of a reply: at once or spread over a time, broken off half way, and the status behind them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame};
use meshproof_proto::order::Ends;
use tokio::time::{Instant, Sleep};

use crate::stub::body::Broken;
use crate::stub::reply::Manner;

#[derive(Debug)]
pub(in crate::stub) struct Messages {
    left: VecDeque<Bytes>,
    /// `None`: they were sent.
    trailers: Option<HeaderMap>,
    /// Break off when no more than so many are left.
    breaks_at: Option<usize>,
    between: Option<Duration>,
    next: Option<Pin<Box<Sleep>>>,
}

impl Messages {
    /// As the reply says: a slow one has the same time between any two messages.
    pub fn of(messages: Vec<Bytes>, trailers: HeaderMap, manner: Option<Manner>) -> Self {
        let gaps = u32::try_from(messages.len()).unwrap_or(u32::MAX).saturating_sub(1);
        let slow = manner.and_then(|manner| manner.slow);
        let between = slow.and_then(|slow| Duration::from_millis(slow.over_ms).checked_div(gaps));
        let breaks = manner.is_some_and(|manner| manner.ends == Ends::ResetInBody);
        let breaks_at = breaks.then_some(messages.len() / 2);
        Self { left: messages.into(), trailers: Some(trailers), breaks_at, between, next: None }
    }
}

impl Body for Messages {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if let Some(next) = &mut this.next {
            ready!(next.as_mut().poll(cx));
        }
        if this.breaks_at.is_some_and(|most| this.left.len() <= most) {
            return Poll::Ready(Some(Err(Broken)));
        }
        let Some(message) = this.left.pop_front() else {
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        };
        let due = this.next.take().map_or_else(Instant::now, |next| next.deadline());
        this.next = this
            .between
            .filter(|_| !this.left.is_empty())
            .map(|between| Box::pin(tokio::time::sleep_until(due + between)));
        Poll::Ready(Some(Ok(Frame::data(message))))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none()
    }
}
