use std::time::{Duration, Instant};

use super::*;
use crate::limits;
use crate::seed::Seed;

const WINDOW: u64 = 64 * 1024;

#[test]
fn bytes_arrive_once_and_in_order_however_often_the_connection_is_replaced() {
    for seed in 0..200 {
        survives(seed);
    }
}

/// Random writes, losses of everything in flight, and slow reading; the seed is in the panic message.
fn survives(seed: u64) {
    let mut luck = Seed::new(seed);
    let total = luck.below(3 * WINDOW);
    let source: Vec<u8> = (0..total).map(|i| (i * 31 % 251) as u8).collect();
    let (mut out, mut into) = (Sending::new(WINDOW), Receiving::new(WINDOW));
    let (mut written, mut seen, mut unread) = (0, Vec::new(), 0);
    for _round in 0..10_000 {
        let piece = out.room().min(source.len() - written).min(luck.below(20_000) as usize);
        out.write(&source[written..written + piece]);
        written += piece;
        if written == source.len() {
            out.finish();
        }
        if luck.below(10) == 0 {
            while out.poll(limits::STREAM_CHUNK_BYTES).is_some() {}
            out.rewind();
            let (received, limit) = into.ack();
            out.acked(received, limit).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        }
        while let Some(piece) = out.poll(limits::STREAM_CHUNK_BYTES) {
            match piece {
                Piece::Data { offset, bytes } => {
                    let new = into.data(offset, bytes).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
                    unread += new.len() as u64;
                    seen.extend(new);
                }
                Piece::Fin { offset } => {
                    into.fin(offset).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
                }
            }
        }
        let read = luck.below(unread + 1);
        into.consumed(read);
        unread -= read;
        if luck.below(3) == 0 && into.has_news() {
            let (received, limit) = into.ack();
            out.acked(received, limit).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        }
        if out.is_done() {
            assert!(seen == source, "seed {seed}: the bytes differ");
            return;
        }
    }
    panic!("seed {seed}: never done, {} unacked", out.unacked());
}

#[test]
fn a_sender_that_ignores_its_credit_is_found_out() {
    let mut into = Receiving::new(WINDOW);
    let too_much = vec![0; WINDOW as usize + 1];
    assert!(matches!(into.data(0, too_much), Err(FlowError::OverCredit { .. })));
    assert!(matches!(into.fin(WINDOW + 1), Err(FlowError::OverCredit { .. })));
}

#[test]
fn pieces_in_any_order_with_any_overlap_become_the_same_bytes() {
    for seed in 0..500 {
        let mut luck = Seed::new(seed);
        let total = 1 + luck.below(3_000);
        let byte = |at: u64| (at * 31 % 251) as u8;
        let mut into = Receiving::new(WINDOW);
        let (mut seen, mut ended) = (Vec::new(), false);
        while !into.is_complete() {
            let from = luck.below(total);
            let upto = (from + 1 + luck.below(200)).min(total);
            let piece = (from..upto).map(byte).collect();
            seen.extend(into.data(from, piece).unwrap_or_else(|e| panic!("seed {seed}: {e}")));
            if luck.below(20) == 0 {
                assert_eq!(into.fin(total), Ok(!ended), "seed {seed}");
                ended = true;
            }
        }
        assert!(seen == (0..total).map(byte).collect::<Vec<_>>(), "seed {seed}: the bytes differ");
        assert_eq!(into.gaps(), 0, "seed {seed}");
    }
}

#[test]
fn what_is_late_goes_a_second_time_and_no_more() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut out = Sending::new(WINDOW);
    out.write(&[1; 3_000]);
    assert!(matches!(out.poll(limits::STREAM_CHUNK_BYTES), Some(Piece::Data { offset: 0, .. })));
    out.mark(at(0));
    out.write(&[2; 500]);
    assert!(matches!(out.poll(limits::STREAM_CHUNK_BYTES), Some(Piece::Data { offset: 3_000, .. })));
    out.mark(at(100));
    out.acked(1_000, WINDOW).expect("true");
    assert_eq!(out.poll_again(at(0), limits::STREAM_CHUNK_BYTES), None, "nothing is late yet");
    let late = Piece::Data { offset: 1_000, bytes: vec![1; 2_000] };
    assert_eq!(
        out.poll_again(at(50), limits::STREAM_CHUNK_BYTES),
        Some(late),
        "what is acknowledged need not go again"
    );
    assert_eq!(out.poll_again(at(50), limits::STREAM_CHUNK_BYTES), None, "once is enough");
    assert_eq!(
        out.poll_again(at(101), limits::STREAM_CHUNK_BYTES),
        Some(Piece::Data { offset: 3_000, bytes: vec![2; 500] })
    );
    out.rewind();
    assert_eq!(out.poll_again(at(1_000), limits::STREAM_CHUNK_BYTES), None, "a new connection carries it first");
    assert!(matches!(out.poll(limits::STREAM_CHUNK_BYTES), Some(Piece::Data { offset: 1_000, .. })));
}

#[test]
fn what_lies_beyond_the_end_or_moves_it_is_refused() {
    let mut into = Receiving::new(WINDOW);
    into.data(10, vec![0; 5]).expect("ahead");
    assert_eq!(into.fin(12), Err(FlowError::AfterFin));
    assert_eq!(into.fin(20), Ok(true));
    assert_eq!(into.fin(21), Err(FlowError::OtherEnd { before: 20, now: 21 }));
    assert_eq!(into.data(20, vec![1]), Err(FlowError::AfterFin));
}

#[test]
fn a_sender_of_crumbs_with_gaps_between_them_is_refused() {
    let mut into = Receiving::new(WINDOW);
    let crumbs = (0..=limits::STREAM_GAPS as u64).map(|n| into.data(1 + 2 * n, vec![0]));
    assert_eq!(crumbs.last(), Some(Err(FlowError::TooManyGaps)));
}

#[test]
fn an_acknowledgement_of_bytes_never_sent_is_refused() {
    let mut out = Sending::new(10);
    out.write(b"abc");
    assert_eq!(out.acked(2, 10), Err(FlowError::AckAhead(2)));
}
