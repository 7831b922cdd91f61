//! Very many frames, each of them harmless.

use bytes::Bytes;
use meshproof_proto::frame::{BulkFrame, ControlFrame, MAIN_CHANNEL};
use meshproof_proto::id::StreamId;
use meshproof_proto::signal::ConnectionKind;

use crate::frames::{BULK, CONTROL, Case, Message, Outcome, play};
use crate::peer::encoded;

const MANY: u64 = 100_000;

fn flood(
    name: &'static str,
    kind: ConnectionKind,
    frame: impl Fn(u64) -> Bytes + Send + 'static,
    outcome: Outcome,
) -> Case {
    let messages: Box<dyn Iterator<Item = Message> + Send> = Box::new((0..MANY).map(move |n| (MAIN_CHANNEL, frame(n))));
    Case { name, kind, messages, outcome }
}

fn even(n: u64) -> StreamId {
    StreamId(2 * n)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_beats_is_answered_in_part_and_holds_nothing() {
    play([
        flood("beats", CONTROL, |n| encoded(&ControlFrame::Beat(n)), Outcome::Nothing),
        flood("answers to beats never sent", CONTROL, |n| encoded(&ControlFrame::BeatAnswer(n)), Outcome::Nothing),
        flood("beats on bulk", BULK, |n| encoded(&BulkFrame::Beat(n)), Outcome::Nothing),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_stream_frames_holds_no_more_than_the_streams_a_link_may_have() {
    let open = |n| encoded(&BulkFrame::Open { stream: even(n), header: Vec::new() });
    let reset = |n| encoded(&BulkFrame::Reset { stream: even(n), reason: "because".to_owned() });
    let data = |n| encoded(&BulkFrame::Data { stream: even(n), offset: 0, bytes: vec![0; 16] });
    play([
        flood("streams", BULK, open, Outcome::Resets("too many streams")),
        flood("resets", BULK, reset, Outcome::Nothing),
        flood("data of streams never opened", BULK, data, Outcome::Resets("the stream is over")),
    ])
    .await;
}
