//! RPC messages in pieces that fit a data channel message.

use meshproof_proto::codec::Codec;
use meshproof_proto::frame::Piece;
use meshproof_proto::limits;

/// A piece of payload, less the frame's own header.
const PIECE_BYTES: usize = limits::MESSAGE_BYTES - 64;

/// Cuts a message for frames that are written like that.
pub(super) fn cut(codec: Codec, message: &[u8]) -> impl Iterator<Item = Piece> + '_ {
    let most = match codec {
        Codec::Bincode => PIECE_BYTES,
        // base64 makes four characters of three bytes
        Codec::Json => PIECE_BYTES / 4 * 3,
    };
    let count = message.len().div_ceil(most).max(1);
    (0..count).map(move |i| {
        let end = ((i + 1) * most).min(message.len());
        Piece { last: i + 1 == count, bytes: message[i * most..end].to_vec() }
    })
}

/// Puts messages together again, up to the limit of one RPC frame.
#[derive(Debug, Default)]
pub(crate) struct Assembler(Vec<u8>);

/// A message that does not end within its limit.
#[derive(Debug, thiserror::Error)]
#[error("an RPC message is over the limit of {limit} bytes", limit = limits::RPC_FRAME_BYTES)]
pub(crate) struct NeverEnding;

impl Assembler {
    /// Takes a piece; gives the message when it was the last.
    pub(crate) fn piece(&mut self, Piece { last, bytes }: Piece) -> Result<Option<Vec<u8>>, NeverEnding> {
        if self.0.len() + bytes.len() > limits::RPC_FRAME_BYTES {
            return Err(NeverEnding);
        }
        if self.0.is_empty() && last {
            return Ok(Some(bytes));
        }
        self.0.extend(bytes);
        Ok(last.then(|| std::mem::take(&mut self.0)))
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::frame::ControlFrame;

    use super::*;

    #[test]
    fn a_message_of_any_size_up_to_the_limit_survives_its_pieces() {
        let sizes = [0, 1, PIECE_BYTES, PIECE_BYTES + 1, limits::RPC_FRAME_BYTES];
        for (size, codec) in sizes.into_iter().flat_map(|size| [(size, Codec::Bincode), (size, Codec::Json)]) {
            let message: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let mut assembler = Assembler::default();
            let mut whole = None;
            for piece in cut(codec, &message) {
                assert!(whole.is_none());
                let frame = codec.encode(&ControlFrame::Call(piece.clone())).expect("it fits");
                assert!(frame.len() <= limits::MESSAGE_BYTES, "{} bytes", frame.len());
                whole = assembler.piece(piece).expect("within the limit");
            }
            assert!(whole.as_ref() == Some(&message), "size {size}");
        }
    }

    #[test]
    fn a_message_that_never_ends_is_refused() {
        let mut assembler = Assembler::default();
        let piece = Piece { last: false, bytes: vec![0; PIECE_BYTES] };
        let pieces = limits::RPC_FRAME_BYTES / PIECE_BYTES;
        for _ in 0..pieces {
            assembler.piece(piece.clone()).expect("within the limit");
        }
        assert!(assembler.piece(piece).is_err());
    }
}
