//! Signaling that is killed: links do not need it, neither to live nor to heal.

use std::time::Duration;

use super::cut::{self, Cut, Ways};
use super::{A, B, C, lasts, linked};
use crate::audit::{Calls, Talk};
use crate::board::{Board, DETECTED, REGISTERED};
use crate::netns::Host;
use crate::process::Process;
use crate::wire::{Event, Moment, Path};
use crate::world::{World, url_on};

/// How long signaling is away before it is started again.
pub const AWAY: Duration = Duration::from_secs(3);

pub async fn restarted(scenario: &'static str, board: &Board) -> Result<(), String> {
    let mut world = World::linked(&[A, B]).await?;
    let talk = Talk::begin(&mut world, "a", "b").await?;
    let (mut calls, linked) = (Calls::default(), Moment::now());
    for _ in 0..board.rounds {
        calls.begin(&mut world, "a", "b").await?;
        let killed = Moment::now();
        world.kill_signaling();
        let noticed = all_say(&world, killed, "that signaling is down", down).await?;
        board.note(scenario, DETECTED, noticed.since(killed));
        calls.begin(&mut world, "b", "a").await?;
        lasts(killed, AWAY).await;
        let back = Moment::now();
        world.start_signaling()?;
        let registered = all_say(&world, back, "that it is registered", up).await?;
        board.note(scenario, REGISTERED, registered.since(back));
    }
    let unaffected = |event: &Event| matches!(event, Event::Suspect { .. } | Event::Lost { .. }).then(|| event.clone());
    let affected: Vec<_> = world.peers().flat_map(|peer| peer.all(linked, unaffected)).collect();
    if !affected.is_empty() {
        return Err(format!("links noticed that signaling was away: {affected:?}"));
    }
    calls.check(&world).await?;
    talk.finish(&world).await
}

/// Long enough for attempts to have grown rare, and for the relay to be tried.
const LONG: Duration = Duration::from_secs(20);

/// Both have a link with a third peer, which then carries their signals.
pub async fn gone(scenario: &'static str, board: &Board) -> Result<(), String> {
    let mut world = World::linked(&[A, B, C]).await?;
    let mut talk = Talk::begin(&mut world, "a", "b").await?;
    let killed = Moment::now();
    world.kill_signaling();
    all_say(&world, killed, "that signaling is down", down).await?;
    let mut calls = Calls::default();
    for _ in 0..board.rounds {
        talk.caught_up().await?;
        calls.begin_both(&mut world, "a", "b").await?;
        let (began, cut) = (Moment::now(), Cut { ways: Ways::Both, lasting: LONG });
        // the old connection coming back would prove nothing about signals
        world.network.retire_sockets([A, B])?;
        let figures = cut::once(&mut world, (&mut talk, &mut calls), cut).await?;
        world.up(("a", "b"), began).await?;
        figures.note(scenario, board);
    }
    calls.check(&world).await?;
    talk.finish(&world).await
}

/// Both are registered with two servers, and the one by which their signals went is gone.
pub async fn one_of_two_gone(scenario: &'static str, board: &Board) -> Result<(), String> {
    const SECOND: Host = ("second", 2);
    let (mut world, _second) = two_servers(&[A, B], SECOND).await?;
    for (name, _) in [A, B] {
        world.start(name)?;
    }
    world.connect("a", "b")?;
    world.up(("a", "b"), world.peer_ref("b").started).await?;
    let mut talk = Talk::begin(&mut world, "a", "b").await?;
    let killed = Moment::now();
    world.kill_signaling();
    all_say(&world, killed, "that signaling is down", down).await?;
    let mut calls = Calls::default();
    for _ in 0..board.rounds {
        talk.caught_up().await?;
        calls.begin_both(&mut world, "a", "b").await?;
        let (began, cut) = (Moment::now(), Cut { ways: Ways::Both, lasting: LONG });
        let figures = cut::once(&mut world, (&mut talk, &mut calls), cut).await?;
        linked(&world, Path::Relayed, began).await?;
        figures.note(scenario, board);
        // a relayed link would not notice the next cut
        linked(&world, Path::Direct, began).await?;
    }
    calls.check(&world).await?;
    talk.finish(&world).await
}

/// A network with a second signaling server, which the peers of these hosts are told of as well.
pub async fn two_servers(hosts: &[Host], second: Host) -> Result<(World, Process), String> {
    let all: Vec<Host> = hosts.iter().copied().chain([second]).collect();
    let mut world = World::new(&all)?;
    let server = world.signaling_on(second)?;
    server.when(server.started, "that it listens", |event| (*event == Event::Started).then_some(())).await?;
    world.start_signaling()?;
    for (name, _) in hosts {
        world.ways_of(name).signaling.push(url_on(second));
    }
    Ok((world, server))
}

/// Waits until every peer says it; gives when the last one did.
async fn all_say(
    world: &World,
    since: Moment,
    what: &str,
    pick: impl Fn(&Event) -> Option<()>,
) -> Result<Moment, String> {
    let mut last = since;
    for peer in world.peers() {
        last = last.max(peer.when(since, what, &pick).await?.0);
    }
    Ok(last)
}

pub fn down(event: &Event) -> Option<()> {
    matches!(event, Event::SignalingDown { .. }).then_some(())
}

pub fn up(event: &Event) -> Option<()> {
    matches!(event, Event::SignalingUp { .. }).then_some(())
}
