//! The stack as we tune it, without anything of ours on top: messages through a connection's sender.

use bytes::Bytes;
use meshproof_mesh::rtc::{ChannelSpec, Connection, Reliability, RtcConfig, RtcEvent};

use super::{Ends, Way};

const CHANNELS: &[ChannelSpec] = &[
    ChannelSpec { id: 0, label: "bulk", reliability: Reliability::ReliableOrdered },
    ChannelSpec { id: 1, label: "datagram", reliability: Reliability::UnorderedNoRetransmit },
];

/// A connection of its own; a write is a message. Nobody makes it again when it ends, which its way then tells.
pub async fn tuned(config: &RtcConfig) -> Way {
    let (left, mut right) = open(config).await;
    let (way, Ends { mut writes, mut reads, done }) = Way::new();
    tokio::spawn(async move {
        let sender = left.sender();
        while let Some(load) = writes.recv().await {
            for _ in 0..load.writes {
                if sender.send(0, Bytes::from(vec![7; load.size])).await.is_err() {
                    break;
                }
            }
        }
        left.close().await;
    });
    tokio::spawn(async move {
        'loads: while let Some(load) = reads.recv().await {
            let mut left = load.bytes();
            while left > 0 {
                match right.next_event().await {
                    Some(RtcEvent::Message(message)) => left -= message.bytes.len(),
                    ended => {
                        eprintln!("an association of the bench's own ended: {ended:?}");
                        break 'loads;
                    }
                }
            }
            let _ = done.send(()).await;
        }
        right.close().await;
    });
    way
}

async fn open(config: &RtcConfig) -> (Connection, Connection) {
    let (mut left, offer) = Connection::offer(config, CHANNELS).await.expect("an offer");
    let (mut right, answer) = Connection::answer(config, CHANNELS, &offer).await.expect("an answer");
    left.accept_answer(&answer).await.expect("it fits");
    let events = tokio::join!(left.next_event(), right.next_event());
    assert_eq!(events, (Some(RtcEvent::Open), Some(RtcEvent::Open)));
    (left, right)
}
