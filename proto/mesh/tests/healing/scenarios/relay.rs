//! A path between two peers that stays cut: the relay of the signaling server is what is left.

use super::{A, B, echoes, linked, suspects};
use crate::audit::{Beyond, Calls, Talk};
use crate::board::{Board, DETECTED, RELAYED, RESUMED_RELAYED};
use crate::netns;
use crate::wire::{Moment, Path};
use crate::world::World;

pub async fn taken(scenario: &'static str, board: &Board) -> Result<(), String> {
    let mut world = World::linked(&[A, B]).await?;
    let mut talk = Talk::begin(&mut world, "a", "b").await?;
    let mut calls = Calls::default();
    for _ in 0..board.rounds {
        talk.caught_up().await?;
        calls.begin(&mut world, "a", "b").await?;
        let began = Moment::now();
        for (from, to) in [(A, B), (B, A)] {
            world.network.cut(netns::address(from), netns::address(to))?;
        }
        let before = talk.mark(Beyond::Heard).await?;
        let at_a = suspects(&world, "a", "b", began).await?;
        let at_b = suspects(&world, "b", "a", began).await?;
        board.note(scenario, DETECTED, at_a.max(at_b).since(began));
        let mark = talk.mark(Beyond::Heard).await?;
        linked(&world, Path::Relayed, began).await?;
        let echoed = echoes(&mut world, ("a", "b")).await?;
        board.note(scenario, RELAYED, echoed.since(began));
        let resumed = talk.passed(&mark).await?;
        if mark.is_silent_since(&before) {
            board.note(scenario, RESUMED_RELAYED, resumed.since(began));
        }
        let back = Moment::now();
        world.network.heal()?;
        linked(&world, Path::Direct, back).await?;
        echoes(&mut world, ("a", "b")).await?;
    }
    calls.check(&world).await?;
    talk.finish(&world).await
}
