//! A path between two peers that is cut and comes back.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{A, B, back_again, lasts, suspects};
use crate::audit::{Beyond, Calls, Talk};
use crate::board::{Board, DETECTED, HEALED, RESUMED};
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
    let mut talk = Talk::begin(&mut world, "a", "b").await?;
    let mut calls = Calls::default();
    for _ in 0..board.rounds {
        talk.caught_up().await?;
        calls.begin_both(&mut world, "a", "b").await?;
        let began = Moment::now();
        once(&mut world, (&mut talk, &mut calls), cut).await?.note(scenario, board);
        direct_again(&world, began).await?;
    }
    calls.check(&world).await?;
    talk.finish(&world).await
}

/// A long cut moves the link to the relay, which the next cut would not touch. What is direct since a cut began is so again: during
/// it nothing can be.
async fn direct_again(world: &World, began: Moment) -> Result<(), String> {
    let path = |event: &Event| if let Event::Up { path, .. } = event { Some(*path) } else { None };
    for peer in world.peers() {
        if peer.all(peer.started, path).last() == Some(&Path::Relayed) {
            let direct = |event: &Event| (path(event) == Some(Path::Direct)).then_some(());
            peer.when(began, "that it is linked directly again", direct).await?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
pub struct Figures {
    detected: Duration,
    healed: Duration,
    /// If it stood still: a path that is direct again may be so for new things first, which the next cut then strikes alone.
    resumed: Option<Duration>,
}

impl Figures {
    pub fn note(self, scenario: &'static str, board: &Board) {
        board.note(scenario, DETECTED, self.detected);
        board.note(scenario, HEALED, self.healed);
        self.resumed.into_iter().for_each(|resumed| board.note(scenario, RESUMED, resumed));
    }
}

/// Cuts the path between `a` and `b` and lets it heal.
pub async fn once(world: &mut World, (talk, calls): (&mut Talk, &mut Calls), cut: Cut) -> Result<Figures, String> {
    let (began, before) = (Moment::now(), talk.mark(Beyond::Heard).await?);
    for (from, to) in cut.ways.dropped() {
        world.network.cut(from, to)?;
    }
    let at_a = suspects(world, "a", "b", began).await?;
    let at_b = suspects(world, "b", "a", began).await?;
    let stood_still = talk.mark(Beyond::Heard).await?.is_silent_since(&before);
    calls.attempt(world, "a", "b")?;
    lasts(began, cut.lasting).await;
    let back = Moment::now();
    world.network.heal()?;
    let (healed, resumed) = back_again(world, talk).await?;
    let (detected, resumed) = (at_a.max(at_b).since(began), stood_still.then(|| resumed.since(back)));
    Ok(Figures { detected, healed: healed.since(back), resumed })
}
