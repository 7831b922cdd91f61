use std::time::{Duration, Instant};

use meshproof_proto::bench::{BenchOrder, BenchReport};
use meshproof_proto::id::PeerId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::sync::watch;

use super::frame::{DATA_BYTES, Frame, Frames};
use super::{far, near};

const ROOM: usize = 256 * 1024;

fn order(duration_ms: u64) -> BenchOrder {
    BenchOrder { to: PeerId([2; 32]), pings: 5, duration_ms }
}

#[tokio::test]
async fn the_two_ends_measure_each_other_both_ways_and_end_together() {
    let (here, there) = duplex(ROOM);
    let (report, told) = watch::channel(BenchReport::new());
    let order = order(50);
    let (near, far) = tokio::join!(near(&order, here, &report, || None), far(there));
    near.expect("measured");
    far.expect("served");
    let report = told.borrow().clone();
    assert_eq!(report.pings.expect("there were some").count, 5);
    for flow in [report.sent, report.received] {
        assert!(flow.bytes > 0 && flow.bytes % DATA_BYTES as u64 == 0, "whole frames arrived: {flow:?}");
        assert!(flow.elapsed_us > 0, "{flow:?}");
    }
}

#[tokio::test]
async fn a_near_end_that_goes_ends_the_far_end() {
    let (here, there) = duplex(ROOM);
    let serving = tokio::spawn(far(there));
    let mut here = here;
    here.write_all(&Frame::Send(60_000).bytes()).await.expect("there is room");
    here.read_exact(&mut [0; 4096]).await.expect("it sends");
    let began = Instant::now();
    drop(here);
    serving.await.expect("no panic").expect_err("it could not send on");
    assert!(began.elapsed() < Duration::from_secs(10), "and did not send for its minute");
}

#[tokio::test]
async fn what_is_no_frame_of_a_bench_ends_it_with_the_reason() {
    let huge = [&[2][..], &u64::to_le_bytes(u64::MAX)[..]].concat();
    for (bytes, said) in [
        (b"GET / HTTP/1.1\r\n".to_vec(), "a frame of kind 71"),
        (huge, "at most"),
        (Frame::Pong(1).bytes(), "nobody asked for"),
        (vec![0, 1], "early eof"),
    ] {
        let (mut here, there) = duplex(ROOM);
        here.write_all(&bytes).await.expect("there is room");
        here.shutdown().await.expect("it is ours");
        let error = far(there).await.expect_err("no bench").to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn frames_survive_their_bytes() {
    for frame in [
        Frame::Ping(1),
        Frame::Pong(u64::MAX),
        Frame::Data(0),
        Frame::Data(DATA_BYTES),
        Frame::Arrived(1 << 40),
        Frame::Send(3_000),
        Frame::End,
    ] {
        let bytes = frame.bytes();
        let mut frames = Frames::new(&bytes[..]);
        assert_eq!(frames.next().await.expect("its own bytes"), frame);
        assert_eq!(frames.next_or_end().await.expect("nothing else"), None);
    }
}
