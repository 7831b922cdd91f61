//! A writer whose reader stands still, and what that costs: shared by the test and by `--example stalled`.

use std::time::{Duration, Instant};

use meshproof_mesh::{ByteStream, Mesh, MeshEvent};
use meshproof_proto::id::PeerId;
use meshproof_proto::limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::common::{PATIENCE, Peer, World};
use crate::process;

/// Written in pieces of this size.
const PIECE: usize = 64 * 1024;

/// A writer that was not let write for so long is blocked.
const BLOCKED: Duration = Duration::from_millis(300);

/// What a scene saw.
#[derive(Debug)]
pub struct Seen {
    /// Bytes that the writer got rid of before it stood still.
    pub taken: u64,
    /// Bytes that the writer's link holds for the peer.
    pub queued: u64,
    /// Memory of the process, which has both sides in it: when the writer was blocked, and how much more at the end of the stall.
    pub held: usize,
    pub grown: usize,
    /// Round trips beside it while the reader stood still: over the same link, and over another.
    pub same_link: Trips,
    pub other_link: Trips,
    /// From the reader's first read to its last.
    pub drained: Duration,
}

/// How often something was answered, and the longest wait.
#[derive(Debug, Default, Clone, Copy)]
pub struct Trips {
    pub count: u64,
    pub longest: Duration,
}

/// Lets a reader stand still for `pause`, then reads everything and compares it byte for byte.
pub async fn stand_still(pause: Duration) -> Seen {
    let world = World::new().await;
    let (mut a, mut b, _up_a, _up_b) = crate::common::linked(&world).await;
    let (mut c, b_id) = (world.join("c", 4), b.mesh.me());
    let c_sees_b = c.joined("b").await;
    c.mesh.connect(c_sees_b).await;
    let _up_c = c.up().await;

    let (same, same_far) = stream(&a.mesh, &mut b, b_id).await;
    let (other, other_far) = stream(&c.mesh, &mut b, b_id).await;
    let before = process::resident_bytes();
    let (near, far) = stream(&a.mesh, &mut b, b_id).await;
    let (taken, writing) = write(near);
    blocked(taken.clone()).await;

    let (stop, stopped) = watch::channel(false);
    let echoes = [tokio::spawn(echo(same_far)), tokio::spawn(echo(other_far))];
    let beside = [tokio::spawn(converse(same, stopped.clone())), tokio::spawn(converse(other, stopped))];
    let held = process::resident_bytes().saturating_sub(before);
    let queued = a.mesh.links().iter().map(|link| link.queued).max().unwrap_or_default();
    quiet(&mut [&mut a, &mut b, &mut c], pause).await;
    let grown = process::resident_bytes().saturating_sub(before + held);
    let taken_when_blocked = *taken.borrow();
    stop.send_replace(true);
    let [same_link, other_link] = beside;
    let (same_link, other_link) = (same_link.await.expect("it goes on"), other_link.await.expect("it goes on"));

    let begin = Instant::now();
    drain(far, writing, taken).await;
    let seen = Seen { taken: taken_when_blocked, queued, held, grown, same_link, other_link, drained: begin.elapsed() };
    tokio::join!(a.mesh.leave(), b.mesh.leave(), c.mesh.leave());
    for echo in echoes {
        echo.await.expect("an echo ends with its stream");
    }
    seen
}

/// A stream from `from` to `to`, both ends.
pub async fn stream(from: &Mesh, to: &mut Peer, to_id: PeerId) -> (ByteStream, ByteStream) {
    let near = from.open_stream(to_id, Vec::new()).await.expect("linked");
    let incoming = |event| if let MeshEvent::Stream { stream, .. } = event { Some(stream) } else { None };
    (near, to.wait(incoming).await)
}

/// The byte at that place of the written stream.
fn byte(place: u64) -> u8 {
    (place % 251) as u8
}

/// Writes until told to end (by dropping what `taken` is read from). `taken` says how many bytes were taken.
fn write(mut stream: ByteStream) -> (watch::Receiver<u64>, JoinHandle<ByteStream>) {
    let (taken, receiver) = watch::channel(0);
    let writing = tokio::spawn(async move {
        loop {
            let begin = *taken.borrow();
            let piece: Vec<u8> = (begin..begin + PIECE as u64).map(byte).collect();
            stream.write_all(&piece).await.expect("a stalled stream is not reset");
            if taken.send(begin + PIECE as u64).is_err() {
                stream.shutdown().await.expect("a stalled stream is not reset");
                return stream;
            }
        }
    });
    (receiver, writing)
}

/// Returns when the writer gets nothing more taken.
async fn blocked(mut taken: watch::Receiver<u64>) {
    let blocking = async { while tokio::time::timeout(BLOCKED, taken.changed()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, blocking).await.expect("a writer whose reader stands still is stopped");
}

/// Reads what was written, to the end, while the writer ends.
async fn drain(mut far: ByteStream, writing: JoinHandle<ByteStream>, taken: watch::Receiver<u64>) {
    drop(taken);
    let mut place = 0;
    let mut buffer = vec![0; PIECE];
    let reading = async {
        loop {
            let count = far.read(&mut buffer).await.expect("a stalled stream is not reset");
            if count == 0 {
                return;
            }
            for (offset, found) in buffer[..count].iter().enumerate() {
                assert_eq!(*found, byte(place + offset as u64), "byte {} differs", place + offset as u64);
            }
            place += count as u64;
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("what was held back comes at once");
    assert!(place > limits::STREAM_WINDOW_BYTES);
    writing.await.expect("the writer ended well");
}

async fn echo(stream: ByteStream) {
    let (mut read, mut write) = tokio::io::split(stream);
    let _ = tokio::io::copy(&mut read, &mut write).await;
}

async fn converse(mut stream: ByteStream, stopped: watch::Receiver<bool>) -> Trips {
    let mut trips = Trips::default();
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while !*stopped.borrow() {
        pace.tick().await;
        let asked = Instant::now();
        stream.write_u64(trips.count).await.expect("it goes on");
        assert_eq!(stream.read_u64().await.expect("it goes on"), trips.count);
        trips = Trips { count: trips.count + 1, longest: trips.longest.max(asked.elapsed()) };
    }
    trips
}

/// Takes everybody's events for a while; none of them may say that a link suffers.
async fn quiet(peers: &mut [&mut Peer; 3], pause: Duration) {
    let pause = tokio::time::sleep(pause);
    tokio::pin!(pause);
    let [a, b, c] = peers;
    loop {
        let event = tokio::select! {
            event = a.events.recv() => event,
            event = b.events.recv() => event,
            event = c.events.recv() => event,
            () = &mut pause => return,
        };
        let suffers = matches!(event, Some(MeshEvent::LinkSuspect { .. } | MeshEvent::LinkLost { .. }) | None);
        assert!(!suffers, "a reader that stands still is no reason for {event:?}");
    }
}
