//! A firewall of the host itself: the kernel refuses to send, which is no more than a path that loses everything.

use std::time::Duration;

use super::{A, B, back_again, lasts, suspects};
use crate::audit::{Calls, Talk};
use crate::board::{Board, DETECTED, HEALED, RESUMED};
use crate::wire::Moment;
use crate::world::World;

const LASTING: Duration = Duration::from_secs(4);

pub async fn healed(scenario: &'static str, board: &Board) -> Result<(), String> {
    let mut world = World::linked(&[A, B]).await?;
    let mut talk = Talk::begin(&mut world, "a", "b").await?;
    let mut calls = Calls::default();
    for _ in 0..board.rounds {
        calls.begin_both(&mut world, "a", "b").await?;
        let began = Moment::now();
        world.network.forbid_udp("a")?;
        let refused = world.network.send_udp("a", B).err().unwrap_or_default();
        if !refused.contains("not permitted") {
            return Err(format!("the kernel was to refuse datagrams, and said {refused:?}"));
        }
        let at_a = suspects(&world, "a", "b", began).await?;
        let at_b = suspects(&world, "b", "a", began).await?;
        board.note(scenario, DETECTED, at_a.max(at_b).since(began));
        calls.attempt(&mut world, "a", "b")?;
        lasts(began, LASTING).await;
        let back = Moment::now();
        world.network.permit_udp("a")?;
        let (echoed, resumed) = back_again(&mut world, &mut talk).await?;
        board.note(scenario, HEALED, echoed.since(back));
        board.note(scenario, RESUMED, resumed.since(back));
    }
    calls.check(&world).await?;
    talk.finish(&world).await
}
