//! An agent is gone, and another instance of it takes its place.
//!
//! It is *detected* when the keeper says that the process ended, or the instance that it left. It is *decided* when another instance of
//! that name joins: it is granted the name at its next term, and the other agents hear of it. It is *complete* when that instance has
//! taken over what the one before left, and the journal has everything that it had seen; only then does it get orders. One that does not
//! come in time, or whose disk went with it, is lost for good, and the run is an error.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use meshproof_mesh::Loss;
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Identity, Role};
use meshproof_proto::order::{Adopt, Adopted, NameTerm, Reseat};
use meshproof_proto::rpc::Refusal;
use tokio::task::JoinSet;

use super::copies::Copied;
use super::crew::{CallError, Caller};
use super::driver::Driver;
use crate::memory::{Conducted, Hands};
use crate::record::Happening;
use crate::run::Input;

/// From the end of an instance until another one has taken over. A process starts, joins and reads its disk in well under a second; the
/// keeper lets one that dies at once wait a little.
const BACK_WITHIN: Duration = Duration::from_secs(20);

/// The same where whoever could take over is in a zone that does not count yet: it does when a lost zone was noticed, and a kubelet has brought
/// the epoch to signaling, which takes a minute or so.
const COUNTS_WITHIN: Duration = Duration::from_secs(180);

/// An instance may hear a little later than we do that its zone counts.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// When it is asked again meanwhile.
const HEARD_AGAIN: Duration = Duration::from_millis(100);

/// Why a name is vacant whose holder nobody saw go.
pub(super) const ANOTHER_JOINED: &str = "another instance of it has joined";

/// Those that go on.
#[derive(Debug, Default)]
pub(super) struct Failovers {
    of: BTreeMap<Name, Failover>,
    /// Instances that are taking over, with what they found.
    adopting: JoinSet<(Name, PeerId, Result<Adopted, CallError>)>,
    /// What others have copied of agents that are lost with what they saw.
    copied: JoinSet<Copied>,
}

#[derive(Debug)]
struct Failover {
    began: Instant,
    /// In which another one has to have taken over.
    within: Duration,
    stage: Stage,
    /// What the journal had of the instance before.
    journaled: u64,
}

#[derive(Debug)]
enum Stage {
    /// Nobody holds the name.
    Vacant,
    Adopting,
    /// The journal must have so many events first.
    Replaying(Adopted),
    /// It is lost; what others have of it is asked for.
    Lost,
}

/// What was waited for in a failover.
#[derive(Debug)]
pub(super) enum Answered {
    /// An instance has taken over, or could not.
    Adopted(Name, PeerId, Result<Adopted, CallError>),
    Copied(Copied),
}

impl Failovers {
    /// When the next one has taken too long.
    pub(super) fn due(&self) -> Option<Instant> {
        let awaited = self.of.values().filter(|failover| !matches!(failover.stage, Stage::Lost));
        awaited.map(|failover| failover.began + failover.within).min()
    }

    /// The next answer; never while nobody is asked.
    pub(super) async fn answered(&mut self) -> Answered {
        loop {
            let answered = tokio::select! {
                Some(adopted) = self.adopting.join_next() => {
                    adopted.map(|(name, peer, adopted)| Answered::Adopted(name, peer, adopted))
                }
                Some(copied) = self.copied.join_next() => copied.map(Answered::Copied),
                else => return std::future::pending().await,
            };
            match answered {
                Ok(answered) => return answered,
                Err(error) => tracing::error!(%error, "asking for what an instance left ended badly"),
            }
        }
    }

    /// It is lost; what others have of it is waited for.
    pub(super) fn is_lost(&mut self, agent: &Name, copied: impl Future<Output = Copied> + Send + 'static) {
        let failover = || Failover { began: Instant::now(), within: BACK_WITHIN, stage: Stage::Lost, journaled: 0 };
        self.of.entry(agent.clone()).or_insert_with(failover).stage = Stage::Lost;
        self.copied.spawn(copied);
    }

    /// Whether that was said already.
    pub(super) fn has_lost(&self, agent: &Name) -> bool {
        self.of.get(agent).is_some_and(|failover| matches!(failover.stage, Stage::Lost))
    }

    pub(super) fn is_of(&self, agent: &Name) -> bool {
        self.of.contains_key(agent)
    }

    /// It is of no interest any more.
    pub(super) fn forget(&mut self, agent: &Name) {
        self.of.remove(agent);
    }
}

impl Driver {
    /// The instance that held the name is gone. `at_unix_ms` is when it ended, if somebody saw that.
    pub(super) fn vacated(
        &mut self,
        agent: &Name,
        (how, at_unix_ms): (&str, Option<u64>),
        run: &mut Conducted,
    ) -> anyhow::Result<()> {
        let is_news = self.crew.vacate(agent);
        if let Some(failover) = self.failovers.of.get_mut(agent) {
            // The one that was taking over is gone, too; the next one is asked.
            if !matches!(failover.stage, Stage::Lost) {
                failover.stage = Stage::Vacant;
            }
            return self.promote(agent, run);
        }
        if !is_news {
            return Ok(());
        }
        let journaled = self.crew.origin(agent).map_or(0, |origin| self.scribe.complete_through(origin));
        let within = if self.crew.waits_for_its_zone(agent) { COUNTS_WITHIN } else { BACK_WITHIN };
        let failover = Failover { began: Instant::now(), within, stage: Stage::Vacant, journaled };
        self.failovers.of.insert(agent.clone(), failover);
        let after_ms = at_unix_ms.map(since);
        self.say(run, Happening::FailoverDetected { agent: agent.clone(), how: how.to_owned(), after_ms })?;
        run.handle(Input::AgentDown { agent: agent.clone(), how: how.to_owned() }, Instant::now());
        self.promote(agent, run)
    }

    /// The process of an instance ended: the present one's, unless another has its name by now.
    pub(super) fn agent_ended(
        &mut self,
        agent: &Name,
        (how, at): (&str, u64),
        run: &mut Conducted,
    ) -> anyhow::Result<()> {
        let ended = self.ended.entry(agent.clone()).or_default();
        *ended += 1;
        if self.crew.instances(agent) > *ended {
            return Ok(());
        }
        self.vacated(agent, (&ended_with(how), Some(at)), run)
    }

    /// An instance is linked that has not taken the name over from one that is gone, which nobody commanded then.
    pub(super) fn orphaned(&mut self, name: &Name, peer: PeerId, run: &mut Conducted) -> anyhow::Result<()> {
        let Some(number) = self.crew.hand_over(name, peer) else { return Ok(()) };
        let journaled = self.crew.origin(name).map_or(0, |origin| self.scribe.complete_through(origin));
        let (began, how) = (Instant::now(), "it was gone while nobody commanded the run".to_owned());
        let failover = Failover { began, within: BACK_WITHIN, stage: Stage::Vacant, journaled };
        self.failovers.of.insert(name.clone(), failover);
        self.say(run, Happening::FailoverDetected { agent: name.clone(), how: how.clone(), after_ms: None })?;
        run.handle(Input::AgentDown { agent: name.clone(), how }, Instant::now());
        let term = NameTerm { run: self.authority.term, number };
        let decided =
            Happening::FailoverDecided { agent: name.clone(), instance: peer, term: term.to_string(), after_ms: 0.0 };
        self.say(run, decided)?;
        self.reseat(name, peer, term);
        self.ask_to_adopt(name, peer, term);
        Ok(())
    }

    /// An instance has taken the name over, and whoever commanded then did not live to have that kept. Everything that was told under the
    /// name was handled.
    pub(super) fn found_back(
        &mut self,
        (name, peer): (&Name, PeerId),
        hands: Hands,
        run: &mut Conducted,
    ) -> anyhow::Result<()> {
        let agent = name.clone();
        if hands == Hands::Unheard {
            let how = "another instance of it took its place while the run changed hands".to_owned();
            self.say(run, Happening::FailoverDetected { agent: agent.clone(), how: how.clone(), after_ms: None })?;
            run.handle(Input::AgentDown { agent: agent.clone(), how }, Instant::now());
        }
        self.say(run, Happening::FailoverComplete { agent, replayed: 0, after_ms: 0.0 })?;
        run.back((name, peer), Instant::now());
        Ok(())
    }

    /// Another instance has joined: it gets the name, if that is its.
    pub(super) async fn joined(&mut self, peer: Identity, run: &mut Conducted) -> anyhow::Result<()> {
        let Some(holder) = self.crew.holder(&peer.name).filter(|holder| *holder != peer.peer) else { return Ok(()) };
        let is_too_late = self.failovers.has_lost(&peer.name);
        if peer.role != Role::Agent || is_too_late || self.crew.has_held(&peer.name, peer.peer) {
            return Ok(());
        }
        if self.may_stand_by(&peer.name) {
            self.stands_by(peer.name, peer.peer).await;
            return Ok(());
        }
        self.vacated(&peer.name, (ANOTHER_JOINED, None), run)?;
        self.takes_place((&peer.name, peer.peer), holder, run)
    }

    /// The instance gets the name, and is to take over what that one has left.
    pub(super) fn takes_place(
        &mut self,
        (name, peer): (&Name, PeerId),
        former: PeerId,
        run: &mut Conducted,
    ) -> anyhow::Result<()> {
        let Some(mesh) = self.mesh.clone() else { return Ok(()) };
        let Some(number) = self.crew.grant(name, peer) else { return Ok(()) };
        let term = NameTerm { run: self.authority.term, number };
        let after_ms = self.failovers.of.get(name).map_or(0.0, Failover::took_ms);
        let decided =
            Happening::FailoverDecided { agent: name.clone(), instance: peer, term: term.to_string(), after_ms };
        self.say(run, decided)?;
        // in a task of its own: the mesh may wait for us to take its events just now
        tokio::spawn(async move {
            mesh.forget(former).await;
            mesh.connect(peer).await;
        });
        self.reseat(name, peer, term);
        self.ask_to_adopt(name, peer, term);
        Ok(())
    }

    /// Whoever commanded when the name changed hands may not have lived to tell all of them.
    pub(super) fn tell_who_holds(&self, name: &Name, peer: PeerId) {
        let number = u64::try_from(self.crew.instances(name)).unwrap_or(u64::MAX);
        self.reseat(name, peer, NameTerm { run: self.authority.term, number });
    }

    /// Everybody else hears who holds the name.
    fn reseat(&self, name: &Name, peer: PeerId, term: NameTerm) {
        let order = Reseat { authority: self.authority.clone(), name: name.clone(), peer, term };
        for (other, caller) in self.crew.callers().into_iter().filter(|(other, _)| other != name) {
            let order = order.clone();
            tokio::spawn(async move {
                let told = caller.call(|client, context| {
                    let order = order.clone();
                    async move { client.reseat(context, order).await }
                });
                if let Err(error) = told.await {
                    tracing::warn!(agent = %other, %error, "an agent did not hear of another one's new instance");
                }
            });
        }
    }

    fn ask_to_adopt(&mut self, name: &Name, peer: PeerId, term: NameTerm) {
        let Some(order) = self.adoption(name, term) else { return };
        let Some(caller) = self.crew.newcomer(name).map(|caller| caller.for_instance(Some(peer))) else { return };
        let Some(failover) = self.failovers.of.get_mut(name) else { return };
        failover.stage = Stage::Adopting;
        let name = name.clone();
        self.failovers.adopting.spawn(async move {
            let adopted = adopt(&caller, &order).await;
            (name, peer, adopted)
        });
    }

    fn adoption(&self, name: &Name, term: NameTerm) -> Option<Adopt> {
        let (setting, ports) = self.settings.get(name)?.clone();
        let origin = self.crew.origin(name)?;
        Some(Adopt {
            setting: meshproof_proto::order::Initialize { roster: self.crew.roster(), ..setting },
            term,
            ports,
            processes: self.processes.get(name).cloned().unwrap_or_default(),
            origin,
            journaled: self.scribe.complete_through(origin),
            held: self.crew.mirrored_at(name),
        })
    }

    /// What was waited for is there.
    pub(super) fn answered(&mut self, answered: Answered, run: &mut Conducted) -> anyhow::Result<()> {
        match answered {
            Answered::Adopted(name, peer, adopted) => self.adopted((name, peer, adopted), run),
            Answered::Copied(copied) => self.copied(copied, run),
        }
    }

    /// An instance has taken over, or could not.
    fn adopted(
        &mut self,
        (name, peer, answer): (Name, PeerId, Result<Adopted, CallError>),
        run: &mut Conducted,
    ) -> anyhow::Result<()> {
        if self.crew.holder(&name) != Some(peer) {
            return Ok(());
        }
        let asked = |failover: &&mut Failover| matches!(failover.stage, Stage::Adopting);
        let Some(failover) = self.failovers.of.get_mut(&name).filter(asked) else { return Ok(()) };
        match answer {
            Ok(adopted) => failover.stage = Stage::Replaying(adopted),
            Err(CallError::Refused(Refusal::OtherZone(why))) => {
                tracing::warn!(agent = %name, why, "an instance that was to take over may not");
                failover.stage = Stage::Vacant;
                self.crew.vacate(&name);
                return self.promote(&name, run);
            }
            Err(CallError::Refused(Refusal::NothingLeft(_))) => {
                let why = match self.environment {
                    Some(_) => "its disk is gone with it",
                    None => "its disk is gone with it, and the instance that came after it has not had all of it",
                };
                self.lost_but_for_copies(&name, why.to_owned());
                return Ok(());
            }
            Err(error) => {
                self.lost_but_for_copies(&name, format!("its next instance could not take over: {error}"));
                return Ok(());
            }
        }
        self.replayed(&name, run)
    }

    /// More of what the instance before had seen is in the journal; perhaps all.
    pub(super) fn replayed(&mut self, name: &Name, run: &mut Conducted) -> anyhow::Result<()> {
        let through = self.crew.origin(name).map_or(0, |origin| self.scribe.complete_through(origin));
        let Some(failover) = self.failovers.of.get(name) else { return Ok(()) };
        let Stage::Replaying(Adopted { last, damage }) = &failover.stage else { return Ok(()) };
        if through < *last {
            return Ok(());
        }
        if let Some(damage) = damage {
            let why = damage.clone();
            self.lost_but_for_copies(name, why);
            return Ok(());
        }
        let (replayed, after_ms) = (last.saturating_sub(failover.journaled), failover.took_ms());
        self.failovers.forget(name);
        self.say(run, Happening::FailoverComplete { agent: name.clone(), replayed, after_ms })?;
        if let Some(instance) = self.crew.holder(name) {
            run.back((name, instance), Instant::now());
        }
        self.crew.admit(name);
        self.tell_who_stands_by(name);
        Ok(())
    }

    /// Nobody came, or not in time.
    pub(super) fn failovers_overdue(&mut self) {
        let now = Instant::now();
        let awaited = self.failovers.of.iter().filter(|(_, failover)| !matches!(failover.stage, Stage::Lost));
        let overdue = awaited.filter(|(_, failover)| failover.began + failover.within <= now);
        let overdue: Vec<_> = overdue.map(|(name, failover)| (name.clone(), failover.within)).collect();
        for (name, within) in overdue {
            self.lost_but_for_copies(&name, format!("no instance of it took over within {within:?}"));
        }
    }

    /// A link to an agent is over. When the instance itself said so, or another has its place, that is no loss yet.
    pub(super) fn link_lost(&mut self, peer: &Identity, loss: &Loss, run: &mut Conducted) -> anyhow::Result<()> {
        let Some(agent) = self.crew.name_of(&peer.peer).cloned() else {
            self.crew.steps_down(&peer.peer);
            self.tell_who_stands_by(&peer.name);
            return Ok(());
        };
        if self.failovers.is_of(&agent) {
            return Ok(());
        }
        if self.teardown.is_none()
            && let Some(epoch) = self.against(&peer.peer)
        {
            return self.vacated(&agent, (&format!("it is gone ({loss}), and {epoch}"), None), run);
        }
        let comes_back = matches!(loss, Loss::Left | Loss::Replaced) && self.has_supervisor();
        if comes_back && self.teardown.is_none() {
            return self.vacated(&agent, ("it left the mesh", None), run);
        }
        if self.teardown.is_none() && self.is_replicated(&agent) {
            return self.fence(&agent, &format!("its link is lost: {loss}"), run);
        }
        if self.teardown.is_none()
            && self.environment.is_none()
            && (self.crew.heir(&agent).is_some() || self.crew.waits_for_its_zone(&agent))
        {
            return self.vacated(&agent, (&format!("its link is lost: {loss}"), None), run);
        }
        self.lost(agent, &format!("its link is lost: {loss}"), run);
        Ok(())
    }
}

impl Driver {
    /// Whether somebody starts agents again that end: the keeper, or whoever keeps a mesh that stands.
    fn has_supervisor(&self) -> bool {
        self.environment.is_some() || self.options.mesh.is_some()
    }
}

impl Failover {
    fn took_ms(&self) -> f64 {
        self.began.elapsed().as_secs_f64() * 1e3
    }
}

async fn adopt(caller: &Caller, order: &Adopt) -> Result<Adopted, CallError> {
    let until = Instant::now() + HEARD_WITHIN;
    loop {
        let adopted = caller.call(|client, context| {
            let order = Box::new(order.clone());
            async move { client.adopt(context, order).await }
        });
        match adopted.await {
            Err(CallError::Refused(Refusal::OtherZone(_))) if Instant::now() < until => {
                tokio::time::sleep(HEARD_AGAIN).await;
            }
            answer => return answer,
        }
    }
}

pub(super) fn ended_with(how: &str) -> String {
    format!("its process ended: {how}")
}

/// Milliseconds since then, by the wall clock, which both read on this machine.
fn since(at_unix_ms: u64) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_secs_f64() * 1e3 - at_unix_ms as f64).max(0.0)
}
