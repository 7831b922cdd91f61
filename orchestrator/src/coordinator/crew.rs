//! The agents of a run, as the orchestrator reaches them.

mod standbys;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshproof_mesh::LinkUp;
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::limits::CALLS_IN_FLIGHT;
use meshproof_proto::order::NameTerm;
use meshproof_proto::rpc::{AgentClient, AgentRequest, AgentResponse, Refusal};
use tarpc::client::RpcError;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use standbys::Standby;
pub(super) use standbys::{Duty, Instance};

/// One call, answered or not. No call is long: results of steps come as events.
const CALL_WITHIN: Duration = Duration::from_secs(10);

/// How long a call may wait for a link that is being replaced, repeats included.
const REACH_WITHIN: Duration = Duration::from_secs(30);

/// Half of what an agent takes, as calls that were given up here may still be on their way there. Others wait for their turn.
const CALLS_AT_ONCE: usize = CALLS_IN_FLIGHT / 2;

/// When a call that was not made is made again over the same connection.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The agents by name.
#[derive(Debug, Default)]
pub(super) struct Crew {
    seats: BTreeMap<Name, Seat>,
    /// Of those that hold a name or did, as far as that is known.
    instances: BTreeMap<PeerId, Instance>,
    /// An agent has refused an order because another orchestrator commands.
    superseded: CancellationToken,
}

#[derive(Debug)]
struct Seat {
    /// The instances that held it, the present one last.
    held: Vec<PeerId>,
    /// Where calls go; nowhere while nobody holds it.
    client: watch::Sender<Option<Way>>,
    /// The way to one that is taking over, which gets no other calls yet.
    newcomer: watch::Sender<Option<Way>>,
    course: Course,
    /// Instances that could take it, in the order they joined.
    standbys: Vec<Standby>,
    /// Which of them have what is on the disk of whoever acts, and at which term that one held the name, as the journal has it.
    mirrored: Option<(NameTerm, Vec<PeerId>)>,
}

/// Where calls go.
#[derive(Clone, Debug)]
struct Way {
    to: PeerId,
    client: AgentClient,
}

/// How a seat is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Held,
    Vacant,
    /// The last of those that held it is taking over.
    Granted,
}

/// Who is there under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    There(PeerId),
    /// Nobody, or one that is taking over.
    Awaited,
}

impl Seat {
    fn peer(&self) -> Option<PeerId> {
        self.held.last().copied()
    }
}

/// Calls one agent, over whatever connection its link has.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    ways: watch::Receiver<Option<Way>>,
    /// The only instance that is called; none: whichever has the name.
    only: Option<PeerId>,
    superseded: CancellationToken,
}

/// A call that brought no result.
#[derive(Debug, Error)]
pub(super) enum CallError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the agent could not be reached within {0:?}")]
    Unreachable(Duration),
    /// Only of a caller that is [`Caller::for_instance`].
    #[error("another instance of the agent has its place")]
    Another,
}

impl Crew {
    /// An agent joined; the latest instance of a name holds it.
    pub(super) fn seat(&mut self, name: Name, peer: PeerId) {
        let (client, newcomer) = (watch::Sender::new(None), watch::Sender::new(None));
        let (held, course, standbys) = (vec![peer], Course::Held, Vec::new());
        self.seats.insert(name, Seat { held, client, newcomer, course, standbys, mirrored: None });
    }

    /// Nobody holds the name now. `false`: nobody did, or it is no name of ours.
    pub(super) fn vacate(&mut self, name: &Name) -> bool {
        let Some(seat) = self.seats.get_mut(name).filter(|seat| seat.course != Course::Vacant) else { return false };
        seat.course = Course::Vacant;
        seat.client.send_replace(None);
        seat.newcomer.send_replace(None);
        true
    }

    /// Another instance gets the name, and is to take over. Gives its number.
    pub(super) fn grant(&mut self, name: &Name, peer: PeerId) -> Option<u64> {
        let seat = self.seats.get_mut(name).filter(|seat| seat.course == Course::Vacant)?;
        seat.held.push(peer);
        seat.course = Course::Granted;
        if let Some(standby) = seat.standbys.extract_if(.., |standby| standby.peer == peer).next() {
            seat.newcomer.send_replace(standby.way.send_replace(None));
            self.instances.extend(standby.instance.map(|instance| (peer, instance)));
        }
        u64::try_from(seat.held.len()).ok()
    }

    /// It has taken over: calls go there from now on.
    pub(super) fn admit(&mut self, name: &Name) {
        if let Some(seat) = self.seats.get_mut(name).filter(|seat| seat.course == Course::Granted) {
            seat.course = Course::Held;
            let client = seat.newcomer.send_replace(None);
            seat.client.send_replace(client);
        }
    }

    /// How many instances had the name so far.
    pub(super) fn instances(&self, name: &Name) -> usize {
        self.seats.get(name).map_or(0, |seat| seat.held.len())
    }

    /// Who has the name, or had it last.
    pub(super) fn holder(&self, name: &Name) -> Option<PeerId> {
        self.seats.get(name)?.peer()
    }

    /// Who takes calls under that name; `None`: it is lost, or no name of ours.
    pub(super) fn presence(&self, name: &Name) -> Option<Presence> {
        let seat = self.seats.get(name)?;
        Some(match (seat.course, seat.peer()) {
            (Course::Held, Some(peer)) => Presence::There(peer),
            (Course::Held | Course::Vacant | Course::Granted, _) => Presence::Awaited,
        })
    }

    /// Whether that instance held it before, or does.
    pub(super) fn has_held(&self, name: &Name, peer: PeerId) -> bool {
        self.seats.get(name).is_some_and(|seat| seat.held.contains(&peer))
    }

    /// The instance that began the numbering of this name's events.
    pub(super) fn origin(&self, name: &Name) -> Option<PeerId> {
        self.seats.get(name)?.held.first().copied()
    }

    /// Whether events under that numbering may come from that instance.
    pub(super) fn may_tell(&self, peer: &PeerId, origin: &PeerId) -> bool {
        match self.seats.values().find(|seat| seat.held.contains(peer)) {
            Some(seat) => seat.peer() == Some(*peer) && seat.held.first() == Some(origin),
            None => peer == origin,
        }
    }

    /// Who hears of events under that numbering.
    pub(super) fn listener(&self, origin: &PeerId) -> PeerId {
        let seat = self.seats.values().find(|seat| seat.held.first() == Some(origin));
        seat.and_then(Seat::peer).unwrap_or(*origin)
    }

    /// How to call one that is taking over.
    pub(super) fn newcomer(&self, name: &Name) -> Option<Caller> {
        self.seats.get(name).map(|seat| self.calls(&seat.newcomer))
    }

    /// A link came up, for the first time or again. Gives the agent's name, if it is one of the crew.
    pub(super) fn linked(&mut self, up: LinkUp) -> Option<Name> {
        let peer = up.peer.peer;
        let of_a_standby = |seat: &Seat| seat.standbys.iter().position(|standby| standby.peer == peer);
        if let Some((seat, at)) = self.seats.values().find_map(|seat| Some((seat, of_a_standby(seat)?))) {
            seat.standbys[at].way.send_replace(Some(way(up)));
            return None;
        }
        let (name, seat) = self.seats.iter().find(|(_, seat)| seat.peer() == Some(peer))?;
        let client = way(up);
        match seat.course {
            Course::Held => drop(seat.client.send_replace(Some(client))),
            Course::Granted => drop(seat.newcomer.send_replace(Some(client))),
            // it is the link of one that is gone
            Course::Vacant => {}
        }
        Some(name.clone())
    }

    pub(super) fn name_of(&self, peer: &PeerId) -> Option<&Name> {
        self.seats.iter().find(|(_, seat)| seat.peer() == Some(*peer)).map(|(name, _)| name)
    }

    pub(super) fn roster(&self) -> BTreeMap<Name, PeerId> {
        self.seats.iter().filter_map(|(name, seat)| Some((name.clone(), seat.peer()?))).collect()
    }

    /// How to call that agent; `None` when it never joined.
    pub(super) fn caller(&self, name: &Name) -> Option<Caller> {
        self.seats.get(name).map(|seat| self.calls(&seat.client))
    }

    pub(super) fn callers(&self) -> Vec<(Name, Caller)> {
        self.seats.keys().filter_map(|name| Some((name.clone(), self.caller(name)?))).collect()
    }

    fn calls(&self, way: &watch::Sender<Option<Way>>) -> Caller {
        Caller { ways: way.subscribe(), only: None, superseded: self.superseded.clone() }
    }

    /// Another orchestrator commands.
    pub(super) fn is_superseded(&self) {
        self.superseded.cancel();
    }

    /// What is told when another orchestrator commands.
    pub(super) fn superseded(&self) -> CancellationToken {
        self.superseded.clone()
    }

    /// What was refused so far was not refused to who commands.
    pub(super) fn commands_anew(&mut self) {
        self.superseded = CancellationToken::new();
    }

    /// The numbering of this name's events began with that instance.
    pub(super) fn began_with(&mut self, name: &Name, origin: PeerId) {
        if let Some(seat) = self.seats.get_mut(name).filter(|seat| seat.held.first() != Some(&origin)) {
            seat.held.insert(0, origin);
        }
    }

    /// The instance that is linked has not taken the name over, and is to. Gives its number.
    pub(super) fn hand_over(&mut self, name: &Name, peer: PeerId) -> Option<u64> {
        let seat = self.seats.get_mut(name).filter(|seat| seat.peer() == Some(peer))?;
        seat.course = Course::Granted;
        let client = seat.client.send_replace(None);
        seat.newcomer.send_replace(client);
        u64::try_from(seat.held.len()).ok()
    }

    /// Whether calls to that agent have a way.
    pub(super) fn is_linked(&self, name: &Name) -> bool {
        self.seats.get(name).is_some_and(|seat| seat.client.borrow().is_some())
    }

    /// The agent is gone: calls to it end.
    pub(super) fn lose(&mut self, name: &Name) {
        self.seats.remove(name);
    }
}

/// The way to a peer that was linked.
fn way(up: LinkUp) -> Way {
    let (client, _) = up.rpc.split::<AgentRequest, AgentResponse, AgentRequest, AgentResponse>();
    let mut config = tarpc::client::Config::default();
    config.max_in_flight_requests = CALLS_AT_ONCE;
    Way { to: up.peer.peer, client: AgentClient::new(config, client).spawn() }
}

impl Caller {
    /// Calls that instance or nobody.
    pub(super) fn for_instance(self, only: Option<PeerId>) -> Self {
        Self { only, ..self }
    }

    /// Calls until there is an answer. A call without one is made again, on the next connection if its own has ended: agents do each
    /// order at most once, so that is safe.
    pub(super) async fn call<T, F, Answer>(&self, make: F) -> Result<T, CallError>
    where
        F: Fn(AgentClient, tarpc::context::Context) -> Answer,
        Answer: Future<Output = Result<Result<T, Refusal>, RpcError>>,
    {
        match timeout(REACH_WITHIN, self.keep_calling(make)).await {
            Ok(Some(answer)) => {
                if matches!(answer, Err(Refusal::OldTerm { .. })) {
                    self.superseded.cancel();
                }
                Ok(answer?)
            }
            Ok(None) if self.is_for_another() => Err(CallError::Another),
            Ok(None) | Err(_) => Err(CallError::Unreachable(REACH_WITHIN)),
        }
    }

    fn is_for_another(&self) -> bool {
        let there = self.ways.borrow().as_ref().map(|way| way.to);
        there.is_some_and(|there| self.only.is_some_and(|only| only != there))
    }

    /// `None` when the agent is gone.
    async fn keep_calling<T, F, Answer>(&self, make: F) -> Option<Result<T, Refusal>>
    where
        F: Fn(AgentClient, tarpc::context::Context) -> Answer,
        Answer: Future<Output = Result<Result<T, Refusal>, RpcError>>,
    {
        let mut ways = self.ways.clone();
        loop {
            let Way { to, client } = ways.wait_for(Option::is_some).await.ok()?.clone()?;
            if self.only.is_some_and(|only| only != to) {
                return None;
            }
            ways.mark_unchanged();
            tokio::select! {
                answer = make(client, context()) => match answer {
                    Ok(answer) => return Some(answer),
                    Err(error) => {
                        tracing::debug!(%error, "a call ended without an answer");
                        if let Ok(changed) = timeout(AGAIN_AFTER, ways.changed()).await {
                            changed.ok()?;
                        }
                    }
                },
                changed = ways.changed() => changed.ok()?,
            }
        }
    }
}

fn context() -> tarpc::context::Context {
    let mut context = tarpc::context::current();
    context.deadline = Instant::now() + CALL_WITHIN;
    context
}
