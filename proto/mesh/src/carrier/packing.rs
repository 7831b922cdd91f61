//! Calls and replies that are ready at the same moment share a message: each message costs the stack a pass through SCTP, DTLS
//! and the socket.

use meshproof_proto::codec::{Codec, CodecError};
use meshproof_proto::frame::{ControlFrame, MAIN_CHANNEL};
use meshproof_proto::version::Version;
use thiserror::Error;
use tokio::sync::mpsc;

use super::{Outgoing, encoded};
use crate::limits::PACKED_BYTES;

/// The frames of a connection's RPC, packed into messages.
pub(super) struct Packing {
    frames: mpsc::Receiver<ControlFrame>,
    codec: Codec,
    /// How many bytes frames may share: none with a peer that reads one frame a message, and none in JSON, where a frame has no end of
    /// its own.
    room: usize,
    /// A frame that found no room in the message before it.
    left_over: Option<Vec<u8>>,
}

impl Packing {
    pub(super) fn new(frames: mpsc::Receiver<ControlFrame>, (speaks, codec): (Version, Codec)) -> Self {
        let room = if speaks.packs_frames() && codec == Codec::Bincode { PACKED_BYTES } else { 0 };
        Self { frames, codec, room, left_over: None }
    }

    /// The next message; `None` when nobody calls and nobody serves any more. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Outgoing> {
        let mut message = match self.left_over.take() {
            Some(frame) => frame,
            None => self.first().await?,
        };
        while message.len() < self.room {
            let Ok(frame) = self.frames.try_recv() else { break };
            let Some(frame) = encoded(self.codec, &frame) else { continue };
            if message.len() + frame.len() > self.room {
                self.left_over = Some(frame);
                break;
            }
            message.extend(frame);
        }
        Some(Outgoing { channel: MAIN_CHANNEL, bytes: message.into() })
    }

    async fn first(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = encoded(self.codec, &self.frames.recv().await?) {
                return Some(frame);
            }
        }
    }
}

/// Why a message of several frames was not taken.
#[derive(Debug, Error)]
pub(super) enum UnpackError {
    #[error("a frame cannot be read: {0}")]
    Codec(#[from] CodecError),
    #[error("a frame came that has no place there: only calls and replies share a message")]
    Shared,
}

/// The frames of a message. All of them are read before any has an effect.
pub(super) fn unpacked(codec: Codec, message: &[u8]) -> Result<impl Iterator<Item = ControlFrame>, UnpackError> {
    let (first, mut rest) = match codec {
        Codec::Bincode => codec.decode_front(message)?,
        Codec::Json => (codec.decode(message)?, &[][..]),
    };
    let mut others = Vec::new();
    while !rest.is_empty() {
        let (frame, following) = Codec::Bincode.decode_front(rest)?;
        others.push(frame);
        rest = following;
    }
    let travels_alone = |frame: &ControlFrame| !matches!(frame, ControlFrame::Call(_) | ControlFrame::Reply(_));
    if !others.is_empty() && std::iter::once(&first).chain(&others).any(travels_alone) {
        return Err(UnpackError::Shared);
    }
    Ok(std::iter::once(first).chain(others))
}

#[cfg(test)]
mod tests {
    use meshproof_proto::frame::Piece;

    use super::*;

    fn call(size: usize) -> ControlFrame {
        ControlFrame::Call(Piece { last: true, bytes: vec![7; size] })
    }

    /// The sizes of the calls in each message.
    async fn packed(sizes: &[usize], speaks: Version) -> Vec<Vec<usize>> {
        let (send, frames) = mpsc::channel(sizes.len());
        for size in sizes {
            send.send(call(*size)).await.expect("room");
        }
        drop(send);
        let mut packing = Packing::new(frames, (speaks, Codec::Bincode));
        let mut messages = Vec::new();
        while let Some(message) = packing.next().await {
            let calls = unpacked(Codec::Bincode, &message.bytes).expect("whole frames").map(|frame| match frame {
                ControlFrame::Call(piece) => piece.bytes.len(),
                other => panic!("a call went in: {other:?}"),
            });
            messages.push(calls.collect());
        }
        messages
    }

    #[tokio::test]
    async fn small_calls_share_a_message_and_a_large_one_has_its_own() {
        let speaks = Version { major: 1, minor: 1 };
        assert_eq!(packed(&[1, 2, 3], speaks).await, [vec![1, 2, 3]]);
        assert_eq!(packed(&[1, PACKED_BYTES, 2, 3], speaks).await, [vec![1], vec![PACKED_BYTES], vec![2, 3]]);
        let half = PACKED_BYTES / 2;
        assert_eq!(packed(&[half, half, half], speaks).await, [vec![half], vec![half], vec![half]], "headers count");
    }

    #[test]
    fn nothing_but_calls_and_replies_shares_a_message() {
        let frames = |frames: &[ControlFrame]| {
            frames.iter().filter_map(|frame| encoded(Codec::Bincode, frame)).collect::<Vec<_>>().concat()
        };
        assert!(unpacked(Codec::Bincode, &frames(&[ControlFrame::Beat(7)])).is_ok());
        assert!(matches!(unpacked(Codec::Bincode, &frames(&[call(1), ControlFrame::Bye])), Err(UnpackError::Shared)));
        assert!(matches!(
            unpacked(Codec::Bincode, &frames(&[ControlFrame::Beat(7), call(1)])),
            Err(UnpackError::Shared)
        ));
        let cut = frames(&[call(1), call(2)]);
        assert!(
            matches!(unpacked(Codec::Bincode, &cut[..cut.len() - 1]), Err(UnpackError::Codec(_))),
            "nothing of it is taken"
        );
    }

    #[tokio::test]
    async fn a_peer_of_the_first_minor_gets_one_frame_a_message() {
        assert_eq!(packed(&[1, 2], Version { major: 1, minor: 0 }).await, [vec![1], vec![2]]);
    }
}
