//! A path between two peers that is cut and comes back.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{A, B, echoes, lasts, suspects};
use crate::audit::{Calls, Talk};
use crate::board::{Board, DETECTED, HEALED};
use crate::netns;
use crate::wire::{Event, Moment, Path};
use crate::world::World;

/// Which directions, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    pub ways: Ways,
    pub lasting: Duration,
}

#[derive(Debug, Clone, Copy)]
pub enum Ways {
    Both,
    Forth,
    Back,
}

impl Ways {
    fn dropped(self) -> Vec<(Ipv4Addr, Ipv4Addr)> {
        let (a, b) = (netns::address(A), netns::address(B));
        match self {
            Self::Both => vec![(a, b), (b, a)],
            Self::Forth => vec![(a, b)],
            Self::Back => vec![(b, a)],
        }
    }
}

pub async fn healed(scenario: &'static str, cut: Cut, board: &Board) -> Result<(), String> {
    let mut world = World::linked(&[A, B]).await?;
    let talk = Talk::begin(&mut world, "a", "b").await?;
    let mut calls = Calls::default();
    for _ in 0..board.rounds {
        calls.begin_both(&mut world, "a", "b").await?;
        let figures = once(&mut world, &mut calls, cut).await?;
        board.note(scenario, DETECTED, figures.detected);
        board.note(scenario, HEALED, figures.healed);
        direct_again(&world).await?;
    }
    calls.check(&world).await?;
    talk.finish(&world).await
}

/// A long cut moves the link to the relay, which the next cut would not touch.
async fn direct_again(world: &World) -> Result<(), String> {
    let path = |event: &Event| if let Event::Up { path, .. } = event { Some(*path) } else { None };
    for peer in world.peers() {
        let before = Moment::now();
        if peer.all(peer.started, path).last() == Some(&Path::Relayed) {
            let direct = |event: &Event| (path(event) == Some(Path::Direct)).then_some(());
            peer.when(before, "that it is linked directly again", direct).await?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub detected: Duration,
    pub healed: Duration,
}

/// Cuts the path between `a` and `b` and lets it heal.
pub async fn once(world: &mut World, calls: &mut Calls, cut: Cut) -> Result<Figures, String> {
    let began = Moment::now();
    for (from, to) in cut.ways.dropped() {
        world.network.cut(from, to)?;
    }
    let at_a = suspects(world, "a", "b", began).await?;
    let at_b = suspects(world, "b", "a", began).await?;
    calls.attempt(world, "a", "b")?;
    lasts(began, cut.lasting).await;
    let back = Moment::now();
    world.network.heal()?;
    let echoed = echoes(world, ("a", "b")).await?;
    Ok(Figures { detected: at_a.max(at_b).since(began), healed: echoed.since(back) })
}
