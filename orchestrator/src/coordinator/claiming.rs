//! Has the names of a run promise it to us, and collects what they remember.
//!
//! Agents die and paths are cut meanwhile, as at any time: who cannot be reached is asked again, and another instance is asked anew.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use meshproof_proto::id::{Name, PeerId, Term};
use meshproof_proto::memory::{Extent, Piece, Promise, Promised, Recall, Recalled, Recollection};
use meshproof_proto::rpc::Refusal;

use super::crew::{CallError, Caller};
use super::succession::{NotTakenOver, Successor, asked, status};
use crate::memory::{Asked, Candidate, Events, Next, Recollected, Votes, Wish, keepers};

/// From the last promise until one that gave it has told what it remembers; else it is lost.
const RECALLED_WITHIN: Duration = Duration::from_secs(15);

/// When one that could not tell what it remembers is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Of each name, and of which of its instances.
type Promises = BTreeMap<Name, (PeerId, Promised)>;

/// It may command the run from now on.
pub(super) struct Claimed {
    pub(super) term: Term,
    promised: Promises,
}

impl Claimed {
    /// Who has promised, and what each has said with it.
    pub(super) fn promised(self) -> BTreeMap<Name, Promised> {
        self.promised.into_iter().map(|(name, (_, promised))| (name, promised)).collect()
    }

    /// What each holds, if it takes part.
    pub(super) fn promises(&self) -> impl Iterator<Item = (&Name, &Promised)> {
        self.promised.iter().map(|(name, (_, promised))| (name, promised))
    }

    fn best(&self) -> Option<Name> {
        self.promises().max_by_key(|(_, promised)| promised.memory).map(|(name, _)| name.clone())
    }
}

impl Successor {
    /// Asks every agent for its promise. One that cannot be reached is asked again for a while: paths and processes come back.
    pub(super) async fn claim(&mut self, wish: Wish) -> Result<Claimed, NotTakenOver> {
        let all = self.votes(&self.kept.names());
        let highest = match wish {
            Wish::Insists => self.highest().await,
            Wish::Behind(before) => before,
        };
        let mut candidate = Candidate::new((self.mesh.me(), wish), all, highest, Instant::now());
        let (mut promised, mut why) = (Promises::new(), None);
        let mut next = candidate.begin();
        loop {
            next = match next {
                Next::Ask(at) => {
                    self.meanwhile(tokio::time::sleep_until(at.into())).await;
                    self.ask(&mut candidate, &mut promised, &mut why).await
                }
                Next::AskAnew => {
                    promised.clear();
                    self.ask(&mut candidate, &mut promised, &mut why).await
                }
                Next::Look(at) => {
                    self.meanwhile(tokio::time::sleep_until(at.into())).await;
                    let obeyed: Vec<_> = self.holders().await.iter().map(|holder| (holder.term, holder.peer)).collect();
                    candidate.looked(&obeyed, Instant::now())
                }
                Next::Command => {
                    self.crew.commands_anew();
                    return Ok(Claimed { term: candidate.term(), promised });
                }
                Next::Yield(term) => {
                    return Err(NotTakenOver::Promised { run: self.kept.run().clone(), term: term.0 });
                }
                Next::GiveUp => {
                    let (run, got) = (self.kept.run().clone(), self.votes(promised.keys()));
                    return Err(NotTakenOver::NoMajority { run, got, of: all, why });
                }
            }
        }
    }

    fn votes<'n>(&self, of: impl IntoIterator<Item = &'n Name>) -> Votes {
        Votes::of(of, &keepers(&self.kept.names()))
    }

    async fn ask(&mut self, candidate: &mut Candidate, promised: &mut Promises, why: &mut Option<String>) -> Next {
        let mut higher = None;
        for (name, peer, answer) in self.ask_for_promises(candidate.term(), promised).await {
            match answer {
                Ok(answer) => drop(promised.insert(name, (peer, answer))),
                Err(CallError::Refused(Refusal::OldTerm { current, .. })) => higher = higher.max(Some(Term(current))),
                Err(error) => *why = Some(format!("agent {name}: {error}")),
            }
        }
        candidate.asked(Asked { promised: self.votes(promised.keys()), higher }, Instant::now())
    }

    /// Those that are linked and have not promised yet.
    async fn ask_for_promises(
        &mut self,
        term: Term,
        promised: &Promises,
    ) -> Vec<(Name, PeerId, Result<Promised, CallError>)> {
        let order = Promise { run: self.kept.run().clone(), term };
        let present =
            self.linked().into_iter().filter_map(|(name, caller)| Some((self.crew.holder(&name)?, name, caller)));
        // Another instance is asked for its own.
        let lacking = present.filter(|(peer, name, _)| promised.get(name).is_none_or(|(asked, _)| asked != peer));
        let asked = lacking.map(|(peer, name, caller)| {
            let order = order.clone();
            async move { (name, peer, asked(promise(&caller, order)).await) }
        });
        let asked: Vec<_> = asked.collect();
        self.meanwhile(join_all(asked)).await
    }

    /// The highest term that somebody commands at.
    async fn highest(&mut self) -> Term {
        let statuses = self.linked().into_iter().map(|(_, caller)| async move { asked(status(&caller)).await.ok() });
        let statuses = join_all(statuses.collect::<Vec<_>>());
        let terms = self.meanwhile(statuses).await.into_iter().flatten().filter_map(|status| status.run);
        terms.map(|(_, term)| term).max().unwrap_or(Term(1))
    }

    /// Everything that those who promised remember and have seen. One that cannot tell it is lost, unless too few would be left.
    pub(super) async fn recall(&mut self, claimed: &mut Claimed) -> Result<Recollected, NotTakenOver> {
        let until = Instant::now() + RECALLED_WITHIN;
        let mut events = Events::new();
        // Of which instance everything is here.
        let mut told: BTreeMap<Name, PeerId> = BTreeMap::new();
        let mut pieces: Option<(Name, Vec<Piece>)> = None;
        loop {
            let asked = self.ask_for_promises(claimed.term, &claimed.promised).await;
            for (name, peer, answer) in asked {
                if let (Ok(answer), Some(promised)) = (answer, claimed.promised.get_mut(&name)) {
                    *promised = (peer, answer);
                }
            }
            let lacks = |(name, (peer, _)): &(&Name, &(PeerId, Promised))| told.get(*name) != Some(peer);
            let lacking = claimed.promised.iter().find(lacks).map(|(name, (peer, _))| (name.clone(), *peer));
            let best = claimed.best().filter(|best| pieces.as_ref().is_none_or(|(of, _)| of != best));
            let (name, result) = match (lacking, best) {
                (Some((name, peer)), _) => {
                    let seen = events.entry(name.clone()).or_default();
                    let result = self.events_of(&name, (claimed.term, seen)).await;
                    if result.is_ok() {
                        told.insert(name.clone(), peer);
                    }
                    (name, result)
                }
                (None, Some(best)) => {
                    let result = self.pieces_of(&best, claimed.term).await;
                    (best.clone(), result.map(|all| pieces = Some((best, all))))
                }
                (None, None) => break,
            };
            match result {
                Ok(()) => {}
                Err(_) if Instant::now() < until => self.meanwhile(tokio::time::sleep(AGAIN_AFTER)).await,
                Err(why) => self.give_up(&name, claimed, &why)?,
            }
        }
        let memory = |name: &Name| claimed.promised.get(name).map(|(_, promised)| promised.memory).unwrap_or_default();
        let extents: BTreeMap<Name, Extent> =
            self.kept.names().iter().map(|name| (name.clone(), memory(name))).collect();
        events.retain(|name, _| claimed.promised.contains_key(name));
        let pieces = pieces.map(|(_, pieces)| pieces).unwrap_or_default();
        Ok(Recollected { term: claimed.term, pieces, extents, events })
    }

    /// Goes on without that one, if enough others have promised.
    fn give_up(&self, name: &Name, claimed: &mut Claimed, why: &CallError) -> Result<(), NotTakenOver> {
        claimed.promised.remove(name);
        if self.votes(claimed.promised.keys()).suffice(self.votes(&self.kept.names())) {
            return Ok(());
        }
        let (run, agent) = (self.kept.run().clone(), name.clone());
        Err(NotTakenOver::NotRecalled { run, agent, why: why.to_string() })
    }

    /// What that agent has seen and is not here yet.
    async fn events_of(
        &mut self,
        name: &Name,
        (term, seen): (Term, &mut BTreeMap<u64, meshproof_proto::event::Event>),
    ) -> Result<(), CallError> {
        loop {
            let from = seen.last_key_value().map_or(1, |(last, _)| last + 1);
            let page = self.page(name, (term, Recollection::Events(from))).await?;
            seen.extend(page.events.into_iter().map(|event| (event.seq, event)));
            if !page.more {
                return Ok(());
            }
        }
    }

    async fn pieces_of(&mut self, name: &Name, term: Term) -> Result<Vec<Piece>, CallError> {
        let mut pieces = Vec::new();
        loop {
            let page = self.page(name, (term, Recollection::Pieces(pieces.len() as u64 + 1))).await?;
            pieces.extend(page.pieces);
            if !page.more {
                return Ok(pieces);
            }
        }
    }

    async fn page(&mut self, name: &Name, (term, what): (Term, Recollection)) -> Result<Recalled, CallError> {
        let order = Recall { run: self.kept.run().clone(), term, what };
        let Some(caller) = self.crew.caller(name) else { return Err(CallError::Unreachable(Duration::ZERO)) };
        self.meanwhile(Box::pin(asked(async move { recalled(&caller, order).await }))).await
    }
}

async fn promise(caller: &Caller, promise: Promise) -> Result<Promised, CallError> {
    caller
        .call(|client, context| {
            let promise = promise.clone();
            async move { client.promise(context, promise).await }
        })
        .await
}

pub(super) async fn recalled(caller: &Caller, recall: Recall) -> Result<Recalled, CallError> {
    caller
        .call(|client, context| {
            let recall = recall.clone();
            async move { client.recall(context, recall).await }
        })
        .await
}
