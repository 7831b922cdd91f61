//! Signaling that stands still, its sockets half open: its kernel takes connections and bytes, and nobody answers.

use rustix::process::Signal;

use super::signaling::{down, two_servers, up};
use super::{A, B, C, echoes};
use crate::audit::{Beyond, Calls, Talk};
use crate::board::{Board, LINKED, NOTICED, REGISTERED};
use crate::netns::Host;
use crate::process::Process;
use crate::wire::{Event, Moment};
use crate::world::World;

/// Those who are registered when it begins.
const REGULARS: [&str; 2] = ["a", "b"];

pub async fn alone(scenario: &'static str, board: &Board) -> Result<(), String> {
    let mut world = World::new(&[A, B, C])?;
    world.start_signaling()?;
    let (mut talk, linked) = talk(&mut world).await?;
    let mut calls = Calls::default();
    for _ in 0..board.rounds {
        let stopped = Moment::now();
        signaling(&world)?.signal(Signal::STOP)?;
        start_newcomer(&mut world)?;
        let noticed = each_says(&world, &REGULARS, stopped, down).await?;
        board.note(scenario, NOTICED, noticed.since(stopped));
        each_says(&world, &[C.0], stopped, down).await?;
        let registered = |event: &Event| matches!(event, Event::SignalingUp { .. } | Event::Up { .. }).then_some(());
        if !world.peer_ref(C.0).all(stopped, registered).is_empty() {
            return Err("a newcomer is in the mesh by a server that stands still".to_owned());
        }
        goes_on(&mut world, &mut talk, &mut calls).await?;
        let thawed = Moment::now();
        signaling(&world)?.signal(Signal::CONT)?;
        let registered = each_says(&world, &["a", "b", C.0], thawed, up).await?;
        board.note(scenario, REGISTERED, registered.since(thawed));
        board.note(scenario, LINKED, newcomer_linked(&world, thawed).await?.since(thawed));
        world.kill(C.0);
    }
    ends_well(&world, calls, linked).await?;
    talk.finish(&world).await
}

/// Everybody knows both servers.
pub async fn one_of_two(scenario: &'static str, board: &Board) -> Result<(), String> {
    const SECOND: Host = ("second", 2);
    let (mut world, _second) = two_servers(&[A, B, C], SECOND).await?;
    let (mut talk, linked) = talk(&mut world).await?;
    let mut calls = Calls::default();
    for _ in 0..board.rounds {
        let stopped = Moment::now();
        signaling(&world)?.signal(Signal::STOP)?;
        start_newcomer(&mut world)?;
        let began = world.peer_ref(C.0).started;
        board.note(scenario, LINKED, newcomer_linked(&world, began).await?.since(began));
        let noticed = each_says(&world, &REGULARS, stopped, down).await?;
        board.note(scenario, NOTICED, noticed.since(stopped));
        each_says(&world, &[C.0], began, down).await?;
        goes_on(&mut world, &mut talk, &mut calls).await?;
        let thawed = Moment::now();
        signaling(&world)?.signal(Signal::CONT)?;
        let registered = each_says(&world, &["a", "b", C.0], thawed, up).await?;
        board.note(scenario, REGISTERED, registered.since(thawed));
        world.kill(C.0);
    }
    ends_well(&world, calls, linked).await?;
    talk.finish(&world).await
}

/// `a` and `b`, linked, and a connection between them; since when they are linked.
async fn talk(world: &mut World) -> Result<(Talk, Moment), String> {
    for name in REGULARS {
        world.start(name)?;
    }
    world.connect("a", "b")?;
    world.up(("a", "b"), world.peer_ref("b").started).await?;
    Ok((Talk::begin(world, "a", "b").await?, Moment::now()))
}

fn start_newcomer(world: &mut World) -> Result<(), String> {
    world.start(C.0)?;
    REGULARS.into_iter().try_for_each(|regular| world.connect(C.0, regular))
}

async fn newcomer_linked(world: &World, since: Moment) -> Result<Moment, String> {
    let with_a = world.up((C.0, "a"), since).await?;
    Ok(with_a.max(world.up((C.0, "b"), since).await?))
}

/// The link between `a` and `b` does all it can, for old and new.
async fn goes_on(world: &mut World, talk: &mut Talk, calls: &mut Calls) -> Result<(), String> {
    let mark = talk.mark(Beyond::Said).await?;
    calls.begin_both(world, "a", "b").await?;
    echoes(world, ("a", "b")).await?;
    talk.passed(&mark).await.map(drop)
}

async fn ends_well(world: &World, calls: Calls, linked: Moment) -> Result<(), String> {
    let harmed = |event: &Event| match event {
        Event::Suspect { name, .. } | Event::Lost { name, .. } => (name != C.0).then(|| event.clone()),
        _ => None,
    };
    let harmed: Vec<_> = world.peers().flat_map(|peer| peer.all(linked, harmed)).collect();
    if !harmed.is_empty() {
        return Err(format!("a link noticed that signaling stood still: {harmed:?}"));
    }
    calls.check(world).await
}

fn signaling(world: &World) -> Result<&Process, String> {
    world.signaling().ok_or_else(|| "signaling was never started".to_owned())
}

/// Waits until each of them says it; gives when the last one did.
async fn each_says(
    world: &World,
    names: &[&str],
    since: Moment,
    pick: fn(&Event) -> Option<()>,
) -> Result<Moment, String> {
    let mut last = since;
    for name in names {
        last = last.max(world.peer_ref(name).when(since, "whether signaling is there", pick).await?.0);
    }
    Ok(last)
}
