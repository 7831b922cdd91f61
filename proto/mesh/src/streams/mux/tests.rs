//! Two muxes and a wire between them that loses everything in flight now and then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{FutureExt, select_all};
use meshproof_proto::frame::BulkFrame;
use meshproof_proto::id::{Generation, PeerId};
use meshproof_proto::limits;
use meshproof_proto::seed::Seed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{Incoming, Mux, Way};

/// Data of one frame at most.
const WHOLE: usize = limits::STREAM_CHUNK_BYTES;

/// Carries frames both ways until dropped.
struct Wire(tokio::task::JoinHandle<()>);

/// How a wire treats what it carries.
#[derive(Clone, Copy)]
struct Manner {
    stripes: u8,
    /// After so many frames, about, a connection is replaced and what it held is lost.
    lose_every: Option<u64>,
}

const HONEST: Manner = Manner { stripes: 1, lose_every: None };

/// Frames that a connection holds before it is full.
const HELD: usize = 6;

/// One connection: what it holds keeps its order, and arrives whenever luck has it.
struct Line {
    way: Way,
    held: [VecDeque<BulkFrame>; 2],
}

impl Wire {
    fn new(left: &Arc<Mux>, right: &Arc<Mux>, manner: Manner) -> (Self, mpsc::Receiver<Incoming>) {
        let (opened, incoming) = mpsc::channel(16);
        let ends = [Arc::clone(left), Arc::clone(right)];
        (Self(tokio::spawn(carry(ends, manner, opened))), incoming)
    }
}

async fn carry(ends: [Arc<Mux>; 2], manner: Manner, opened: mpsc::Sender<Incoming>) {
    let mut luck = Seed::new(7);
    let mut lines: Vec<Line> = (0..manner.stripes)
        .map(|stripe| Line { way: Way { stripe, generation: Generation(1) }, held: Default::default() })
        .collect();
    for line in &lines {
        ends.iter().for_each(|end| end.attach(line.way));
    }
    loop {
        take(&ends, &mut lines).await;
        if manner.lose_every.is_some_and(|every| luck.below(every) == 0) {
            let broken = luck.below(lines.len() as u64) as usize;
            replace(&ends, &mut lines[broken], &mut luck);
            continue;
        }
        for line in &mut lines {
            for (to, held) in line.held.iter_mut().enumerate() {
                let arrived =
                    if manner.stripes == 1 { held.len() } else { luck.below(3).min(held.len() as u64) as usize };
                for frame in held.drain(..arrived) {
                    if let Some(stream) = ends[to].frame(frame) {
                        opened.send(stream).await.expect("the test takes streams");
                    }
                }
            }
        }
    }
}

/// One frame from whoever has one, unless frames are held already: then as many as there are.
async fn take(ends: &[Arc<Mux>; 2], lines: &mut [Line]) {
    let mut moved = lines.iter().any(|line| line.held.iter().any(|held| !held.is_empty()));
    for line in lines.iter_mut() {
        for (from, end) in ends.iter().enumerate() {
            while line.held[1 - from].len() < HELD
                && let Some(frame) = end.try_frame(line.way, WHOLE)
            {
                line.held[1 - from].push_back(frame);
                moved = true;
            }
        }
    }
    if moved {
        return tokio::task::yield_now().await;
    }
    let ways = lines.iter().enumerate().flat_map(|(number, line)| [0, 1].map(|from| (number, from, line.way)));
    let nexts = ways.map(|(number, from, way)| {
        let end = &ends[from];
        async move { (number, from, end.next_frame(way, WHOLE).await) }.boxed()
    });
    let ((number, from, frame), _, _) = select_all(nexts).await;
    lines[number].held[1 - from].push_back(frame);
}

/// The connection breaks and another comes; one side notices before the other does.
fn replace(ends: &[Arc<Mux>; 2], line: &mut Line, luck: &mut Seed) {
    line.held = Default::default();
    let old = line.way;
    line.way.generation = old.generation.next();
    for end in ends {
        if luck.below(2) == 0 {
            end.detach(old);
        }
        end.attach(line.way);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const MAIN: Way = Way { stripe: 0, generation: Generation(1) };

fn pair() -> (Arc<Mux>, Arc<Mux>) {
    let (low, high) = (PeerId([1; 32]), PeerId([2; 32]));
    (Mux::new(&low, &high, 0), Mux::new(&high, &low, 0))
}

#[test]
fn what_the_peer_acknowledges_before_its_opening_goes_again_is_no_less_sent() {
    let way = |stripe, generation| Way { stripe, generation: Generation(generation) };
    let mux = Mux::new(&PeerId([1; 32]), &PeerId([2; 32]), 0);
    mux.attach(way(0, 1));
    mux.attach(way(1, 1));
    let mut stream = mux.open(b"header".to_vec()).expect("there is room");
    let Some(BulkFrame::Open { stream: id, .. }) = mux.try_frame(way(0, 1), WHOLE) else {
        panic!("the opening is first")
    };
    // a stripe is replaced, so that everything is to go again; then the answer to the first opening comes on the other one
    mux.attach(way(1, 2));
    mux.frame(BulkFrame::Ack { stream: id, received: 0, limit: limits::STREAM_WINDOW_BYTES });
    stream.write_all(b"a little").now_or_never().expect("there is credit").expect("the stream lives");
    let frames: Vec<_> = std::iter::from_fn(|| mux.try_frame(way(0, 1), WHOLE)).collect();
    let data = |frame: &BulkFrame| matches!(frame, BulkFrame::Data { bytes, .. } if bytes[..] == *b"a little");
    assert!(frames.iter().any(data), "{frames:?}");
}

#[tokio::test]
async fn a_stream_survives_replaced_connections_byte_for_byte_and_leaves_nothing() {
    survives(Manner { stripes: 1, lose_every: Some(40) }).await;
}

#[tokio::test]
async fn a_stream_over_stripes_survives_the_loss_of_any_of_them_byte_for_byte() {
    survives(Manner { stripes: 4, lose_every: Some(40) }).await;
}

async fn survives(manner: Manner) {
    let (left, right) = pair();
    let (_wire, mut incoming) = Wire::new(&left, &right, manner);
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
    while left.queued().0 + right.queued().0 > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reset_reaches_the_peer_with_its_reason() {
    let (left, right) = pair();
    let (_wire, mut incoming) = Wire::new(&left, &right, HONEST);
    let near = left.open(Vec::new()).expect("room for a stream");
    let mut far = incoming.recv().await.expect("a stream is opened").stream;
    near.reset("refused: nobody listens");
    let error = far.read_u8().await.expect_err("reset");
    assert_eq!(error.to_string(), "refused: nobody listens");
}

#[tokio::test]
async fn a_reader_that_stops_bounds_memory_and_stalls_nobody_else() {
    let (left, right) = pair();
    let (_wire, mut incoming) = Wire::new(&left, &right, HONEST);
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
    let held: usize = right.lock().unread();
    assert!(held as u64 <= limits::STREAM_WINDOW_BYTES, "{held} bytes are held for a reader that stopped");
    flood.abort();
}

#[tokio::test]
async fn frames_for_a_stream_that_is_over_are_answered_with_a_reset() {
    let (left, right) = pair();
    right.attach(MAIN);
    drop(right.frame(BulkFrame::Open { stream: meshproof_proto::id::StreamId(0), header: Vec::new() }));
    while right.try_frame(MAIN, WHOLE).is_some() {}
    right.frame(BulkFrame::Data { stream: meshproof_proto::id::StreamId(0), offset: 0, bytes: vec![1] });
    assert!(matches!(right.try_frame(MAIN, WHOLE), Some(BulkFrame::Reset { .. })));
    drop(left);
}

#[tokio::test]
async fn a_reset_that_was_lost_with_its_connection_goes_again_on_the_next() {
    let (left, right) = pair();
    left.attach(MAIN);
    let near = left.open(Vec::new()).expect("room for a stream");
    let mut far = right.frame(left.try_frame(MAIN, WHOLE).expect("it is opened")).expect("a new stream").stream;
    near.reset("enough");
    let lost =
        std::iter::from_fn(|| left.try_frame(MAIN, WHOLE)).filter(|frame| matches!(frame, BulkFrame::Reset { .. }));
    assert_eq!(lost.count(), 1, "the reset was sent, and is lost here");
    let next = Way { generation: Generation(2), ..MAIN };
    left.attach(next);
    assert_eq!(left.try_frame(MAIN, WHOLE), None, "what was replaced carries nothing any more");
    while let Some(frame) = left.try_frame(next, WHOLE) {
        right.frame(frame);
    }
    let error = far.read_u8().await.expect_err("reset");
    assert_eq!(error.to_string(), "enough");
}

#[tokio::test]
async fn a_side_that_lost_the_link_tells_the_other_which_has_not_when_it_is_back() {
    let (left, right) = pair();
    left.attach(MAIN);
    let _near = left.open(Vec::new()).expect("room for a stream");
    let mut far = right.frame(left.try_frame(MAIN, WHOLE).expect("it is opened")).expect("a new stream").stream;
    left.detach(MAIN);
    left.reset_all("the link is lost");
    let next = Way { generation: Generation(2), ..MAIN };
    left.attach(next);
    while let Some(frame) = left.try_frame(next, WHOLE) {
        right.frame(frame);
    }
    let error = far.read_u8().await.expect_err("reset");
    assert_eq!(error.to_string(), "the link is lost");
}

#[tokio::test]
async fn streams_of_a_link_that_is_made_anew_are_none_of_those_that_the_peer_knows() {
    let (left, right) = pair();
    left.attach(MAIN);
    right.attach(MAIN);
    let known: Vec<_> = (0..3).map(|_| right.open(Vec::new()).expect("room for a stream")).collect();
    while let Some(frame) = right.try_frame(MAIN, WHOLE) {
        left.frame(frame);
    }
    drop(known);
    let (low, high) = (PeerId([1; 32]), PeerId([2; 32]));
    let anew = Mux::new(&high, &low, 1);
    anew.attach(MAIN);
    let mut stream = anew.open(Vec::new()).expect("room for a stream");
    stream.write_u8(7).await.expect("room for a byte");
    let arrived: Vec<_> =
        std::iter::from_fn(|| anew.try_frame(MAIN, WHOLE)).filter_map(|frame| left.frame(frame)).collect();
    let [Incoming { stream: mut far, .. }] = <[Incoming; 1]>::try_from(arrived).expect("a new stream");
    assert_eq!(far.read_u8().await.expect("it is there"), 7);
}

#[tokio::test]
async fn a_stripe_carries_only_what_needs_no_order() {
    let (left, right) = pair();
    let stripe = Way { stripe: 3, ..MAIN };
    left.attach(MAIN);
    left.attach(stripe);
    let mut near = left.open(b"header".to_vec()).expect("room for a stream");
    near.write_all(&vec![1; 100_000]).await.expect("within the window");
    assert_eq!(left.try_frame(stripe, WHOLE), None, "the peer does not know the stream yet");
    let opening = left.try_frame(MAIN, WHOLE).expect("the opening");
    let _far = right.frame(opening).expect("a new stream");
    right.attach(MAIN);
    left.frame(right.try_frame(MAIN, WHOLE).expect("the acknowledgement"));
    assert!(matches!(left.try_frame(stripe, WHOLE), Some(BulkFrame::Data { offset: 0, .. })));
    let rest = left.try_frame(stripe, WHOLE).expect("a large piece");
    assert!(matches!(rest, BulkFrame::Data { offset, .. } if offset > 0));
    near.write_all(b"small").await.expect("within the window");
    near.shutdown().await.expect("within the window");
    assert_eq!(left.try_frame(stripe, WHOLE), None, "small pieces and the end keep their order on the main way");
    assert!(matches!(left.try_frame(MAIN, WHOLE), Some(BulkFrame::Data { .. })));
    assert!(matches!(left.try_frame(MAIN, WHOLE), Some(BulkFrame::Fin { .. })));
}

#[tokio::test]
async fn what_is_late_is_not_taken_over_from_a_stream_that_the_peer_may_not_know() {
    let (left, right) = pair();
    let stripe = Way { stripe: 3, ..MAIN };
    left.attach(MAIN);
    left.attach(stripe);
    left.note_round_trip(Duration::ZERO);
    let mut near = left.open(b"header".to_vec()).expect("room for a stream");
    near.write_all(b"first").await.expect("within the window");
    let opening = left.try_frame(MAIN, WHOLE).expect("the opening");
    let data = left.try_frame(MAIN, WHOLE).expect("the data");
    assert_eq!(left.try_frame(stripe, WHOLE), None, "the main way has the opening still");
    let _far = right.frame(opening).expect("a new stream");
    right.attach(MAIN);
    left.frame(right.try_frame(MAIN, WHOLE).expect("the acknowledgement"));
    assert_eq!(left.try_frame(stripe, WHOLE), Some(data), "late, and the peer knows the stream");
}
