//! What this agent remembers for orchestrators, and whom it obeys. See [`meshproof_proto::memory`].

use std::io;

use meshproof_proto::id::{PeerId, RunId, Term};
use meshproof_proto::memory::{Extent, Holder, Holding, Promise, Promised, Recall, Recalled, Recollection, Remember};
use meshproof_proto::rpc::Refusal;

use super::run::Run;
use super::{Session, guard};
use crate::outbox::Entry;

/// Who commands a run that an instance before this one took part in, and nobody was promised: whoever began it.
const FIRST: (Term, PeerId) = (Term(1), PeerId([0; 32]));

impl Session {
    pub(super) fn promise(&mut self, caller: PeerId, Promise { run, term }: Promise) -> Result<Promised, Refusal> {
        match self.run.as_mut().filter(|ours| ours.authority.run == run) {
            Some(ours) => ours.promise(caller, term),
            None => self.promise_for_another(caller, (&run, term)),
        }
    }

    /// An instance before this one took part in the run, and nobody has given this one the name yet.
    fn promise_for_another(&self, caller: PeerId, (run, term): (&RunId, Term)) -> Result<Promised, Refusal> {
        let left = self.outboxes.as_ref().map(|outboxes| outboxes.open(run)).transpose().map_err(unreadable)?.flatten();
        let (mut file, recovered) = left.ok_or_else(|| Refusal::NothingLeft(run.to_string()))?;
        guard::may_promise(recovered.left.promised.unwrap_or(FIRST), (term, caller))?;
        file.append(&Entry::Promised { term, to: caller })
            .map_err(|error| Refusal::Failed(format!("the outbox cannot be written: {error}")))?;
        Ok(Promised { memory: recovered.left.memory, origin: recovered.origin, holding: None })
    }

    pub(super) fn remember(&mut self, caller: PeerId, order: Remember) -> Result<u64, Refusal> {
        if self.outboxes.is_none() {
            return Err(Refusal::Failed("this agent keeps nothing on a disk".to_owned()));
        }
        self.admitted(caller, &order.authority)?.remember(order)
    }

    /// What it is asked for was written before this, so the file has it.
    pub(super) fn recall(&self, caller: PeerId, Recall { run, term, what }: Recall) -> Result<Recalled, Refusal> {
        let nothing = || Refusal::NothingLeft(run.to_string());
        let outboxes = self.outboxes.as_ref().ok_or_else(nothing)?;
        let holder = match self.run.as_ref().filter(|ours| ours.authority.run == run) {
            Some(ours) => ours.holder(),
            None => {
                let left = outboxes.open(&run).map_err(unreadable)?;
                left.ok_or_else(nothing)?.1.left.promised.unwrap_or(FIRST)
            }
        };
        if holder != (term, caller) {
            return Err(Refusal::OldTerm { offered: term.0, current: holder.0.0 });
        }
        let recalled = match what {
            // Nobody's events need to be here.
            Recollection::Copies { of, from } => {
                let copies = outboxes.of(&of).recall(&run, Recollection::Events(from)).map_err(unreadable)?;
                Some(copies.unwrap_or(Recalled { pieces: Vec::new(), events: Vec::new(), more: false }))
            }
            Recollection::Pieces(_) | Recollection::Events(_) => outboxes.recall(&run, what).map_err(unreadable)?,
        };
        recalled.ok_or_else(nothing)
    }
}

impl Run {
    /// Whom it obeys, from which term on.
    pub(super) fn holder(&self) -> (Term, PeerId) {
        let promised = self.promised.filter(|(term, _)| *term > self.authority.term);
        promised.unwrap_or((self.authority.term, self.orchestrator))
    }

    /// The same, for those who ask.
    pub(super) fn obeys(&self) -> Holder {
        let (term, peer) = self.holder();
        Holder { run: self.authority.run.clone(), term, peer }
    }

    fn promise(&mut self, caller: PeerId, term: Term) -> Result<Promised, Refusal> {
        guard::may_promise(self.holder(), (term, caller))?;
        if self.holder() != (term, caller) {
            self.outbox.note(&Entry::Promised { term, to: caller }).map_err(Refusal::Failed)?;
            self.promised = Some((term, caller));
            tracing::info!(run = %self.authority.run, term = term.0, "promised to obey another orchestrator");
        }
        let damage = self.adopted.as_ref().and_then(|(_, adopted)| adopted.damage.clone());
        let holding = Holding { plan: self.authority.plan, secrets: self.confided.clone(), damage };
        Ok(Promised { memory: self.memory, origin: self.outbox.origin(), holding: Some(holding) })
    }

    fn remember(&mut self, Remember { from, pieces, .. }: Remember) -> Result<u64, Refusal> {
        if !(1..=self.memory.pieces + 1).contains(&from) {
            let why = format!("piece {from} does not follow on the {} that are here", self.memory.pieces);
            return Err(Refusal::Failed(why));
        }
        let last = pieces.last().map(|piece| Extent { term: piece.term, pieces: from + pieces.len() as u64 - 1 });
        let pieces: Vec<Entry> = (from..).zip(pieces).map(|(number, piece)| Entry::Piece { number, piece }).collect();
        self.outbox.note_all(&pieces).map_err(Refusal::Failed)?;
        self.memory = last.unwrap_or(self.memory);
        Ok(self.memory.pieces)
    }
}

fn unreadable(error: io::Error) -> Refusal {
    Refusal::Failed(format!("the outbox cannot be read: {error}"))
}
