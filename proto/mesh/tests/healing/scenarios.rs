//! What happens to the processes. A scenario is played as often as there are rounds.

mod address;
mod apart;
mod crowd;
mod cut;
mod frozen;
mod orders;
mod processes;
mod proxy;
mod refused;
mod relay;
mod signaling;
mod turn;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::audit::{Beyond, Talk};
use crate::board::Board;
use crate::netns::Host;
use crate::wire::{Command, Event, Moment, Path, Way};
use crate::world::World;

const A: Host = ("a", 11);
const B: Host = ("b", 12);
const C: Host = ("c", 13);

#[derive(Debug, Clone, Copy)]
pub enum Scenario {
    Cut(cut::Cut),
    ApartShorter,
    ApartLonger,
    Refused,
    Frozen,
    Starved,
    Killed,
    SignalingRestarted,
    SignalingFrozen,
    OneOfTwoFrozen,
    SignalingGone,
    OneOfTwoGone,
    RelayTaken,
    OverTurn,
    TurnAway,
    ThroughProxy,
    AddressReplaced,
    AddressesWatched,
    EveryOrder,
    Fifty,
}

/// A scenario by the sentence that it proves.
pub fn all() -> Vec<(&'static str, Scenario)> {
    let cut = |ways, seconds| Scenario::Cut(cut::Cut { ways, lasting: Duration::from_secs(seconds) });
    // those that take longest begin first
    vec![
        ("a link whose host was cut off for longer than a link may be is lost, and made anew", Scenario::ApartLonger),
        ("an old connection outlives a cut of 25 s from everybody", Scenario::ApartShorter),
        ("a link heals that was cut both ways for 4 s", cut(cut::Ways::Both, 4)),
        ("a link heals that was cut both ways for 12 s", cut(cut::Ways::Both, 12)),
        ("a link heals that was cut one way for 4 s", cut(cut::Ways::Forth, 4)),
        ("a link heals that was cut the other way for 4 s", cut(cut::Ways::Back, 4)),
        ("a link heals when the kernel refused to send for 4 s", Scenario::Refused),
        ("a link heals when its peer stood still for 5 s", Scenario::Frozen),
        ("a peer that is starved of processor time is not lost", Scenario::Starved),
        ("a peer that was killed is linked when it is back", Scenario::Killed),
        ("links do not notice that signaling was killed and came back", Scenario::SignalingRestarted),
        ("links live on while signaling stands still, and newcomers wait", Scenario::SignalingFrozen),
        ("a newcomer is linked by one signaling server while the other stands still", Scenario::OneOfTwoFrozen),
        ("a link heals after 20 s though signaling is gone for good", Scenario::SignalingGone),
        ("a link is relayed and heals by the other signaling server when one is gone", Scenario::OneOfTwoGone),
        ("a link whose path stays cut is relayed, and direct again when it can be", Scenario::RelayTaken),
        ("peers without a route are linked over TURN, relayed while it is away, and over it again", Scenario::OverTurn),
        ("a direct link stays direct when the TURN server is away", Scenario::TurnAway),
        ("a peer that has only an HTTP proxy is linked over the relay", Scenario::ThroughProxy),
        ("a link follows a peer to its new address", Scenario::AddressReplaced),
        ("the watcher tells the addresses that others can reach", Scenario::AddressesWatched),
        ("peers and signaling find each other in every order", Scenario::EveryOrder),
        ("fifty peers are back when signaling is", Scenario::Fifty),
    ]
}

/// Plays a scenario to its end.
pub fn play(name: &'static str, scenario: Scenario, board: &Board) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        match scenario {
            Scenario::Cut(cut) => cut::healed(name, cut, board).await,
            Scenario::ApartShorter => apart::shorter(name, board).await,
            Scenario::ApartLonger => apart::longer(name, board).await,
            Scenario::Refused => refused::healed(name, board).await,
            Scenario::Frozen => processes::frozen(name, board).await,
            Scenario::Starved => processes::starved(board).await,
            Scenario::Killed => processes::killed(name, board).await,
            Scenario::SignalingRestarted => signaling::restarted(name, board).await,
            Scenario::SignalingFrozen => frozen::alone(name, board).await,
            Scenario::OneOfTwoFrozen => frozen::one_of_two(name, board).await,
            Scenario::SignalingGone => signaling::gone(name, board).await,
            Scenario::OneOfTwoGone => signaling::one_of_two_gone(name, board).await,
            Scenario::RelayTaken => relay::taken(name, board).await,
            Scenario::OverTurn => turn::taken(name, board).await,
            Scenario::TurnAway => turn::away(name, board).await,
            Scenario::ThroughProxy => proxy::through().await,
            Scenario::AddressReplaced => address::replaced(name, board).await,
            Scenario::AddressesWatched => address::watched().await,
            Scenario::EveryOrder => orders::every(name, board).await,
            Scenario::Fifty => crowd::back(name, board).await,
        }
    })?;
    board.kept(name)
}

/// Waits until a fresh call and a fresh stream have come back to both peers; gives when the last one did.
async fn echoes(world: &mut World, (one, other): (&str, &str)) -> Result<Moment, String> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let (began, mut sent, mut last) = (Moment::now(), Vec::new(), Moment::now());
    for (from, to) in [(one, other), (other, one)] {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        world.peer(from).tell(&Command::Echo { to: to.to_owned(), id })?;
        sent.push((from, id));
    }
    for (from, id) in sent {
        for by in [Way::Call, Way::Stream] {
            let echoed = |event: &Event| match event {
                Event::Echoed { id: of, by: way } if (*of, *way) == (id, by) => Some(Ok(())),
                Event::EchoFailed { id: of, reason } if *of == id => Some(Err(reason.clone())),
                _ => None,
            };
            let (at, echoed) = world.peer(from).when(began, &format!("that a {by:?} came back"), echoed).await?;
            if let Err(reason) = echoed {
                let words: Vec<_> = world.peers().map(|peer| peer.last_words(began)).collect();
                return Err(format!("an echo of {from} failed: {reason}\n{}", words.join("\n")));
            }
            last = last.max(at);
        }
    }
    Ok(last)
}

/// Waits until something new comes through between `a` and `b`, and until an old connection that stood still goes on; gives when
/// either did.
async fn back_again(world: &mut World, talk: &mut Talk) -> Result<(Moment, Moment), String> {
    let mark = talk.mark(Beyond::Heard).await?;
    let echoed = echoes(world, ("a", "b")).await?;
    Ok((echoed, talk.passed(&mark).await?))
}

/// Waits until `a` and `b` are linked by that path.
async fn linked(world: &World, path: Path, since: Moment) -> Result<(), String> {
    let by = |event: &Event| matches!(event, Event::Up { path: by, .. } if *by == path).then_some(());
    for peer in ["a", "b"] {
        world.peer_ref(peer).when(since, &format!("that it is linked ({path:?})"), by).await?;
    }
    Ok(())
}

/// Waits until a peer suspects its link to another; gives when it did.
async fn suspects(world: &World, who: &str, of: &str, since: Moment) -> Result<Moment, String> {
    let suspects = |event: &Event| matches!(event, Event::Suspect { name, .. } if name == of).then_some(());
    Ok(world.peer_ref(who).when(since, "that the link is suspect", suspects).await?.0)
}

/// A disturbance lasts as long as it is meant to.
async fn lasts(since: Moment, lasting: Duration) {
    tokio::time::sleep(lasting.saturating_sub(Moment::now().since(since))).await;
}
