//! A host that is cut off from everybody, signaling and its relay included: nothing can heal before the path is back.

use std::time::Duration;

use meshproof_proto::limits::LINK_LOST;

use super::{A, B, back_again, echoes, lasts, suspects};
use crate::audit::{Beyond, Calls, Talk};
use crate::board::{Board, DETECTED, HEALED, LOST, RESUMED};
use crate::netns;
use crate::wire::{Event, Moment};
use crate::world::{SIGNALING, World};

/// Long enough for every socket to have been given up, and short of a lost link.
const SHORTER: Duration = Duration::from_secs(25);

pub async fn shorter(scenario: &'static str, board: &Board) -> Result<(), String> {
    let mut world = World::linked(&[A, B]).await?;
    let mut talk = Talk::begin(&mut world, "a", "b").await?;
    let mut calls = Calls::default();
    for _ in 0..board.rounds {
        calls.begin_both(&mut world, "a", "b").await?;
        let began = Moment::now();
        cut_off(&world)?;
        let at_a = suspects(&world, "a", "b", began).await?;
        let at_b = suspects(&world, "b", "a", began).await?;
        board.note(scenario, DETECTED, at_a.max(at_b).since(began));
        let before = talk.mark(Beyond::Heard).await?;
        lasts(began, SHORTER).await;
        if !talk.mark(Beyond::Heard).await?.is_silent_since(&before) {
            return Err("bytes came through, though the host was cut off".to_owned());
        }
        let back = Moment::now();
        world.network.heal()?;
        let (healed, resumed) = back_again(&mut world, &mut talk).await?;
        board.note(scenario, HEALED, healed.since(back));
        board.note(scenario, RESUMED, resumed.since(back));
    }
    calls.check(&world).await?;
    talk.finish(&world).await
}

/// Both sides tell the users of the old connection that it broke, and a new one works.
pub async fn longer(scenario: &'static str, board: &Board) -> Result<(), String> {
    let mut world = World::linked(&[A, B]).await?;
    let mut calls = Calls::default();
    for _ in 0..board.rounds {
        let doomed = Talk::begin(&mut world, "a", "b").await?;
        calls.begin_both(&mut world, "a", "b").await?;
        let began = Moment::now();
        cut_off(&world)?;
        for (who, of) in [("a", "b"), ("b", "a")] {
            let lost = loses(&world, (who, of), began).await?.since(began);
            board.note(scenario, LOST, lost);
            if lost < LINK_LOST {
                return Err(format!("{who} lost its link after {lost:?}, which is too early"));
            }
        }
        doomed.reset().await?;
        let back = Moment::now();
        world.network.heal()?;
        world.up(("a", "b"), back).await?;
        let echoed = echoes(&mut world, ("a", "b")).await?;
        board.note(scenario, HEALED, echoed.since(back));
        Talk::begin(&mut world, "a", "b").await?.finish(&world).await?;
    }
    calls.check(&world).await
}

fn cut_off(world: &World) -> Result<(), String> {
    let a = netns::address(A);
    for other in [B, SIGNALING].map(netns::address) {
        world.network.cut(a, other)?;
        world.network.cut(other, a)?;
    }
    Ok(())
}

/// Waits until a peer gave its link to another up; gives when it did.
async fn loses(world: &World, (who, of): (&str, &str), since: Moment) -> Result<Moment, String> {
    let lost = |event: &Event| matches!(event, Event::Lost { name, .. } if name == of).then_some(());
    Ok(world.peer_ref(who).when(since, "that the link is lost", lost).await?.0)
}
