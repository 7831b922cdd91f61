//! What links cost that carry nothing: memory and CPU, of both ends, in processes of their own with nothing else in them.

use std::time::Duration;

use crate::machine::{cpu_ms, resident_kib};
use crate::measure::{PATIENCE, ROUNDS, Spread};
use crate::table::{Goal, Table};
use crate::world::{World, leave};

/// The word that makes this program a child that measures.
pub const CHILD: &str = "idle-child";

const LINKS: usize = 100;

/// What set-up leaves behind is gone by then.
const SETTLE: Duration = Duration::from_secs(1);

const QUIET: Duration = Duration::from_secs(5);

pub async fn run() -> Table {
    let (mut memory, mut cpu) = (Vec::new(), Vec::new());
    let program = std::env::current_exe().expect("this program");
    for _ in 0..ROUNDS {
        let program = program.clone();
        let running = tokio::task::spawn_blocking(move || std::process::Command::new(program).arg(CHILD).output());
        let ended = tokio::time::timeout(PATIENCE, running).await.expect("a child ends in time");
        let output = ended.expect("no panic").expect("this program can be run again");
        let text = String::from_utf8_lossy(&output.stdout);
        let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [mib, ms] = figures[..] else { panic!("a child said {text:?}") };
        memory.push(mib);
        cpu.push(ms);
    }
    let mut table = Table::default();
    let spread = Spread::of(&memory);
    table.judged("MiB of memory per idle pair, both ends", spread, Goal::at_most(spread.median, 1.0, 0.6));
    table.plain("CPU ms a second per idle pair, both ends", Spread::of(&cpu));
    table
}

/// Prints MiB and CPU milliseconds a second of one link among many.
pub async fn child() {
    let world = World::new().await;
    let mut peers = world.crowd(LINKS + 1).await;
    let before = resident_kib();
    for spoke in &peers[1..] {
        peers[0].mesh.connect(spoke.mesh.me()).await;
    }
    let mut ups = Vec::new();
    for (number, peer) in peers.iter_mut().enumerate() {
        for _ in 0..if number == 0 { LINKS } else { 1 } {
            ups.push(peer.up().await);
        }
    }
    tokio::time::sleep(SETTLE).await;
    let memory = resident_kib() - before;
    let cpu = cpu_ms();
    tokio::time::sleep(QUIET).await;
    let cpu = cpu_ms() - cpu;
    let links = LINKS as f64;
    println!("{:.4} {:.4}", memory / 1024.0 / links, cpu / QUIET.as_secs_f64() / links);
    drop(ups);
    leave(peers).await;
}
