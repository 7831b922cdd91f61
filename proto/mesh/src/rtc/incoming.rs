//! The events of all channels of a connection, as one stream that begins with the opening.
//!
//! The stack loses what reaches it between the end of the SCTP handshake and its own notice of it. Only the answerer
//! can be hit: it ends the handshake, when the offerer is already open. So the answerer greets as soon as it is open,
//! and the offerer counts as open, and begins to send, when the greeting has come.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, SelectAll, StreamExt};
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use super::Channels;

/// The first message of the answerer on the first channel.
const GREETING: &[u8] = b"open";

/// An event and the channel it is of; `None` once a channel has no more.
pub(super) type ChannelEvent = (u16, Option<DataChannelEvent>);

type ChannelEvents = BoxStream<'static, ChannelEvent>;

/// Which description was ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Offerer,
    Answerer,
}

/// Each channel says that it opens before anything else, so they are taken one after the other until the last one
/// has: no message comes before the opening, and what waits, waits in the stack's queue.
pub(super) struct Incoming {
    opening: VecDeque<ChannelEvents>,
    opened: Vec<ChannelEvents>,
    greeting: Greeting,
    open: SelectAll<ChannelEvents>,
}

enum Greeting {
    Awaited,
    Sending(BoxFuture<'static, bool>),
    Done,
}

impl Incoming {
    /// `channels` is not empty, and its first one is reliable.
    pub(super) fn new(channels: &Channels, side: Side) -> Self {
        let greeting = match (side, channels.first()) {
            (Side::Answerer, Some((_, first))) => Greeting::Sending(greet(Arc::clone(first)).boxed()),
            _ => Greeting::Awaited,
        };
        let opening = channels.iter().map(|(id, channel)| channel_events(*id, Arc::clone(channel)));
        Self { opening: opening.collect(), opened: Vec::new(), greeting, open: SelectAll::new() }
    }

    /// The next event of any channel; `OnOpen` once, when all are open and the greeting was exchanged. Nothing is lost
    /// when the future is dropped.
    pub(super) async fn next(&mut self) -> ChannelEvent {
        while let Some(channel) = self.opening.front_mut() {
            let event = following(channel).await;
            if !matches!(event.1, Some(DataChannelEvent::OnOpen)) {
                return event;
            }
            self.opened.extend(self.opening.pop_front());
        }
        let greeted = match &mut self.greeting {
            Greeting::Done => return self.open.next().await.unwrap_or((0, None)),
            Greeting::Sending(greeting) => greeting.await,
            Greeting::Awaited => match self.opened.first_mut() {
                Some(first) => match following(first).await {
                    (_, Some(DataChannelEvent::OnMessage(message))) => *message.data == *GREETING,
                    other => return other,
                },
                None => false,
            },
        };
        self.greeting = Greeting::Done;
        self.open.extend(self.opened.drain(..));
        (0, Some(if greeted { DataChannelEvent::OnOpen } else { DataChannelEvent::OnError }))
    }
}

async fn greet(channel: Arc<dyn DataChannel>) -> bool {
    channel.send(BytesMut::from(GREETING)).await.is_ok()
}

async fn following(channel: &mut ChannelEvents) -> ChannelEvent {
    channel.next().await.unwrap_or((0, None))
}

/// The channel's events, then one `None`, then nothing ever: whoever is told of the end may still ask.
fn channel_events(id: u16, channel: Arc<dyn DataChannel>) -> ChannelEvents {
    let events = stream::unfold(Some(channel), move |channel| async move {
        let channel = channel?;
        let event = channel.poll().await;
        let next = event.is_some().then_some(channel);
        Some(((id, event), next))
    });
    events.chain(stream::pending()).boxed()
}
