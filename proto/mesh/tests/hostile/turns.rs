//! A peer that floods with events, and one that has something to say meanwhile.

use meshproof_mesh::MeshEvent;
use meshproof_proto::event::{Event, EventBatch, Fact};
use meshproof_proto::frame::EventFrame;
use meshproof_proto::id::{PeerId, RunId};
use meshproof_proto::limits::TURNS;

use crate::common::{PATIENCE, Peer, World};
use crate::peer::received;

/// Bytes of one batch: far more than the beats of a link in the time of a round.
const BATCH_BYTES: usize = 10_000;

const ROUNDS: usize = 10;

/// What of the flood may come before somebody else's event that is there: the places of a link, and what is passed on while the other
/// one's is on its way from its socket to its own place. Without places it was 64.
const MOST: usize = 8 * TURNS;

fn batch(instance: PeerId) -> EventFrame {
    let fact = Fact::LinkSuspect { peer: "somebody".parse().expect("a name"), reason: "x".repeat(BATCH_BYTES) };
    EventFrame::Batch(EventBatch {
        instance,
        events: vec![Event { run: RunId("r".to_owned()), seq: 1, at_ms: 0, fact }],
    })
}

/// Links a newcomer to the victim.
async fn linked(world: &World, victim: &mut Peer, (who, seed): (&str, u8)) -> Peer {
    let mut peer = world.join(who, seed);
    let id = peer.joined("victim").await;
    peer.mesh.connect(id).await;
    tokio::join!(peer.up(), victim.up());
    peer
}

async fn next(victim: &mut Peer) -> String {
    victim
        .wait(|event| if let MeshEvent::Events { peer, .. } = event { Some(peer.name.to_string()) } else { None })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_peer_says_comes_in_turns_with_what_another_floods_with() {
    let world = World::new().await;
    let mut victim = world.join("victim", 2);
    let flooder = linked(&world, &mut victim, ("flooder", 3)).await;
    let honest = linked(&world, &mut victim, ("honest", 4)).await;
    let (to, flood, from) = (victim.mesh.me(), batch(flooder.mesh.me()), flooder.mesh.clone());
    let flooding = tokio::spawn(async move { while from.send_events(to, flood.clone()).await.is_ok() {} });
    for round in 0..ROUNDS {
        for _ in 0..100 {
            assert_eq!(next(&mut victim).await, "flooder");
        }
        // nobody takes events until the other's are there
        let there = received(&victim.mesh, "honest") + (TURNS * BATCH_BYTES) as u64;
        for _ in 0..TURNS {
            honest.mesh.send_events(to, batch(honest.mesh.me())).await.expect("linked");
        }
        let arriving = async {
            while received(&victim.mesh, "honest") < there {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, arriving).await.expect("they arrive");
        let mut before = 0;
        while next(&mut victim).await != "honest" {
            before += 1;
        }
        assert!(before <= MOST, "round {round}: {before} batches of the flood came first, {MOST} are the most");
        for _ in 1..TURNS {
            while next(&mut victim).await != "honest" {}
        }
    }
    assert!(!flooding.is_finished(), "the flood went on until then");
    flooding.abort();
}

/// More than the queue of one link before its own task, and of the mesh before all links.
const WISHES: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_whose_peers_events_nobody_is_done_with_holds_up_no_other() {
    let world = World::new().await;
    let mut victim = world.join("victim", 2);
    let flooder = linked(&world, &mut victim, ("flooder", 3)).await;
    let (to, flood, from) = (victim.mesh.me(), batch(flooder.mesh.me()), flooder.mesh.clone());
    let flooding = tokio::spawn(async move { while from.send_events(to, flood.clone()).await.is_ok() {} });
    // its places are taken, so its task waits for one of them
    let mut kept = Vec::new();
    while kept.len() < TURNS {
        kept.push(
            victim.wait(|event| if let MeshEvent::Events { turn, .. } = event { Some(turn) } else { None }).await,
        );
    }
    let wishes = async {
        for _ in 0..WISHES {
            victim.mesh.connect(flooder.mesh.me()).await;
        }
    };
    tokio::time::timeout(PATIENCE, wishes).await.expect("nobody waits for that link");
    linked(&world, &mut victim, ("late", 4)).await;
    flooding.abort();
}
