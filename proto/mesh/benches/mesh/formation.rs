//! How long links and whole meshes take to come up, from the first wish to the last `LinkUp` at both ends.

use std::time::{Duration, Instant};

use crate::measure::{ROUNDS, Spread};
use crate::table::{Goal, Table};
use crate::world::{Peer, World, leave};

/// One link is quick, so more repeats cost little.
const SINGLE: usize = 15;

pub async fn run() -> Table {
    let mut table = Table::default();
    let mut single = Vec::new();
    for _ in 0..SINGLE {
        single.push(star(2).await.as_secs_f64() * 1e3);
    }
    let spread = Spread::of(&single);
    table.judged("ms until a link is up, hello included", spread, Goal::at_most(spread.median, 40.0, 12.0));
    for size in [3, 10, 30] {
        let mut taken = Vec::new();
        for _ in 0..ROUNDS {
            taken.push(full(size).await.as_secs_f64() * 1e3);
        }
        let links = size * (size - 1) / 2;
        table.plain(format!("ms until a full mesh of {size} is up ({links} links)"), Spread::of(&taken));
    }
    for leaves in [100, 300] {
        let mut taken = Vec::new();
        for _ in 0..ROUNDS {
            taken.push(star(leaves + 1).await.as_secs_f64() * 1e3);
        }
        let (what, spread) = (format!("ms until a star of {leaves} links is up"), Spread::of(&taken));
        if leaves == 300 {
            table.judged(what, spread, Goal::at_most(spread.median, 3_000.0, 1_000.0));
        } else {
            table.plain(what, spread);
        }
    }
    table
}

/// The first of so many peers connects to all others.
async fn star(size: usize) -> Duration {
    let world = World::new().await;
    let mut peers = world.crowd(size).await;
    let begin = Instant::now();
    for spoke in &peers[1..] {
        peers[0].mesh.connect(spoke.mesh.me()).await;
    }
    let hub = size - 1;
    let taken = all_up(&mut peers, begin, |peer| if peer == 0 { hub } else { 1 }).await;
    leave(peers).await;
    taken
}

/// Everybody connects to everybody.
async fn full(size: usize) -> Duration {
    let world = World::new().await;
    let mut peers = world.crowd(size).await;
    let begin = Instant::now();
    for (number, peer) in peers.iter().enumerate() {
        for other in &peers[number + 1..] {
            peer.mesh.connect(other.mesh.me()).await;
        }
    }
    let taken = all_up(&mut peers, begin, |_| size - 1).await;
    leave(peers).await;
    taken
}

async fn all_up(peers: &mut [Peer], begin: Instant, links: impl Fn(usize) -> usize) -> Duration {
    for (number, peer) in peers.iter_mut().enumerate() {
        for _ in 0..links(number) {
            peer.up().await;
        }
    }
    begin.elapsed()
}
