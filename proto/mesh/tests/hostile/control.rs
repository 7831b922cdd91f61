//! Frames on a control connection.

use std::time::Duration;

use bytes::Bytes;
use meshproof_proto::codec::Codec;
use meshproof_proto::frame::{BulkFrame, ControlFrame, EVENTS_CHANNEL, EventFrame, Piece};
use meshproof_proto::hello::Hello;
use meshproof_proto::id::{PeerId, StreamId};
use meshproof_proto::identity::{Chain, Signed};
use meshproof_proto::limits;
use meshproof_proto::version::PROTOCOL;

use crate::frames::{CONTROL, Case, Outcome, control, play};
use crate::peer::encoded;

const UNREADABLE: Outcome = Outcome::Ends("a frame cannot be read");
const MISPLACED: Outcome = Outcome::Ends("a frame came that has no place there");

fn raw(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn cut(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len() - 1)
}

fn longer(bytes: &Bytes) -> Bytes {
    [bytes, &b"!"[..]].concat().into()
}

fn two(first: &Bytes, second: &Bytes) -> Bytes {
    [&first[..], &second[..]].concat().into()
}

fn call(bytes: Vec<u8>) -> Bytes {
    encoded(&ControlFrame::Call(Piece { last: true, bytes }))
}

/// A call of which more is to come.
fn begun_call(bytes: Vec<u8>) -> Bytes {
    encoded(&ControlFrame::Call(Piece { last: false, bytes }))
}

/// A tarpc request as tarpc writes it: variant, deadline, trace, number, and the service's own request.
pub fn request(deadline: Duration, method: u32) -> Bytes {
    numbered_request(7, deadline, method)
}

/// One of several that are in flight.
pub fn numbered_request(number: u64, deadline: Duration, method: u32) -> Bytes {
    let trace = ([0_u8; 16], 0_u64, 0_u8);
    let bytes = Codec::Bincode.encode(&(0_u32, deadline, trace, number, (method, b"hi".to_vec()))).expect("small");
    call(bytes)
}

pub fn no_hello() -> Hello {
    let unsigned = Signed { text: String::new(), signature: Vec::new() };
    Hello { protocol: PROTOCOL, chain: Chain { grant: unsigned.clone(), claim: unsigned }, nonce: [0; 32] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_frames_that_cannot_be_read_end_the_link_with_a_reason() {
    let whole = call(vec![1, 2, 3]);
    let events = |bytes: Bytes| -> Box<dyn Iterator<Item = (u16, Bytes)> + Send> {
        Box::new(std::iter::once((EVENTS_CHANNEL, bytes)))
    };
    play([
        control("an empty frame", [Bytes::new()], UNREADABLE),
        control("a frame that is cut", [cut(&whole)], UNREADABLE),
        control("a beat that is cut", [raw(&[3])], UNREADABLE),
        control("a frame with a byte too many", [longer(&whole)], UNREADABLE),
        control("a call and half a call", [two(&whole, &cut(&whole))], UNREADABLE),
        control("a frame of a kind that there is not", [raw(&[200])], UNREADABLE),
        control("a piece of 2^32-1 bytes", [raw(&[5, 1, 252, 255, 255, 255, 255])], UNREADABLE),
        control("a piece of 2^64-1 bytes", [raw(&[5, 1, 253, 255, 255, 255, 255, 255, 255, 255, 255])], UNREADABLE),
        control("a text of 2^64-1 bytes", [raw(&[2, 253, 255, 255, 255, 255, 255, 255, 255, 255])], UNREADABLE),
        control("a text that is no text", [raw(&[2, 2, 0xff, 0xfe])], UNREADABLE),
        Case { name: "an empty frame of events", kind: CONTROL, messages: events(Bytes::new()), outcome: UNREADABLE },
        Case {
            name: "a batch of 2^64-1 events",
            kind: CONTROL,
            messages: events([&[0][..], &[7; 32], &[253], &[255; 8]].concat().into()),
            outcome: UNREADABLE,
        },
        Case {
            name: "a control frame among the events",
            kind: CONTROL,
            messages: events(encoded(&ControlFrame::Bye)),
            outcome: UNREADABLE,
        },
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_frames_in_the_wrong_place_end_the_link_with_a_reason() {
    let hello = ControlFrame::Hello(Box::new(no_hello()));
    let data = BulkFrame::Data { stream: StreamId(0), offset: 0, bytes: vec![0; 100] };
    let acknowledgement = EventFrame::Ack { instance: PeerId([7; 32]), through: 9 };
    let piece = vec![0; limits::MESSAGE_BYTES - 64];
    let pieces = limits::RPC_FRAME_BYTES / piece.len() + 1;
    play([
        control("a second hello", [encoded(&hello)], MISPLACED),
        control("a second proof", [encoded(&ControlFrame::Proof(vec![0; 64]))], MISPLACED),
        control("bulk data on control", [encoded(&data)], UNREADABLE),
        control("an event on the main channel", [encoded(&acknowledgement)], UNREADABLE),
        control(
            "a message that never ends",
            vec![begun_call(piece); pieces],
            Outcome::Ends("over the limit of 1048576"),
        ),
        control("a beat in a call's message", [two(&call(vec![1]), &encoded(&ControlFrame::Beat(7)))], MISPLACED),
        control("a refusal", [encoded(&ControlFrame::Refuse("no".to_owned()))], Outcome::Ends("the peer refused: no")),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_would_harm_tarpc_end_the_link_with_a_reason() {
    let years = Duration::from_secs(2 * 366 * 24 * 3600);
    play([
        control(
            "a call with a deadline of 2^64-1 s",
            [request(Duration::from_secs(u64::MAX), 0)],
            Outcome::Ends("deadline"),
        ),
        control("a call with a deadline of two years", [request(years, 0)], Outcome::Ends("deadline")),
        control("a call of a service that there is not", [request(Duration::from_secs(1), 99)], Outcome::Ends("RPC")),
        control("a call that is no call", [call(b"\xff\xff\xff\xff".to_vec())], Outcome::Ends("RPC")),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_frames_that_mean_nothing_harm_nobody() {
    let signal = Signed { text: "{}".to_owned(), signature: vec![0; 64] };
    let answer = |number| encoded(&ControlFrame::BeatAnswer(number));
    play([
        control("an answer to a beat never sent", [answer(u64::MAX)], Outcome::Nothing),
        control("a signal that is not signed", [encoded(&ControlFrame::Signal(signal))], Outcome::Nothing),
        control(
            "a reply to no call",
            [encoded(&ControlFrame::Reply(Piece { last: true, bytes: vec![0; 40] }))],
            Outcome::Nothing,
        ),
    ])
    .await;
}
