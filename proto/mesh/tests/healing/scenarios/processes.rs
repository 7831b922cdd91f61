//! A peer's process that stands still, and one that dies.

use std::time::Duration;

use rustix::process::Signal;

use super::{A, B, C, back_again, echoes, lasts, suspects};
use crate::audit::{Beyond, Calls, Talk};
use crate::board::{Board, CLOSED, DETECTED, HEALED, LINKED, RESUMED};
use crate::parts;
use crate::wire::{Event, Moment, Part};
use crate::world::World;

pub async fn frozen(scenario: &'static str, board: &Board) -> Result<(), String> {
    let mut world = World::linked(&[A, B]).await?;
    let mut talk = Talk::begin(&mut world, "a", "b").await?;
    let mut calls = Calls::default();
    for _ in 0..board.rounds {
        calls.begin_both(&mut world, "a", "b").await?;
        let stopped = Moment::now();
        world.peer("b").signal(Signal::STOP)?;
        let suspected = suspects(&world, "a", "b", stopped).await?;
        board.note(scenario, DETECTED, suspected.since(stopped));
        lasts(stopped, Duration::from_secs(5)).await;
        let goes_on = Moment::now();
        world.peer("b").signal(Signal::CONT)?;
        let (echoed, resumed) = back_again(&mut world, &mut talk).await?;
        board.note(scenario, HEALED, echoed.since(goes_on));
        board.note(scenario, RESUMED, resumed.since(goes_on));
    }
    calls.check(&world).await?;
    talk.finish(&world).await
}

/// Threads that fight for two processors with the peer: four times as many as there are.
const SPINNERS: usize = 8;
const STARVED_FOR: Duration = Duration::from_secs(10);

/// It may be suspect, and its connection replaced: a connection that is open goes on all the same.
pub async fn starved(board: &Board) -> Result<(), String> {
    let mut world = World::linked(&[A, B]).await?;
    let mut talk = Talk::begin(&mut world, "a", "b").await?;
    let (mut calls, linked) = (Calls::default(), Moment::now());
    for _ in 0..board.rounds {
        let began = Moment::now();
        world.peer("b").set_niceness(parts::NICE)?;
        let spinners = world.beside("b", &Part::Spinner { threads: SPINNERS })?;
        calls.begin_both(&mut world, "a", "b").await?;
        lasts(began, STARVED_FOR).await;
        drop(spinners);
        world.peer("b").set_niceness(0)?;
        let mark = talk.mark(Beyond::Said).await?;
        echoes(&mut world, ("a", "b")).await?;
        talk.passed(&mark).await?;
    }
    let lost = |event: &Event| matches!(event, Event::Lost { .. }).then(|| event.clone());
    let lost: Vec<_> = world.peers().flat_map(|peer| peer.all(linked, lost)).collect();
    if !lost.is_empty() {
        return Err(format!("a peer that was only starved was lost: {lost:?}"));
    }
    calls.check(&world).await?;
    talk.finish(&world).await
}

/// The streams and links of the instance that died end; everybody else's go on.
pub async fn killed(scenario: &'static str, board: &Board) -> Result<(), String> {
    let mut world = World::linked(&[A, B, C]).await?;
    let elsewhere = Talk::begin(&mut world, "a", "c").await?;
    let mut calls = Calls::default();
    for _ in 0..board.rounds {
        let doomed = Talk::begin(&mut world, "a", "b").await?;
        calls.begin(&mut world, "a", "b").await?;
        calls.begin(&mut world, "a", "c").await?;
        let old = instance_of_b(&world)?;
        let killed = Moment::now();
        calls.remember(&world.kill("b"));
        world.start("b")?;
        board.note(scenario, DETECTED, missed(&world, &old, killed).await?.since(killed));
        let began = world.peer_ref("b").started;
        let linked = world.up(("a", "b"), killed).await?;
        board.note(scenario, LINKED, linked.since(began));
        let closed = |event: &Event| matches!(event, Event::Lost { instance, .. } if *instance == old).then_some(());
        let (closed, ()) = world.peer_ref("a").when(killed, "that the old instance's link is closed", closed).await?;
        board.note(scenario, CLOSED, closed.since(linked));
        echoes(&mut world, ("a", "b")).await?;
        doomed.broken().await?;
    }
    calls.check(&world).await?;
    elsewhere.finish(&world).await
}

/// Waits until `a` knows that an instance of `b` is not there: its link is suspect or closed. Gives when it did.
async fn missed(world: &World, instance: &str, since: Moment) -> Result<Moment, String> {
    let misses = |event: &Event| match event {
        Event::Suspect { instance: of, .. } | Event::Lost { instance: of, .. } => (of == instance).then_some(()),
        _ => None,
    };
    Ok(world.peer_ref("a").when(since, "that it misses the old instance", misses).await?.0)
}

fn instance_of_b(world: &World) -> Result<String, String> {
    let a = world.peer_ref("a");
    let instances = a.all(a.started, |event| match event {
        Event::Up { name, instance, .. } if name == "b" => Some(instance.clone()),
        _ => None,
    });
    instances.last().cloned().ok_or_else(|| "a was never linked with b".to_owned())
}
