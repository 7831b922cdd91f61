use std::time::Duration;

use meshproof_proto::expr::ValueTemplate;
use meshproof_proto::id::RunId;
use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::FaultReport;
use meshproof_proto::shaper::{ConnectionShape, HttpShape, Only};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::measured::{Crossed, Gone};
use super::*;
use crate::limits;

const CONNECTION: Traveller = Traveller::Connection(1);

fn latency(ms: u64) -> Shape {
    Shape { latency_us: ms * 1_000, ..Shape::default() }
}

fn hole() -> Shape {
    Shape { loss_percent: 100.0, ..Shape::default() }
}

fn begin(path: &Path, shape: &Shape) -> Arc<Tally> {
    path.begin("f", (shape, Direction::Outgoing, None), &mut Seed::new(1))
}

fn report(tally: &Tally, shape: &Shape) -> FaultReport {
    tally.report("f", shape)
}

/// Both ends of a pipe that goes through the path's outgoing gate.
fn pipe(path: &Path) -> (DuplexStream, DuplexStream, JoinHandle<Result<(), Stopped>>) {
    let (near, mut source) = duplex(1 << 20);
    let (mut sink, far) = duplex(1 << 20);
    let passage = path.outgoing.passage(CONNECTION);
    let carrying = tokio::spawn(async move { carry(&mut source, &mut sink, (passage, Carries::Requests)).await });
    (near, far, carrying)
}

async fn arrives(far: &mut DuplexStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    far.read_exact(&mut bytes).await.expect("open");
    assert_eq!(bytes, expected);
}

#[tokio::test(start_paused = true)]
async fn latency_delays_each_chunk_and_not_the_throughput_and_is_measured() {
    let path = Path::default();
    let tally = begin(&path, &latency(800));
    let (mut near, mut far, carrying) = pipe(&path);
    let start = Instant::now();
    for part in [&b"one"[..], b"two", b"three"] {
        near.write_all(part).await.expect("open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    near.shutdown().await.expect("open");
    arrives(&mut far, b"onetwothree").await;
    let took = start.elapsed();
    assert!((820..=830).contains(&took.as_millis()), "{took:?}");
    assert_eq!(far.read(&mut [0]).await.expect("an end"), 0);
    carrying.await.expect("no panic").expect("nothing broke");

    let report = report(&tally, &latency(800));
    assert_eq!((report.asked.as_str(), report.effective), ("latency 800ms", true));
    assert!(report.measured.starts_with("latency 80") && report.measured.contains("1 connection"), "{report:?}");
    assert!(report.deviation_percent.expect("a number") < 1.0, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_holds_open_connections_and_new_ones_until_it_ends_and_loses_nothing() {
    let path = Path::default();
    let (mut near, mut far, carrying) = pipe(&path);
    near.write_all(b"before ").await.expect("open");
    arrives(&mut far, b"before ").await;

    let tally = begin(&path, &hole());
    near.write_all(&[b'x'; 57]).await.expect("open");
    let mut opening = path.outgoing.passage(Traveller::Connection(2));
    {
        let mut opened = std::pin::pin!(opening.pass(0));
        timeout(Duration::from_secs(60), &mut opened).await.expect_err("held");
        timeout(Duration::from_secs(60), far.read_u8()).await.expect_err("held");
        let held = report(&tally, &hole());
        assert_eq!(held.measured, "loss 100% (2 connections, 57 B held, 0 B passed)");
        assert!(held.effective);
        path.end("f");
        opened.await.expect("no reset");
    }
    near.write_all(b"after").await.expect("open");
    drop(near);
    arrives(&mut far, &[b'x'; 57]).await;
    arrives(&mut far, b"after").await;
    carrying.await.expect("no panic").expect("nothing broke");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_come_just_as_a_fault_ends_leave_nothing_behind() {
    for round in 0..64 {
        let path = Path::default();
        let (mut near, mut far, carrying) = pipe(&path);
        begin(&path, &hole());
        near.write_all(b"held ").await.expect("open");
        timeout(Duration::from_secs(1), far.read_u8()).await.expect_err("held");
        path.end("f");
        near.write_all(b"then").await.expect("open");
        drop(near);
        let mut all = String::new();
        let read = timeout(Duration::from_secs(1), far.read_to_string(&mut all)).await;
        read.unwrap_or_else(|_| panic!("held for ever in round {round}")).expect("open");
        assert_eq!(all, "held then");
        carrying.await.expect("no panic").expect("nothing broke");
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_black_hole_the_sender_is_held_to_a_bound() {
    let path = Path::default();
    begin(&path, &hole());
    let (mut near, mut far, _carrying) = pipe(&path);
    let most = (limits::TUNNEL_WAITING_BYTES + limits::TUNNEL_READ_BYTES + (1 << 20)) as u64;
    let mut sent = 0_u64;
    while let Ok(written) = timeout(Duration::from_secs(1), near.write(&[7; 4096])).await {
        sent += written.expect("open") as u64;
        assert!(sent <= most, "{sent} bytes were taken");
    }
    path.end("f");
    drop(near);
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.expect("open");
    assert_eq!(received.len() as u64, sent);
}

#[tokio::test(start_paused = true)]
async fn a_fault_on_one_direction_leaves_the_other_alone() {
    let path = Path::default();
    path.begin("f", (&hole(), Direction::Incoming, None), &mut Seed::new(1));
    path.outgoing.passage(CONNECTION).pass(3).await.expect("no reset");
    timeout(Duration::from_secs(9), path.incoming.passage(CONNECTION).pass(3)).await.expect_err("held");
    assert!(!path.is_undisturbed());
    path.end("f");
    assert!(path.is_undisturbed());
}

#[tokio::test(start_paused = true)]
async fn two_faults_on_one_path_add_up_and_are_measured_apart() {
    let path = Path::default();
    let mut seed = Seed::new(1);
    let slow = path.begin("slow", (&latency(100), Direction::Outgoing, None), &mut seed);
    let slower = path.begin("slower", (&latency(300), Direction::Outgoing, None), &mut seed);
    let start = Instant::now();
    path.outgoing.passage(CONNECTION).pass(10).await.expect("no reset");
    assert_eq!(start.elapsed().as_millis() / 10, 40);
    assert!(slow.report("slow", &latency(100)).measured.starts_with("latency 10"));
    assert!(slower.report("slower", &latency(300)).measured.starts_with("latency 30"));
}

#[tokio::test(start_paused = true)]
async fn connections_share_the_bandwidth_of_a_path() {
    let path = Path::default();
    let narrow = Shape { bandwidth_bits_per_s: Some(80_000), ..Shape::default() };
    let tally = begin(&path, &narrow);
    let start = Instant::now();
    let mut first = path.outgoing.passage(Traveller::Connection(1));
    let mut second = path.outgoing.passage(Traveller::Connection(2));
    let (one, other) = tokio::join!(first.pass(5_000), second.pass(5_000));
    one.and(other).expect("no reset");
    assert_eq!(start.elapsed().as_millis() / 10, 100);
    assert!(report(&tally, &narrow).measured.contains("10000 B passed"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_path_is_measured_by_probes() {
    let path = Path::default();
    let tally = path.begin("f", (&latency(50), Direction::Both, None), &mut Seed::new(1));
    let (near, far) = duplex(64);
    let echoing = tokio::spawn(echo(far));
    let back = ping(&path, near).await.expect("echoed");
    assert_eq!(back.as_millis() / 10, 10);
    echoing.await.expect("no panic").expect("nothing broke");
    let report = report(&tally, &latency(50));
    assert!(report.effective && !tally.has_traffic());
    assert!(report.measured.contains("probes only"), "{report:?}");
    path.end("f");
}

fn on_connections(connections: ConnectionShape) -> Shape {
    Shape { connections, ..Shape::default() }
}

#[tokio::test(start_paused = true)]
async fn slices_are_no_larger_than_asked_for_keep_their_order_and_come_one_by_one() {
    let path = Path::default();
    let shape = on_connections(ConnectionShape { slice_bytes: Some(10), ..ConnectionShape::default() });
    let (mut near, mut far, _carrying) = pipe(&path);
    let tally = begin(&path, &shape);
    let sent: Vec<u8> = (0..=255).collect();
    near.write_all(&sent).await.expect("open");
    drop(near);
    let (mut got, mut reads) = (Vec::new(), 0);
    loop {
        let mut buffer = [0; 256];
        let count = far.read(&mut buffer).await.expect("open");
        if count == 0 {
            break;
        }
        assert!(count <= 10, "a piece of {count} bytes");
        got.extend_from_slice(&buffer[..count]);
        reads += 1;
    }
    assert_eq!((got, reads), (sent, 26));
    let report = report(&tally, &shape);
    assert!(report.effective && report.measured.starts_with("pieces of at most 10 B"), "{report:?}");
    assert_eq!(report.deviation_percent, Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_close_delays_the_end_and_not_the_bytes() {
    let path = Path::default();
    let shape = on_connections(ConnectionShape { slow_close_us: 3_000_000, ..ConnectionShape::default() });
    let tally = begin(&path, &shape);
    let (mut near, mut far, carrying) = pipe(&path);
    let start = Instant::now();
    near.write_all(b"all of it").await.expect("open");
    near.shutdown().await.expect("open");
    arrives(&mut far, b"all of it").await;
    assert!(start.elapsed().as_millis() < 10);
    assert_eq!(far.read(&mut [0]).await.expect("an end"), 0);
    assert!((3_000..3_010).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    carrying.await.expect("no panic").expect("nothing broke");
    let report = report(&tally, &shape);
    assert!(report.measured.starts_with("1 closed 300"), "{report:?}");
    assert!(report.effective && report.deviation_percent.expect("a number") < 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_reset_strikes_open_connections_and_new_ones_after_its_time_and_is_counted_once_each() {
    let path = Path::default();
    let shape = on_connections(ConnectionShape { reset_after_us: Some(2_000_000), ..ConnectionShape::default() });
    let (_near, _far, open) = pipe(&path);
    let tally = path.begin("f", (&shape, Direction::Both, None), &mut Seed::new(1));
    let start = Instant::now();
    let mut new = path.incoming.passage(Traveller::Connection(2));
    new.pass(100).await.expect("not yet");
    let error = open.await.expect("no panic").expect_err("reset");
    assert!(matches!(error, Stopped::Broken(error) if error.kind() == std::io::ErrorKind::ConnectionReset));
    assert!((2_000..2_010).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    new.pass(100).await.expect_err("reset");
    new.pass(100).await.expect_err("still reset");
    let report = report(&tally, &shape);
    assert!(report.effective && report.measured.starts_with("reset 2 after 2000ms ("), "{report:?}");
    assert!(report.deviation_percent.expect("a number") < 1.0, "{report:?}");
    path.end("f");
    path.incoming.passage(Traveller::Connection(3)).pass(100).await.expect("over");
}

#[tokio::test(start_paused = true)]
async fn the_first_requests_are_answered_on_the_way_also_on_connections_that_were_open_and_the_others_pass() {
    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody";
    let path = Path::default();
    let http = HttpShape { status: 503, first: Some(2), percent: None };
    let shape = Shape { http: Some(http), ..Shape::default() };
    let (mut near, mut far, open) = pipe(&path);
    near.write_all(REQUEST).await.expect("open");
    arrives(&mut far, REQUEST).await;
    let tally = begin(&path, &shape);
    near.write_all(REQUEST).await.expect("open");
    assert!(matches!(open.await.expect("no panic"), Err(Stopped::Answered(503))));
    let (mut near, _far, second) = pipe(&path);
    near.write_all(REQUEST).await.expect("open");
    assert!(matches!(second.await.expect("no panic"), Err(Stopped::Answered(503))));
    let (mut near, mut far, third) = pipe(&path);
    for _ in 0..2 {
        near.write_all(REQUEST).await.expect("open");
        arrives(&mut far, REQUEST).await;
    }
    drop(near);
    third.await.expect("no panic").expect("nothing broke");
    let report = report(&tally, &shape);
    assert!(report.measured.starts_with("status 503 for 2 of 4 requests"), "{report:?}");
    assert_eq!(report.deviation_percent, Some(0.0));
}

/// The outgoing gate is disturbed for the requests of a team.
fn begin_for_reds(path: &Path, shape: &mut Shape) -> Arc<Tally> {
    let red = Matcher::Equals(ValueTemplate::fixed(&"red".into()));
    shape.only = Some(Only::Headers(vec![("x-team".to_owned(), red)]));
    let struck = Struck::by(shape, &RunId("r".to_owned()));
    path.begin("f", (shape, Direction::Outgoing, struck), &mut Seed::new(1))
}

const RED: &[u8] = b"POST / HTTP/1.1\r\nX-Team: red\r\nContent-Length: 4\r\n\r\nbody";
const BLUE: &[u8] = b"POST / HTTP/1.1\r\nX-Team: blue\r\nContent-Length: 4\r\n\r\nbody";

#[tokio::test(start_paused = true)]
async fn a_fault_for_some_requests_delays_those_and_what_stands_behind_them_and_nothing_else() {
    let path = Path::default();
    let (mut shape, start) = (latency(800), Instant::now());
    let tally = begin_for_reds(&path, &mut shape);
    path.outgoing.passage(Traveller::Probe).pass(8).await.expect("no reset");
    assert!(path.outgoing.datagram(CONNECTION, 100).iter().all(Crossing::is_due));
    let (mut near, mut far, carrying) = pipe(&path);
    near.write_all(BLUE).await.expect("open");
    arrives(&mut far, BLUE).await;
    assert!(start.elapsed().as_millis() < 10);
    near.write_all(RED).await.expect("open");
    near.write_all(BLUE).await.expect("open");
    arrives(&mut far, RED).await;
    arrives(&mut far, BLUE).await;
    assert!((800..810).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    drop(near);
    carrying.await.expect("no panic").expect("nothing broke");
    let report = report(&tally, &shape);
    assert_eq!(report.asked, "latency 800ms, only requests by their x-team");
    assert_eq!(report.measured, "latency 800ms (1 connection, 1 of 3 requests)");
    assert!(report.effective && report.deviation_percent.expect("a number") < 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_a_hole_is_for_is_held_until_it_ends_and_the_hole_for_nobody_did_nothing() {
    let path = Path::default();
    let mut shape = hole();
    let tally = begin_for_reds(&path, &mut shape);
    let (mut near, mut far, _carrying) = pipe(&path);
    near.write_all(BLUE).await.expect("open");
    arrives(&mut far, BLUE).await;
    let before = report(&tally, &shape);
    assert_eq!(
        (before.measured.as_str(), before.effective),
        ("no request is struck (1 connection, 0 of 1 requests)", false)
    );
    near.write_all(RED).await.expect("open");
    timeout(Duration::from_secs(60), far.read_u8()).await.expect_err("held");
    assert!(report(&tally, &shape).effective);
    path.end("f");
    arrives(&mut far, RED).await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_for_some_requests_comes_before_they_go_on_and_spares_other_connections() {
    let path = Path::default();
    let mut shape = on_connections(ConnectionShape { reset_after_us: Some(0), ..ConnectionShape::default() });
    let tally = begin_for_reds(&path, &mut shape);
    let (mut near, mut far, struck) = pipe(&path);
    near.write_all(BLUE).await.expect("open");
    arrives(&mut far, BLUE).await;
    near.write_all(RED).await.expect("open");
    struck.await.expect("no panic").expect_err("reset");
    assert_eq!(far.read(&mut [0]).await.expect("an end"), 0, "nothing of the request went on");
    let (mut near, mut far, _spared) = pipe(&path);
    near.write_all(BLUE).await.expect("open");
    arrives(&mut far, BLUE).await;
    let report = report(&tally, &shape);
    assert!(report.effective && report.measured.starts_with("reset 1 of 1 ("), "{report:?}");
    assert_eq!(report.deviation_percent, Some(0.0));
}

#[test]
fn a_fault_that_asks_for_nothing_or_met_nothing_is_not_effective() {
    let tally = Tally::default();
    assert!(!report(&tally, &latency(50)).effective);
    tally.entered(CONNECTION, 10);
    let gone = Gone { bytes: 10, line: Duration::ZERO, latency: Duration::ZERO, waited: false };
    tally.passed(CONNECTION, gone, (1, Instant::now().into_std()));
    assert!(!report(&tally, &Shape::default()).effective);
    assert!(!report(&tally, &hole()).effective, "everything passed");
}

#[tokio::test(start_paused = true)]
async fn what_a_hole_holds_is_counted_once_though_another_fault_cuts_it_to_pieces() {
    let path = Path::default();
    let tally = begin(&path, &hole());
    let (mut near, mut far, _carrying) = pipe(&path);
    near.write_all(&[b'x'; 100]).await.expect("open");
    timeout(Duration::from_secs(1), far.read_u8()).await.expect_err("held");
    let slice = Shape {
        connections: ConnectionShape { slice_bytes: Some(10), ..ConnectionShape::default() },
        ..Shape::default()
    };
    path.begin("pieces", (&slice, Direction::Outgoing, None), &mut Seed::new(1));
    timeout(Duration::from_secs(1), far.read_u8()).await.expect_err("still held");
    assert_eq!(report(&tally, &hole()).measured, "loss 100% (1 connection, 100 B held, 0 B passed)");
    path.end("f");
    arrives(&mut far, &[b'x'; 100]).await;
}

#[tokio::test(start_paused = true)]
async fn the_latency_that_is_measured_is_that_of_the_latency_whatever_else_delays() {
    let connections = ConnectionShape { slice_bytes: Some(10), slow_close_us: 500_000, ..ConnectionShape::default() };
    let shape = Shape { connections, ..latency(150) };
    let path = Path::default();
    let tally = begin(&path, &shape);
    let (mut near, mut far, carrying) = pipe(&path);
    near.write_all(&[b'x'; 200]).await.expect("open");
    near.shutdown().await.expect("open");
    arrives(&mut far, &[b'x'; 200]).await;
    assert_eq!(far.read(&mut [0]).await.expect("an end"), 0);
    carrying.await.expect("no panic").expect("nothing broke");
    let report = report(&tally, &shape);
    assert!(report.measured.starts_with("latency 150ms") || report.measured.starts_with("latency 151ms"), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_narrow_line_is_measured_while_something_waits_for_it_and_one_that_is_never_full_is_not() {
    let path = Path::default();
    let narrow = Shape { bandwidth_bits_per_s: Some(80_000), ..Shape::default() };
    let tally = begin(&path, &narrow);
    let mut passage = path.outgoing.passage(CONNECTION);
    passage.pass(1_000).await.expect("no reset");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = report(&tally, &narrow);
    assert!(idle.effective && idle.measured.starts_with("hardly anything waited for the line, 1000 B"), "{idle:?}");
    assert_eq!(idle.deviation_percent, None, "and a proof of it fails");
    let (mut near, mut far, _carrying) = pipe(&path);
    near.write_all(&[b'x'; 200_000]).await.expect("there is room");
    arrives(&mut far, &[b'x'; 200_000]).await;
    let full = report(&tally, &narrow);
    assert!(full.measured.starts_with("bandwidth 80 kbit/s, "), "{full:?}");
    assert!(full.deviation_percent.expect("a number") < 1.0, "{full:?}");
}

/// The clock says what was done, whatever was asked for.
#[test]
fn a_line_that_is_twice_as_fast_resets_that_come_late_and_refusals_that_are_none_are_that_far_off() {
    let (start, second) = (Instant::now().into_std(), Duration::from_secs(1));
    let narrow = Shape { bandwidth_bits_per_s: Some(80_000), ..Shape::default() };
    let tally = Tally::default();
    for number in 0..10 {
        let gone = Gone { bytes: 10_000, line: second, latency: Duration::ZERO, waited: number > 0 };
        tally.entered(CONNECTION, 10_000);
        tally.passed(CONNECTION, gone, (1, start + second * number / 2));
    }
    let twice = report(&tally, &narrow);
    assert!(twice.measured.starts_with("bandwidth 160 kbit/s"), "{twice:?}");
    assert_eq!(twice.deviation_percent, Some(100.0));

    let late = on_connections(ConnectionShape { reset_after_us: Some(2_000_000), ..ConnectionShape::default() });
    let tally = Tally::default();
    for (number, lived) in [(1, 3), (2, 3), (2, 9)] {
        tally.entered(Traveller::Connection(number), 1);
        tally.was_reset(Traveller::Connection(number), second * lived);
    }
    let late = report(&tally, &late);
    assert!(late.measured.starts_with("reset 2 after 3000ms (2 connections"), "{late:?}");
    assert_eq!(late.deviation_percent, Some(50.0), "each counts once");

    let at_once = on_connections(ConnectionShape { reset_after_us: Some(0), ..ConnectionShape::default() });
    let tally = Tally::default();
    (1..5).for_each(|number| tally.entered(Traveller::Connection(number), 1));
    tally.was_reset(Traveller::Connection(1), Duration::ZERO);
    let some = report(&tally, &at_once);
    assert!(some.measured.starts_with("reset 1 of 4 ("), "{some:?}");
    assert_eq!(some.deviation_percent, Some(75.0));

    let refuse = on_connections(ConnectionShape { refuse: true, ..ConnectionShape::default() });
    let tally = Tally::default();
    (0..3).for_each(|_| tally.refused(Traveller::Probe));
    tally.let_in(Traveller::Probe);
    let leaky = report(&tally, &refuse);
    assert!(leaky.measured.starts_with("refused 3 of 4 (probes only"), "{leaky:?}");
    assert_eq!(leaky.deviation_percent, Some(25.0));
}

#[test]
fn a_reordering_is_held_against_those_that_went_on_late_enough_to_be_overtaken() {
    let datagrams = meshproof_proto::shaper::DatagramShape { reorder_percent: 20.0, ..Default::default() };
    let shape = Shape { datagrams, ..Shape::default() };
    let (tally, at) = (Tally::default(), Instant::now().into_std());
    let onward = meshproof_proto::shaper::Onward { due: at, turned: None, held_back: false, waits: Duration::ZERO };
    for number in 1..=10 {
        tally.datagram(CONNECTION, &[onward]);
        let later = if number > 8 { meshproof_proto::limits::REORDER_HOLDS } else { Duration::ZERO };
        // one is said to be kept back and is not
        let crossed = Crossed { number, bytes: 10, later, waited: false, held_back: number > 7 };
        tally.datagram_passed(CONNECTION, crossed, (1, at));
    }
    let report = report(&tally, &shape);
    assert!(report.measured.starts_with("reorder 20.0%, 0 overtaken ("), "{report:?}");
    assert_eq!((report.deviation_percent, report.effective), (Some(0.0), false), "nothing came out of order");
}
