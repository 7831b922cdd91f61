//! Peers that have no route to each other, but both to a TURN server.

use super::{A, B, echoes, linked, suspects};
use crate::audit::{Beyond, Calls, Talk};
use crate::board::{Board, DETECTED, LINKED, RELAYED, RESUMED_RELAYED};
use crate::daemon::{self, Daemon, TURN_PORT};
use crate::netns::{self, Host};
use crate::wire::{Event, Moment, Path};
use crate::world::{SIGNALING, World};

const TURN: Host = ("turn", 2);

pub async fn taken(scenario: &'static str, board: &Board) -> Result<(), String> {
    if !daemon::is_installed("turnserver")? {
        return Ok(());
    }
    let mut world = apart()?;
    let mut server = Daemon::turn(&world.network, TURN).await?;
    start(&mut world)?;
    linked(&world, Path::Turn, world.peer_ref("a").started).await?;
    let mut talk = Talk::begin(&mut world, "a", "b").await?;
    let mut calls = Calls::default();
    for _ in 0..board.rounds {
        talk.caught_up().await?;
        calls.begin_both(&mut world, "a", "b").await?;
        echoes(&mut world, ("a", "b")).await?;
        let killed = Moment::now();
        server.kill().await?;
        let before = talk.mark(Beyond::Heard).await?;
        let at_a = suspects(&world, "a", "b", killed).await?;
        let at_b = suspects(&world, "b", "a", killed).await?;
        board.note(scenario, DETECTED, at_a.max(at_b).since(killed));
        let mark = talk.mark(Beyond::Heard).await?;
        linked(&world, Path::Relayed, killed).await?;
        let echoed = echoes(&mut world, ("a", "b")).await?;
        board.note(scenario, RELAYED, echoed.since(killed));
        let resumed = talk.passed(&mark).await?;
        if mark.is_silent_since(&before) {
            board.note(scenario, RESUMED_RELAYED, resumed.since(killed));
        }
        let back = Moment::now();
        server = Daemon::turn(&world.network, TURN).await?;
        linked(&world, Path::Turn, back).await?;
        echoes(&mut world, ("a", "b")).await?;
    }
    calls.check(&world).await?;
    talk.finish(&world).await
}

/// The server that does not answer holds up the gathering of candidates on both sides, one after the other.
pub async fn away(scenario: &'static str, board: &Board) -> Result<(), String> {
    for _ in 0..board.rounds {
        let mut world = World::new(&[A, B, TURN])?;
        start(&mut world)?;
        let began = world.peer_ref("b").started;
        linked(&world, Path::Direct, began).await?;
        board.note(scenario, LINKED, world.up(("a", "b"), began).await?.since(began));
        echoes(&mut world, ("a", "b")).await?;
        let relayed = |event: &Event| matches!(event, Event::Up { path: Path::Relayed, .. }).then_some(());
        if world.peers().any(|peer| !peer.all(began, relayed).is_empty()) {
            return Err("the link was relayed, though there is a direct path".to_owned());
        }
    }
    Ok(())
}

/// Both hosts have a route to signaling and one to the TURN server, and no other.
fn apart() -> Result<World, String> {
    let world = World::new(&[A, B, TURN])?;
    for (host, other) in [(A, B), (B, A)] {
        world.network.route_only(host.0, &[SIGNALING, TURN])?;
        if world.network.has_route(host.0, other) {
            return Err(format!("{host:?} has a route to {other:?}"));
        }
    }
    Ok(world)
}

fn start(world: &mut World) -> Result<(), String> {
    world.start_signaling()?;
    for (host, _) in [A, B] {
        world.ways_of(host).turn = Some(format!("turn:{}:{TURN_PORT}?transport=udp", netns::address(TURN)));
        world.start(host)?;
    }
    world.connect("a", "b")
}
