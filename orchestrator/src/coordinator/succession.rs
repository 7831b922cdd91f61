//! Whoever would command a run that another orchestrator has begun: joins its mesh, is promised it by its names, and collects what
//! they remember.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use meshproof_mesh::{Mesh, MeshEvent};
use meshproof_proto::id::{Name, PeerId, RunId, Term};
use meshproof_proto::identity::{Identity, Role};
use meshproof_proto::memory::{Extent, Promise, Promised, Recall, Recalled, Recollection};
use meshproof_proto::rpc::{Refusal, Status};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::crew::{CallError, Caller, Crew};
use super::ready;
use crate::local::{KeptMesh, LocalError};
use crate::memory::{Events, NotRebuilt, Recollected, majority};

/// From joining the mesh until the agents are linked. They live; one that does not is started again within a second.
const LINKED_WITHIN: Duration = Duration::from_secs(10);

/// Until an agent that is linked has answered.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// Others may want to command it too: terms that are tried.
const CLAIMS: usize = 5;

/// How long the orchestrator's links are broken at most agents before somebody takes its place. What is slow is not gone.
const GONE_FOR: Duration = Duration::from_secs(4);

/// Why nobody took the run over.
#[derive(Debug, Error)]
pub enum NotTakenOver {
    #[error("{0}")]
    Mesh(String),
    #[error("{run} cannot be taken over: {got} of its {of} names have promised it, and {needed} are needed{}", .why.as_ref().map(|why| format!("; {why}")).unwrap_or_default())]
    NoMajority { run: RunId, got: usize, of: usize, needed: usize, why: Option<String> },
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

/// A peer in the mesh of a run that commands nothing yet.
pub(super) struct Successor {
    pub(super) kept: KeptMesh,
    pub(super) mesh: Mesh,
    pub(super) events: mpsc::Receiver<MeshEvent>,
    pub(super) crew: Crew,
}

/// It may command the run from now on.
pub(super) struct Claimed {
    pub(super) term: Term,
    pub(super) promised: BTreeMap<Name, Promised>,
}

impl Successor {
    /// Joins the mesh.
    pub(super) fn join(kept: KeptMesh) -> Result<Self, NotTakenOver> {
        let config = ready::own_mesh(kept.mesh().clone(), kept.token().clone(), kept.signaling().to_vec());
        let joined = config.and_then(ready::join);
        let (mesh, events) = joined.map_err(|broken| NotTakenOver::Mesh(broken.what))?;
        Ok(Self { kept, mesh, events, crew: Crew::default() })
    }

    /// Waits until every agent is linked, or for so long.
    pub(super) async fn gather(&mut self) {
        let until = tokio::time::sleep(LINKED_WITHIN);
        tokio::pin!(until);
        while !self.kept.names().iter().all(|name| self.crew.is_linked(name)) {
            tokio::select! {
                Some(event) = self.events.recv() => self.event(event).await,
                () = &mut until => return,
            }
        }
    }

    /// Takes note of who is there.
    async fn event(&mut self, event: MeshEvent) {
        match event {
            MeshEvent::PeerJoined(peer) if self.is_news(&peer) => {
                self.crew.seat(peer.name, peer.peer);
                self.mesh.connect(peer.peer).await;
            }
            MeshEvent::LinkUp(up) => drop(self.crew.linked(up)),
            _ => {}
        }
    }

    /// Whether it is an instance of one of the run's agents that holds the name from now on.
    fn is_news(&self, peer: &Identity) -> bool {
        let is_ours = peer.role == Role::Agent && self.kept.names().contains(&peer.name);
        is_ours && self.crew.holder(&peer.name) != Some(peer.peer)
    }

    /// The agents that are linked.
    fn linked(&self) -> Vec<(Name, Caller)> {
        self.crew.callers().into_iter().filter(|(name, _)| self.crew.is_linked(name)).collect()
    }

    /// Asks every agent for its promise, at a term above all that they know.
    pub(super) async fn claim(&mut self) -> Result<Claimed, NotTakenOver> {
        let (of, needed) = (self.kept.names().len(), majority(self.kept.names().len()));
        let mut term = self.highest().await.0 + 1;
        let (mut got, mut why) = (0, None);
        for _ in 0..CLAIMS {
            let promise = Promise { run: self.kept.run().clone(), term: Term(term) };
            let asked = self.linked().into_iter().map(|(name, caller)| {
                let promise = promise.clone();
                async move { (name, asked(promised(&caller, promise)).await) }
            });
            let mut promised = BTreeMap::new();
            let mut higher = None;
            for (name, answer) in join_all(asked).await {
                match answer {
                    Ok(answer) => drop(promised.insert(name, answer)),
                    Err(CallError::Refused(Refusal::OldTerm { current, .. })) => higher = higher.max(Some(current)),
                    Err(error) => why = Some(format!("agent {name}: {error}")),
                }
            }
            got = promised.len();
            if got >= needed {
                self.crew.commands_anew();
                return Ok(Claimed { term: Term(term), promised });
            }
            let Some(higher) = higher else { break };
            term = higher + 1;
        }
        let run = self.kept.run().clone();
        Err(NotTakenOver::NoMajority { run, got, of, needed, why })
    }

    /// The highest term that somebody commands at.
    async fn highest(&self) -> Term {
        let statuses = self.linked().into_iter().map(|(_, caller)| async move { asked(status(&caller)).await.ok() });
        let terms = join_all(statuses).await.into_iter().flatten().filter_map(|status| status.run);
        terms.map(|(_, term)| term).max().unwrap_or(Term(1))
    }

    /// Everything that those who promised remember and have seen.
    pub(super) async fn recall(&self, claimed: &Claimed) -> Result<Recollected, NotTakenOver> {
        let run = self.kept.run();
        let extents: BTreeMap<Name, Extent> = self
            .kept
            .names()
            .iter()
            .map(|name| {
                let memory = claimed.promised.get(name).map(|promised| promised.memory);
                (name.clone(), memory.unwrap_or_default())
            })
            .collect();
        let best = claimed.promised.iter().max_by_key(|(_, promised)| promised.memory).map(|(name, _)| name.clone());
        let mut pieces = Vec::new();
        let mut events = Events::new();
        for name in claimed.promised.keys() {
            let not = |why: CallError| NotTakenOver::NotRecalled {
                run: run.clone(),
                agent: name.clone(),
                why: why.to_string(),
            };
            let Some(caller) = self.crew.caller(name) else { continue };
            let ask = |what| Recall { run: run.clone(), term: claimed.term, what };
            let seen = events.entry(name.clone()).or_default();
            loop {
                let from = seen.last_key_value().map_or(1, |(last, _)| last + 1);
                let page = recalled(&caller, ask(Recollection::Events(from))).await.map_err(not)?;
                seen.extend(page.events.into_iter().map(|event| (event.seq, event)));
                if !page.more {
                    break;
                }
            }
            while best.as_ref() == Some(name) {
                let from = pieces.len() as u64 + 1;
                let page = recalled(&caller, ask(Recollection::Pieces(from))).await.map_err(not)?;
                pieces.extend(page.pieces);
                if !page.more {
                    break;
                }
            }
        }
        Ok(Recollected { term: claimed.term, pieces, extents, events })
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

    /// Whether most names say that no link to an orchestrator besides us works.
    async fn is_orphaned(&self) -> bool {
        let me = self.mesh.me();
        let links = self.linked().into_iter().map(|(_, caller)| async move {
            // One that takes part in no run yet has no orchestrator to miss.
            asked(status(&caller)).await.ok()?.run?;
            asked(links(&caller)).await.ok()
        });
        let without = join_all(links).await.into_iter().flatten().filter(|links| {
            !links.iter().any(|(peer, role, is_up)| *peer != me && *role == Role::Orchestrator && *is_up)
        });
        without.count() >= majority(self.kept.names().len())
    }
}

async fn asked<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    timeout(ANSWERED_WITHIN, call).await.unwrap_or(Err(CallError::Unreachable(ANSWERED_WITHIN)))
}

async fn promised(caller: &Caller, promise: Promise) -> Result<Promised, CallError> {
    caller
        .call(|client, context| {
            let promise = promise.clone();
            async move { client.promise(context, promise).await }
        })
        .await
}

async fn recalled(caller: &Caller, recall: Recall) -> Result<Recalled, CallError> {
    caller
        .call(|client, context| {
            let recall = recall.clone();
            async move { client.recall(context, recall).await }
        })
        .await
}

async fn status(caller: &Caller) -> Result<Status, CallError> {
    caller.call(|client, context| async move { client.status(context).await }).await
}

/// Of each link: who, in which role, and whether it works.
async fn links(caller: &Caller) -> Result<Vec<(PeerId, Role, bool)>, CallError> {
    let links = caller.call(|client, context| async move { client.links(context).await }).await?;
    Ok(links.into_iter().map(|link| (link.peer, link.role, link.state == "up")).collect())
}
