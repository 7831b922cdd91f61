//! Small events through a link: one a batch, and as many as a batch may hold.

use std::time::{Duration, Instant};

use meshproof_proto::event::{Event, EventBatch, Fact};
use meshproof_proto::frame::EventFrame;
use meshproof_proto::id::{PeerId, RunId};
use meshproof_proto::limits;
use meshproof_proto::order::StepKey;

use crate::measure::{ROUNDS, Spread, soon};
use crate::table::Table;
use crate::world::{Peer, World, leave, loopback};

const AIMED: Duration = Duration::from_millis(400);

pub async fn run() -> Table {
    let world = World::new().await;
    let [(a, _a_up), (mut b, _b_up)] = world.linked(loopback()).await;
    let mut table = Table::default();
    for batch in [1, limits::EVENTS_PER_BATCH] {
        let mut rates = Vec::new();
        for _ in 0..=ROUNDS {
            rates.push(rate(&a, &mut b, batch).await);
        }
        // the first round is a warm-up
        table.plain(format!("events/s, {batch} a batch"), Spread::of(&rates[1..]));
    }
    leave(vec![a, b]).await;
    table
}

/// Events a second, counted where they arrive.
async fn rate(from: &Peer, to: &mut Peer, batch: usize) -> f64 {
    let frame = frame(batch);
    let (mesh, peer) = (from.mesh.clone(), to.mesh.me());
    let begin = Instant::now();
    let sending = tokio::spawn(async move {
        let mut sent = 0;
        while begin.elapsed() < AIMED {
            mesh.send_events(peer, frame.clone()).await.expect("linked");
            sent += 1;
        }
        let last = EventFrame::Ack { instance: PeerId([0; 32]), through: sent };
        mesh.send_events(peer, last).await.expect("linked");
    });
    let mut arrived = 0;
    while let EventFrame::Batch(batch) = soon("a batch", to.frames.recv()).await.expect("the mesh lives") {
        arrived += batch.events.len();
    }
    let taken = begin.elapsed();
    sending.await.expect("the sender does not panic");
    arrived as f64 / taken.as_secs_f64()
}

fn frame(batch: usize) -> EventFrame {
    let event = |seq| Event {
        run: RunId("r-1".to_owned()),
        seq,
        at_ms: 1_700_000_000_000,
        fact: Fact::StepStarted { key: StepKey { test: "orders".to_owned(), step: "3".to_owned(), attempt: 1 } },
    };
    EventFrame::Batch(EventBatch { instance: PeerId([1; 32]), events: (1..=batch as u64).map(event).collect() })
}
