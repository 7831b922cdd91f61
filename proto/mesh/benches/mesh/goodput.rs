//! One link's goodput, beside everything it could have been.

use std::time::Duration;

use meshproof_mesh::rtc::{MAX_MESSAGE_BYTES, RtcConfig};

use crate::measure::{ROUNDS, Spread};
use crate::table::{Goal, Table};
use crate::ways::{Way, quic, stock, tcp, tls, tuned};
use crate::world::{Peer, World, leave, loopback, stream};

/// Length of one transfer, about: long against a window's worth, short enough for five rounds of all.
const AIMED: Duration = Duration::from_millis(300);

/// What a process gets that may not raise the limits of its machine: Linux comes with so much as `net.core.rmem_max` and
/// `wmem_max`. The window follows from it.
const UNPRIVILEGED_BUFFER: usize = 212_992;

/// A way, the size of its writes, and what its rounds gave.
struct Contender {
    what: String,
    way: Way,
    size: usize,
    volume: usize,
    speeds: Vec<f64>,
}

impl Contender {
    async fn new(what: &str, mut way: Way, size: usize) -> Self {
        let volume = way.volume(size, AIMED).await;
        Self { what: format!("MB/s, {} KiB writes, {what}", size / 1024), way, size, volume, speeds: Vec::new() }
    }
}

pub async fn run() -> Table {
    let unprivileged = RtcConfig { socket_buffer: Some(UNPRIVILEGED_BUFFER), ..loopback() };
    let (world, small_world) = (World::new().await, World::new().await);
    let [(a, _a_up), (mut b, _b_up)] = world.linked(loopback()).await;
    let [(c, _c_up), (mut d, _d_up)] = small_world.linked(unprivileged.clone()).await;
    let mut table = Table::default();
    for (size, message) in [(16 * 1024, 16 * 1024), (64 * 1024, MAX_MESSAGE_BYTES)] {
        let mut contenders = vec![
            Contender::new("byte stream", link(&a, &mut b).await, size).await,
            Contender::new("webrtc crate, tuned, a message each", tuned(&loopback()).await, message).await,
            Contender::new("byte stream, small sockets", link(&c, &mut d).await, size).await,
            Contender::new("webrtc, tuned, small sockets", tuned(&unprivileged).await, message).await,
            Contender::new("webrtc crate as it comes", stock().await, message).await,
            Contender::new("quinn", quic().await, size).await,
            Contender::new("TLS over TCP", tls().await, size).await,
            Contender::new("TCP", tcp().await, size).await,
        ];
        for _ in 0..ROUNDS {
            for contender in &mut contenders {
                contender.speeds.push(contender.way.goodput(contender.size, contender.volume).await);
            }
        }
        report(&mut table, &contenders);
    }
    leave(vec![a, b, c, d]).await;
    table
}

async fn link(from: &Peer, to: &mut Peer) -> Way {
    let (near, far) = stream(from, to).await;
    Way::of_streams(near, far)
}

/// Ours is compared with the stack below it, the others are compared with ours.
fn report(table: &mut Table, contenders: &[Contender]) {
    let [stream, bare, small_stream, small_bare, others @ ..] = contenders else { return };
    for (ours, theirs, (must, aim)) in [(stream, bare, (0.8, 0.95)), (small_stream, small_bare, (0.6, 0.7))] {
        let ratio = Spread::of_ratios(&ours.speeds, &theirs.speeds);
        table.compared(ours.what.as_str(), Spread::of(&ours.speeds), (ratio, "the tuned crate"));
        table.goal(Goal::at_least(ratio.median, must, aim));
        table.plain(theirs.what.as_str(), Spread::of(&theirs.speeds));
    }
    for other in others {
        let ratio = Spread::of_ratios(&other.speeds, &stream.speeds);
        table.compared(other.what.as_str(), Spread::of(&other.speeds), (ratio, "our stream"));
    }
}
