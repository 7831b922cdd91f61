//! Two muxes and a wire between them that loses everything in flight now and then.

use std::sync::Arc;

use meshproof_proto::frame::BulkFrame;
use meshproof_proto::id::PeerId;
use meshproof_proto::limits;
use meshproof_proto::seed::Seed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{Incoming, Mux};

/// Carries frames both ways until dropped. `lose_every`: after so many frames, those in flight vanish and a new connection begins.
struct Wire(tokio::task::JoinHandle<()>);

impl Wire {
    fn new(left: &Arc<Mux>, right: &Arc<Mux>, lose_every: Option<u64>) -> (Self, mpsc::Receiver<Incoming>) {
        let (opened, incoming) = mpsc::channel(16);
        let (left, right) = (Arc::clone(left), Arc::clone(right));
        let carry = async move {
            let mut luck = Seed::new(7);
            loop {
                let (to, frame) = tokio::select! {
                    frame = left.next_frame() => (&right, frame),
                    frame = right.next_frame() => (&left, frame),
                };
                if lose_every.is_some_and(|every| luck.below(every) == 0) {
                    left.rewind();
                    right.rewind();
                    continue;
                }
                if let Some(stream) = to.frame(frame) {
                    opened.send(stream).await.expect("the test takes streams");
                }
            }
        };
        (Self(tokio::spawn(carry)), incoming)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn pair() -> (Arc<Mux>, Arc<Mux>) {
    let (low, high) = (PeerId([1; 32]), PeerId([2; 32]));
    (Mux::new(&low, &high), Mux::new(&high, &low))
}

#[tokio::test]
async fn a_stream_survives_replaced_connections_byte_for_byte_and_leaves_nothing() {
    let (left, right) = pair();
    let (_wire, mut incoming) = Wire::new(&left, &right, Some(40));
    let sent: Vec<u8> = (0..6_000_000_u32).map(|i| (i % 251) as u8).collect();
    let mut near = left.open(b"copy".to_vec()).expect("room for a stream");
    let data = sent.clone();
    let writing = tokio::spawn(async move {
        near.write_all(&data).await.expect("never reset");
        near.shutdown().await.expect("never reset");
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.expect("never reset");
        answer
    });
    let Incoming { header, stream: mut far } = incoming.recv().await.expect("a stream is opened");
    assert_eq!(header, b"copy");
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.expect("never reset");
    assert!(got == sent, "the bytes differ");
    far.write_all(b"thanks").await.expect("half-closed, not closed");
    far.shutdown().await.expect("never reset");
    assert_eq!(writing.await.expect("no panic"), b"thanks");
    drop(far);
    left.flush_acks();
    right.flush_acks();
    while !left.lock().streams.is_empty() || !right.lock().streams.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reset_reaches_the_peer_with_its_reason() {
    let (left, right) = pair();
    let (_wire, mut incoming) = Wire::new(&left, &right, None);
    let near = left.open(Vec::new()).expect("room for a stream");
    let mut far = incoming.recv().await.expect("a stream is opened").stream;
    near.reset("refused: nobody listens");
    let error = far.read_u8().await.expect_err("reset");
    assert_eq!(error.to_string(), "refused: nobody listens");
}

#[tokio::test]
async fn a_reader_that_stops_bounds_memory_and_stalls_nobody_else() {
    let (left, right) = pair();
    let (_wire, mut incoming) = Wire::new(&left, &right, None);
    let mut stuck = left.open(b"stuck".to_vec()).expect("room for a stream");
    let _never_read = incoming.recv().await.expect("a stream is opened");
    let block = vec![1; 64 * 1024];
    let flood = tokio::spawn(async move { while stuck.write_all(&block).await.is_ok() {} });
    let mut lively = left.open(b"lively".to_vec()).expect("room for a stream");
    let mut far = incoming.recv().await.expect("a second stream").stream;
    for i in 0..100 {
        lively.write_u32(i).await.expect("flows");
        assert_eq!(far.read_u32().await.expect("flows"), i);
    }
    let held: usize = right.lock().streams.values().map(|stream| stream.unread.len()).sum();
    assert!(held as u64 <= limits::STREAM_WINDOW_BYTES, "{held} bytes are held for a reader that stopped");
    flood.abort();
}

#[tokio::test]
async fn frames_for_a_stream_that_is_over_are_answered_with_a_reset() {
    let (left, right) = pair();
    drop(right.frame(BulkFrame::Open { stream: meshproof_proto::id::StreamId(0), header: Vec::new() }));
    while right.try_frame().is_some() {}
    right.frame(BulkFrame::Data { stream: meshproof_proto::id::StreamId(0), offset: 0, bytes: vec![1] });
    assert!(matches!(right.try_frame(), Some(BulkFrame::Reset { .. })));
    drop(left);
}

#[tokio::test]
async fn a_reset_that_was_lost_with_its_connection_goes_again_on_the_next() {
    let (left, right) = pair();
    let near = left.open(Vec::new()).expect("room for a stream");
    let mut far = right.frame(left.try_frame().expect("it is opened")).expect("a new stream").stream;
    near.reset("enough");
    let lost = std::iter::from_fn(|| left.try_frame()).filter(|frame| matches!(frame, BulkFrame::Reset { .. }));
    assert_eq!(lost.count(), 1, "the reset was sent, and is lost here");
    left.rewind();
    while let Some(frame) = left.try_frame() {
        right.frame(frame);
    }
    let error = far.read_u8().await.expect_err("reset");
    assert_eq!(error.to_string(), "enough");
}
