//! The `webrtc` crate as it comes; only loopback is allowed, or the two ends would not meet.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;
use tokio::sync::{mpsc, watch};
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState, SettingEngineBuilder,
};

use super::{Ends, Way};

/// Now and then it loses a burst and creeps on at 0.26 MB/s; this much still arrives in eight seconds then.
const MOST: usize = 2_000_000;

struct Handler {
    gathered: watch::Sender<bool>,
    opened: mpsc::Sender<Arc<dyn DataChannel>>,
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered.send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.opened.try_send(channel);
    }
}

struct End {
    peer: Arc<dyn PeerConnection>,
    gathered: watch::Receiver<bool>,
    opened: mpsc::Receiver<Arc<dyn DataChannel>>,
}

impl End {
    async fn new() -> Self {
        let (gathered_sender, gathered) = watch::channel(false);
        let (opened_sender, opened) = mpsc::channel(1);
        let peer = PeerConnectionBuilder::new()
            .with_setting_engine(SettingEngineBuilder::new().with_include_loopback_candidate(true).build())
            .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
            .with_handler(Arc::new(Handler { gathered: gathered_sender, opened: opened_sender }))
            .build();
        Self { peer: Arc::new(Box::pin(peer).await.expect("a peer connection")), gathered, opened }
    }

    /// Waits for the candidates, then gives the description to the other end.
    async fn tell(&mut self, other: &Self) {
        self.gathered.wait_for(|done| *done).await.expect("the peer connection lives");
        let description = self.peer.local_description().await.expect("it was set");
        other.peer.set_remote_description(description).await.expect("it fits");
    }
}

/// A connection of its own; a write is a message.
pub async fn stock() -> Way {
    let (mut left, mut right) = (End::new().await, End::new().await);
    let to = left.peer.create_data_channel("bulk", None).await.expect("a channel");
    let offer = left.peer.create_offer(None).await.expect("an offer");
    left.peer.set_local_description(offer).await.expect("our own offer");
    left.tell(&right).await;
    let answer = right.peer.create_answer(None).await.expect("an answer");
    right.peer.set_local_description(answer).await.expect("our own answer");
    right.tell(&left).await;
    let from = right.opened.recv().await.expect("the channel arrives");
    while !matches!(to.poll().await.expect("the channel lives"), DataChannelEvent::OnOpen) {}
    let (way, Ends { mut writes, mut reads, done }) = Way::new();
    tokio::spawn(async move {
        while let Some(load) = writes.recv().await {
            for _ in 0..load.writes {
                to.send(BytesMut::from(&vec![7_u8; load.size][..])).await.expect("it flows");
            }
        }
        let _ = left.peer.close().await;
    });
    tokio::spawn(async move {
        while let Some(load) = reads.recv().await {
            let mut left = load.bytes();
            while left > 0 {
                if let DataChannelEvent::OnMessage(message) = from.poll().await.expect("the channel lives") {
                    left -= message.data.len();
                }
            }
            let _ = done.send(()).await;
        }
        let _ = right.peer.close().await;
    });
    Way { most: MOST, ..way }
}
