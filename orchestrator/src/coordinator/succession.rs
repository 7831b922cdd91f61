//! Whoever would command a run that another orchestrator has begun: joins its mesh, knows its agents, and whether somebody commands them.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use meshproof_mesh::{Mesh, MeshEvent};
use meshproof_proto::id::{Name, PeerId, RunId, Term};
use meshproof_proto::identity::{Identity, Role};
use meshproof_proto::memory::Holder;
use meshproof_proto::rpc::{About, Status};
use meshproof_proto::verdict::Exit;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::crew::{CallError, Caller, Crew};
use super::standbys::is_there;
use super::{ready, superseded};
use crate::local::{KeptMesh, LocalError};
use crate::memory::{NotRebuilt, Votes, is_nobodys};

/// From joining the mesh until the agents are linked. They live; one that does not is started again within a second.
const LINKED_WITHIN: Duration = Duration::from_secs(10);

/// Until an agent that is linked has answered.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// How long the orchestrator's links are broken at most agents before somebody takes its place. What is slow is not gone.
const GONE_FOR: Duration = Duration::from_secs(4);

/// Why nobody took the run over.
#[derive(Debug, Error)]
pub enum NotTakenOver {
    #[error("{0:#}")]
    Address(anyhow::Error),
    #[error("{0}")]
    Mesh(String),
    #[error("{run} cannot be taken over: {}{}", short(*.got, *.of), .why.as_ref().map(|why| format!("; {why}")).unwrap_or_default())]
    NoMajority { run: RunId, got: Votes, of: Votes, why: Option<String> },
    /// Others have promised somebody else meanwhile.
    #[error("{run} was promised to another orchestrator at term {term}")]
    Promised { run: RunId, term: u64 },
    #[error("{run} cannot be taken over: agent {agent} does not give back what it remembers: {why}")]
    NotRecalled { run: RunId, agent: Name, why: String },
    #[error("{run} cannot be taken over: {why}")]
    NotRebuilt { run: RunId, why: NotRebuilt },
    #[error("{run} cannot be taken over: {why}")]
    Plan { run: RunId, why: String },
    #[error(transparent)]
    Local(#[from] LocalError),
    #[error("{0:#}")]
    Journal(anyhow::Error),
}

/// What is lacking: names, or those among them that keep what is remembered.
fn short(got: Votes, of: Votes) -> String {
    let needed = of.needed();
    if got.names < needed.names {
        return format!("{} of its {} names have promised it, and {} are needed", got.names, of.names, needed.names);
    }
    let (kept, all, needed) = (got.keepers, of.keepers, needed.keepers);
    format!("{kept} of the {all} names that keep what it remembers have promised it, and {needed} are needed")
}

impl NotTakenOver {
    /// What the process exits with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Address(_) => Exit::Usage,
            _ => Exit::MeshFailed,
        }
    }
}

/// A peer in the mesh of a run that commands nothing yet.
pub(super) struct Successor {
    pub(super) kept: KeptMesh,
    pub(super) mesh: Mesh,
    pub(super) events: mpsc::Receiver<MeshEvent>,
    pub(super) crew: Crew,
    /// Those that join now come after those that are there.
    pub(super) is_gathered: bool,
}

impl Successor {
    /// Joins the mesh.
    pub(super) fn join(kept: KeptMesh) -> Result<Self, NotTakenOver> {
        let config = ready::own_mesh(kept.mesh().clone(), kept.token().clone(), kept.signaling().to_vec());
        let joined = config.and_then(ready::join);
        let (mesh, events) = joined.map_err(|broken| NotTakenOver::Mesh(broken.what))?;
        Ok(Self { kept, mesh, events, crew: Crew::default(), is_gathered: false })
    }

    /// Waits until every agent is linked, or for so long.
    pub(super) async fn gather(&mut self) {
        let until = tokio::time::sleep(LINKED_WITHIN);
        tokio::pin!(until);
        while !self.kept.names().iter().all(|name| self.crew.is_linked(name)) {
            tokio::select! {
                Some(event) = self.events.recv() => self.event(event).await,
                () = &mut until => break,
            }
        }
        self.seat_those_in_the_run().await;
        self.is_gathered = true;
    }

    /// Of several instances of a name, the one that takes part in the run holds it; which joined last says nothing of that.
    async fn seat_those_in_the_run(&mut self) {
        for name in self.kept.names().to_vec() {
            let all = self.crew.all_of(&name);
            if all.len() < 2 {
                continue;
            }
            let run = self.kept.run().clone();
            let asked =
                join_all(all.into_iter().map(|(peer, caller)| async move { (peer, asked(about(&caller)).await) }));
            let asked = self.meanwhile(asked).await;
            let takes_part = |(_, about): &&(PeerId, Result<About, CallError>)| {
                about.as_ref().is_ok_and(|about| about.run.as_ref() == Some(&run))
            };
            if let Some((peer, _)) = asked.iter().find(takes_part) {
                self.crew.takes_seat(&name, *peer);
            }
        }
    }

    /// Takes note of who is there.
    async fn event(&mut self, event: MeshEvent) {
        match event {
            MeshEvent::PeerJoined(peer) if self.is_news(&peer) => {
                let holder =
                    self.crew.caller(&peer.name).filter(|_| self.is_gathered && self.crew.is_linked(&peer.name));
                match holder {
                    Some(holder) if is_there(holder.clone()).await => self.crew.stand_by(&peer.name, peer.peer),
                    _ => self.crew.seat_beside(&peer.name, peer.peer),
                }
                self.mesh.connect(peer.peer).await;
            }
            MeshEvent::LinkUp(up) => drop(self.crew.linked(up)),
            _ => {}
        }
    }

    /// Whether it is an instance of one of the run's agents that holds the name from now on.
    fn is_news(&self, peer: &Identity) -> bool {
        let is_ours = peer.role == Role::Agent && self.kept.names().contains(&peer.name);
        is_ours && self.crew.holder(&peer.name) != Some(peer.peer) && !self.crew.is_standing_by(&peer.peer)
    }

    /// The agents that are linked.
    pub(super) fn linked(&self) -> Vec<(Name, Caller)> {
        self.crew.callers().into_iter().filter(|(name, _)| self.crew.is_linked(name)).collect()
    }

    /// Takes note of who is there while something else goes on: a call waits for the link that comes in the place of one that broke.
    pub(super) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(event) = self.events.recv() => self.event(event).await,
            }
        }
    }

    /// Waits until the run's orchestrator cannot be reached by most agents, for a while.
    pub(super) async fn until_orphaned(&mut self) {
        let mut since = None;
        let mut look = tokio::time::interval(Duration::from_secs(1));
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(event) = self.events.recv() => self.event(event).await,
                _ = look.tick() => {
                    if !self.is_orphaned().await {
                        since = None;
                    } else if since.get_or_insert_with(Instant::now).elapsed() >= GONE_FOR {
                        return;
                    }
                }
            }
        }
    }

    /// Whom each name obeys.
    pub(super) async fn holders(&mut self) -> Vec<Holder> {
        let holders = self.linked().into_iter().map(|(_, caller)| async move { asked(holder(&caller)).await.ok()? });
        let holders = join_all(holders.collect::<Vec<_>>());
        self.meanwhile(holders).await.into_iter().flatten().collect()
    }

    /// The highest term at which somebody was promised the run.
    pub(super) async fn promised_at(&mut self) -> Term {
        self.holders().await.into_iter().map(|holder| holder.term).max().unwrap_or(Term(1))
    }

    /// Waits until another one that was promised the run writes its journal, or is gone, too.
    pub(super) async fn until_written(&mut self, before: Option<u64>) {
        let Some(reports) = self.kept.reports().map(Path::to_owned) else { return };
        tokio::select! {
            () = superseded::written(&reports, before) => {}
            () = self.until_orphaned() => {}
        }
    }

    /// Whether most names say that no link works to whom they obey; or they obey several, and nobody is obeyed by most.
    async fn is_orphaned(&mut self) -> bool {
        let obeyed = self.linked().into_iter().map(|(_, caller)| async move {
            // One that takes part in no run yet has nobody to miss.
            let holder = asked(holder(&caller)).await.ok()??.peer;
            let links = asked(links(&caller)).await.ok()?;
            Some((holder, links.into_iter().any(|(peer, is_up)| peer == holder && is_up)))
        });
        let obeyed = join_all(obeyed.collect::<Vec<_>>());
        let obeyed: Vec<_> = self.meanwhile(obeyed).await.into_iter().flatten().collect();
        is_nobodys(&obeyed, (self.mesh.me(), self.kept.names().len()))
    }
}

pub(super) async fn asked<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    timeout(ANSWERED_WITHIN, call).await.unwrap_or(Err(CallError::Unreachable(ANSWERED_WITHIN)))
}

pub(super) async fn status(caller: &Caller) -> Result<Status, CallError> {
    caller.call(|client, context| async move { client.status(context).await }).await
}

pub(super) async fn about(caller: &Caller) -> Result<About, CallError> {
    caller.call(|client, context| async move { client.about(context).await }).await
}

/// Whom it obeys.
async fn holder(caller: &Caller) -> Result<Option<Holder>, CallError> {
    caller.call(|client, context| async move { client.holder(context).await }).await
}

/// Of each link: who, and whether it works.
async fn links(caller: &Caller) -> Result<Vec<(PeerId, bool)>, CallError> {
    let links = caller.call(|client, context| async move { client.links(context).await }).await?;
    Ok(links.into_iter().map(|link| (link.peer, link.state == "up")).collect())
}
