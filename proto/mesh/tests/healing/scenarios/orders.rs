//! Signaling, an orchestrator and two agents, started in every order.

use super::{A, B};
use crate::board::{Board, LINKED};
use crate::netns::Host;
use crate::wire::{Event, Moment};
use crate::world::World;

const ORCHESTRATOR: Host = ("orchestrator", 14);
const SIGNALING: &str = "signaling";
const AGENTS: [&str; 2] = ["a", "b"];

/// Each order, the agents being alike: `a` before `b`.
fn orders() -> Vec<Vec<&'static str>> {
    let mut orders = vec![AGENTS.to_vec()];
    for newcomer in [ORCHESTRATOR.0, SIGNALING] {
        let longer = orders.iter().flat_map(|order| {
            (0..=order.len()).map(|at| {
                let mut order = order.clone();
                order.insert(at, newcomer);
                order
            })
        });
        orders = longer.collect();
    }
    orders
}

/// All twelve, and again from the first until there are as many as rounds.
pub async fn every(scenario: &'static str, board: &Board) -> Result<(), String> {
    let mut world = World::new(&[A, B, ORCHESTRATOR])?;
    let orders = orders();
    for order in orders.iter().cycle().take(board.rounds.next_multiple_of(orders.len())) {
        let (last, linked) = found(&mut world, order).await.map_err(|error| format!("{order:?}: {error}"))?;
        board.note(scenario, LINKED, linked.since(last));
        for name in [ORCHESTRATOR.0, "a", "b"] {
            world.kill(name);
        }
        world.kill_signaling();
    }
    Ok(())
}

/// When the last one was started, and when all were linked: the orchestrator with both agents.
async fn found(world: &mut World, order: &[&str]) -> Result<(Moment, Moment), String> {
    let (began, mut last) = (Moment::now(), Moment::now());
    for who in order {
        if *who == SIGNALING {
            everybody_missed_it(world, began).await?;
            last = Moment::now();
            world.start_signaling()?;
            let signaling = world.signaling().expect("it was started");
            signaling.when(last, "that it listens", started).await?;
            continue;
        }
        world.start(who)?;
        last = world.peer_ref(who).started;
        if *who == ORCHESTRATOR.0 {
            world.connect(who, "a")?;
            world.connect(who, "b")?;
        }
        world.peer_ref(who).when(last, "that it started", started).await?;
    }
    let with_a = world.up((ORCHESTRATOR.0, "a"), began).await?;
    let with_b = world.up((ORCHESTRATOR.0, "b"), began).await?;
    Ok((last, with_a.max(with_b)))
}

/// Whoever came before signaling has looked for it in vain.
async fn everybody_missed_it(world: &World, since: Moment) -> Result<(), String> {
    let missed = |event: &Event| matches!(event, Event::SignalingDown { .. }).then_some(());
    for peer in world.peers() {
        peer.when(since, "that signaling is not there", missed).await?;
    }
    Ok(())
}

fn started(event: &Event) -> Option<()> {
    (*event == Event::Started).then_some(())
}
