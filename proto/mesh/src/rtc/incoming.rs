//! The events of all channels of a connection, as one stream.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream::{self, BoxStream, SelectAll, StreamExt};
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use super::Channels;

type ChannelEvents = BoxStream<'static, (u16, Option<DataChannelEvent>)>;

/// The events of all channels. Each channel says that it opens before anything else, so they are taken one after the
/// other until the last one has: no message comes before the opening, and what waits, waits in the stack's queue.
pub(super) struct Incoming {
    opening: VecDeque<ChannelEvents>,
    open: SelectAll<ChannelEvents>,
}

impl Incoming {
    pub(super) fn new(channels: &Channels) -> Self {
        let opening = channels.iter().map(|(id, channel)| channel_events(*id, Arc::clone(channel)));
        Self { opening: opening.collect(), open: SelectAll::new() }
    }

    /// The next event of any channel; `OnOpen` once, when all are open. Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self) -> (u16, Option<DataChannelEvent>) {
        while let Some(channel) = self.opening.front_mut() {
            let event = channel.next().await.unwrap_or((0, None));
            if !matches!(event.1, Some(DataChannelEvent::OnOpen)) {
                return event;
            }
            self.open.extend(self.opening.pop_front());
            if self.opening.is_empty() {
                return event;
            }
        }
        self.open.next().await.unwrap_or((0, None))
    }
}

/// The channel's events, then one `None`.
fn channel_events(id: u16, channel: Arc<dyn DataChannel>) -> ChannelEvents {
    stream::unfold(Some(channel), move |channel| async move {
        let channel = channel?;
        let event = channel.poll().await;
        let next = event.is_some().then_some(channel);
        Some(((id, event), next))
    })
    .boxed()
}
