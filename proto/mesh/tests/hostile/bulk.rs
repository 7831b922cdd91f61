//! Frames on a bulk connection. A stream that breaks its rules is reset; what cannot be read ends the connection.

use bytes::Bytes;
use meshproof_proto::frame::{BulkFrame, ControlFrame, DATAGRAM_CHANNEL};
use meshproof_proto::id::StreamId;
use meshproof_proto::limits;

use crate::control::no_hello;
use crate::frames::{BULK, Case, Outcome, bulk, play};
use crate::peer::encoded;

/// The hostile peer has the lower id, so its streams are even.
const MINE: StreamId = StreamId(0);
const NEVER_OPENED: StreamId = StreamId(2_000_000);
const UNREADABLE: Outcome = Outcome::Ends("a frame cannot be read");
const MISPLACED: Outcome = Outcome::Ends("a frame came that has no place there");

fn open(stream: StreamId) -> Bytes {
    encoded(&BulkFrame::Open { stream, header: b"echo".to_vec() })
}

fn data(stream: StreamId, offset: u64, bytes: usize) -> Bytes {
    encoded(&BulkFrame::Data { stream, offset, bytes: vec![1; bytes] })
}

fn fin(offset: u64) -> Bytes {
    encoded(&BulkFrame::Fin { stream: MINE, offset })
}

fn ack(received: u64, limit: u64) -> Bytes {
    encoded(&BulkFrame::Ack { stream: MINE, received, limit })
}

fn reset(stream: StreamId) -> Bytes {
    encoded(&BulkFrame::Reset { stream, reason: "because".to_owned() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_frames_that_cannot_be_read_or_have_no_place_end_the_connection_with_a_reason() {
    let whole = data(MINE, 0, 10);
    let raw = |bytes: &'static [u8]| Bytes::from_static(bytes);
    // the header's bytes follow: 56 KiB of the megabyte that is announced
    let huge = [&[5, 0, 252][..], &(1_u32 << 20).to_le_bytes(), &vec![0; 56 * 1024]].concat();
    let hello = BulkFrame::Hello(Box::new(no_hello()));
    play([
        bulk("an empty bulk frame", [Bytes::new()], UNREADABLE),
        bulk("data that is cut", [whole.slice(..whole.len() - 1)], UNREADABLE),
        bulk("data with a byte too many", [[&whole, &b"!"[..]].concat().into()], UNREADABLE),
        bulk("a bulk frame of a kind that there is not", [raw(&[200])], UNREADABLE),
        bulk("data of 2^32-1 bytes", [raw(&[6, 0, 0, 252, 255, 255, 255, 255])], UNREADABLE),
        bulk("data of 2^64-1 bytes", [raw(&[6, 0, 0, 253, 255, 255, 255, 255, 255, 255, 255, 255])], UNREADABLE),
        bulk("a header of a megabyte", [huge.into()], UNREADABLE),
        bulk("a second hello on bulk", [encoded(&hello)], MISPLACED),
        bulk("a call on bulk", [encoded(&ControlFrame::Bye)], UNREADABLE),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_that_nobody_asked_for_are_dropped_and_the_link_goes_on() {
    let messages = Box::new((0..10_000).map(|_| (DATAGRAM_CHANNEL, Bytes::from_static(b"?"))));
    play([Case { name: "a flood of datagrams", kind: BULK, messages, outcome: Outcome::Nothing }]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_its_rules_is_reset_with_a_reason_and_the_link_goes_on() {
    const WINDOW: u64 = limits::STREAM_WINDOW_BYTES;
    let beyond = data(MINE, WINDOW - 9, 10);
    let large = encoded(&BulkFrame::Open { stream: MINE, header: vec![0; limits::STREAM_HEADER_BYTES + 1] });
    play([
        bulk("data for a stream never opened", [data(NEVER_OPENED, 0, 10)], Outcome::Resets("the stream is over")),
        bulk("an end of a stream never opened", [fin(0)], Outcome::Resets("the stream is over")),
        bulk("data after a gap", [open(MINE), data(MINE, 7, 1)], Outcome::Nothing),
        bulk("data beyond the credit", [open(MINE), beyond], Outcome::Resets("were allowed")),
        bulk("data at the end of numbers", [open(MINE), data(MINE, u64::MAX, 9)], Outcome::Resets("were allowed")),
        bulk("data after the end", [open(MINE), fin(0), data(MINE, 0, 1)], Outcome::Resets("bytes follow the end")),
        bulk(
            "two ends",
            [open(MINE), data(MINE, 0, 5), fin(5), fin(3)],
            Outcome::Resets("the end of the stream is at"),
        ),
        bulk(
            "bytes acknowledged that were never sent",
            [open(MINE), ack(1 << 40, 1 << 41)],
            Outcome::Resets("never sent"),
        ),
        bulk("a header that is too large", [large], Outcome::Resets("too large a header")),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_frames_that_mean_nothing_harm_nobody() {
    let theirs = StreamId(1);
    play([
        bulk("an answer to a bulk beat never sent", [encoded(&BulkFrame::BeatAnswer(u64::MAX))], Outcome::Nothing),
        bulk("credit without end", [open(MINE), ack(0, u64::MAX)], Outcome::Nothing),
        bulk("an acknowledgement of a stream never opened", [ack(5, 5)], Outcome::Nothing),
        bulk("a reset of a stream never opened", [reset(NEVER_OPENED)], Outcome::Nothing),
        bulk("a stream opened twice", [open(MINE), open(MINE)], Outcome::Nothing),
        bulk("a stream opened with the victim's number", [open(theirs)], Outcome::Nothing),
        bulk(
            "the last number there is",
            [open(StreamId(u64::MAX - 1)), reset(StreamId(u64::MAX - 1))],
            Outcome::Nothing,
        ),
    ])
    .await;
}
