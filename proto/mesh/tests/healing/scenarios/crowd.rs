//! Fifty peers, ten in each of five processes, all in one namespace, whose signaling dies and comes back.

use super::lasts;
use super::signaling::AWAY;
use crate::board::{ALL_BACK, Board, DETECTED};
use crate::netns::{self, Host};
use crate::process::Process;
use crate::wire::{Event, Moment, Part};
use crate::world::World;

const CROWD: Host = ("crowd", 21);
const NEWCOMER: Host = ("new", 22);
const PROCESSES: u8 = 5;
const IN_EACH: u8 = 10;

pub async fn back(scenario: &'static str, board: &Board) -> Result<(), String> {
    let mut world = World::new(&[CROWD, NEWCOMER])?;
    let began = Moment::now();
    world.start_signaling()?;
    let crowd = (0..PROCESSES).map(|number| {
        let (signaling, address) = (world.url(), netns::address(CROWD).into());
        world.beside(CROWD.0, &Part::Crowd { first: number * IN_EACH, count: IN_EACH, signaling, address })
    });
    let crowd = crowd.collect::<Result<Vec<_>, _>>()?;
    all(&crowd, began, "that it is registered", up).await?;
    for _ in 0..board.rounds {
        let killed = Moment::now();
        world.kill_signaling();
        let noticed = all(&crowd, killed, "that signaling is down", down).await?;
        board.note(scenario, DETECTED, noticed.since(killed));
        lasts(killed, AWAY).await;
        let back = Moment::now();
        world.start_signaling()?;
        let registered = all(&crowd, back, "that it is registered again", up).await?;
        board.note(scenario, ALL_BACK, registered.since(back));
        newcomer_sees_all(&mut world).await?;
    }
    Ok(())
}

/// Signaling really has them: it introduces each to somebody new.
async fn newcomer_sees_all(world: &mut World) -> Result<(), String> {
    world.start(NEWCOMER.0)?;
    let newcomer = world.peer_ref(NEWCOMER.0);
    for number in 0..PROCESSES * IN_EACH {
        let who = format!("agent-{number}");
        let joined = |event: &Event| matches!(event, Event::Joined { name } if *name == who).then_some(());
        newcomer.when(newcomer.started, &format!("that {who} is there"), joined).await?;
    }
    world.kill(NEWCOMER.0);
    Ok(())
}

/// Waits until each of the fifty says it; gives when the last one did.
async fn all(crowd: &[Process], since: Moment, what: &str, says: fn(&Event) -> Option<&str>) -> Result<Moment, String> {
    let mut last = since;
    for (process, first) in crowd.iter().zip((0..).step_by(IN_EACH.into())) {
        for number in first..first + u32::from(IN_EACH) {
            let who = format!("agent-{number}");
            let pick = |event: &Event| says(event).is_some_and(|name| *name == who).then_some(());
            last = last.max(process.when(since, &format!("{what}: {who}"), pick).await?.0);
        }
    }
    Ok(last)
}

fn down(event: &Event) -> Option<&str> {
    if let Event::SignalingDown { name } = event { Some(name) } else { None }
}

fn up(event: &Event) -> Option<&str> {
    if let Event::SignalingUp { name } = event { Some(name) } else { None }
}
