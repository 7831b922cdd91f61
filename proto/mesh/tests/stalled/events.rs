//! A peer that does not take its events.

use std::time::Duration;

use meshproof_mesh::MeshEvent;
use meshproof_proto::event::{Event, EventBatch, Fact};
use meshproof_proto::frame::EventFrame;
use meshproof_proto::id::{PeerId, RunId};
use meshproof_proto::limits;
use tokio::sync::watch;

use crate::common::{PATIENCE, World, linked};
use crate::process;

/// Frames of the largest size in every queue between two peers: four at the sender, 256 in the channel and 256 in the stack,
/// a queue each of the carrier, the link and the user; and SCTP's window and send buffer.
const HELD: usize = (4 + 2 * 256 + 3 * limits::FRAME_QUEUE) * limits::MESSAGE_BYTES + 8 * 1024 * 1024;

/// A sender that was not let send for so long is blocked.
const BLOCKED: Duration = Duration::from_millis(500);

/// One event of the largest size.
fn batch(number: u64) -> EventFrame {
    let fact = Fact::FaultBegan { fault: "x".repeat(limits::EVENT_BATCH_BYTES - 100) };
    let event = Event { run: RunId("r".to_owned()), seq: number, at_ms: 0, fact };
    EventFrame::Batch(EventBatch { instance: PeerId([7; 32]), events: vec![event] })
}

fn number(frame: &EventFrame) -> u64 {
    let EventFrame::Batch(batch) = frame else { panic!("only batches were sent, not {frame:?}") };
    batch.events[0].seq
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_takes_no_events_stops_their_sender_in_bounded_memory() {
    let _alone = crate::alone().await;
    let world = World::new().await;
    let (mut a, mut b, _a_up, _b_up) = linked(&world).await;
    let (mesh, to) = (a.mesh.clone(), b.mesh.me());
    let before = process::resident_bytes();
    let (sent, mut counted) = watch::channel(0);
    // b takes nothing: not even the link's trouble, of which a is told
    let sending = tokio::spawn(async move {
        for number in 0_u64.. {
            if mesh.send_events(to, batch(number)).await.is_err() || sent.send(number).is_err() {
                return;
            }
        }
    });
    let blocking = async { while tokio::time::timeout(BLOCKED, counted.changed()).await.is_ok() {} };
    let blocked = tokio::time::timeout(PATIENCE, blocking).await;
    let (taken, held) = (*counted.borrow(), process::resident_bytes().saturating_sub(before));
    assert!(blocked.is_ok(), "{taken} frames were taken for a peer that takes none");
    assert!(held < HELD, "{held} bytes are held for {taken} frames");
    println!("{taken} frames taken, {} KiB held", held / 1024);
    drop(counted);
    // All that the connection took comes once b goes on, and in order. One that a starved machine lets fall silent meanwhile is replaced, and
    // what it took and did not bring is for whoever sent it to send again.
    let mut next = 0;
    b.wait(|event| {
        let MeshEvent::Events { frame, .. } = event else {
            let is_replaced = matches!(event, MeshEvent::LinkUp(_) | MeshEvent::LinkLost { .. });
            return is_replaced.then(|| println!("the connection was replaced"));
        };
        let found = number(&frame);
        assert_eq!(found, next, "a batch is missing or out of order");
        next += 1;
        (next > taken).then_some(())
    })
    .await;
    sending.abort();
    let (a_mesh, b_mesh) = (a.mesh, b.mesh);
    tokio::join!(a_mesh.leave(), b_mesh.leave(), async { while a.events.recv().await.is_some() {} }, async {
        while b.events.recv().await.is_some() {}
    });
}
