//! An agent is lost, perhaps with its disk: what another agent has copied of its events is used, and what is missing is named.

use std::time::{Duration, Instant};

use futures::future::join_all;
use meshproof_proto::event::Event;
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::memory::{Recall, Recollection};
use tokio::time::timeout;

use super::claiming::recalled;
use super::crew::Caller;
use super::driver::Driver;
use super::scribe::Seen;
use crate::memory::Conducted;
use crate::record::Entry;

/// Until everybody has said what they have of an agent that is lost; copies are on a disk, and read in milliseconds.
const COPIES_WITHIN: Duration = Duration::from_secs(3);

/// What there is of one that is lost.
#[derive(Debug)]
pub(super) struct Copied {
    name: Name,
    origin: PeerId,
    why: String,
    /// Who has most that the journal lacks.
    at: Option<(Name, Vec<Event>)>,
}

impl Driver {
    /// Nobody goes on under that name, and what was seen there is not all known: others are asked for their copies of it.
    pub(super) fn lost_but_for_copies(&mut self, name: &Name, why: String) {
        if self.teardown.is_some() {
            return self.failovers.forget(name);
        }
        let Some(origin) = self.crew.origin(name).filter(|_| !self.failovers.has_lost(name)) else { return };
        // Until that is known, whoever calls it waits.
        self.crew.vacate(name);
        let from = self.scribe.complete_through(origin) + 1;
        let what = Recollection::Copies { of: name.clone(), from };
        let recall = Recall { run: self.authority.run.clone(), term: self.authority.term, what };
        let asked: Vec<_> = self.crew.callers().into_iter().map(|other| copies_at(other, recall.clone())).collect();
        let lost = name.clone();
        self.failovers.is_lost(name, async move {
            let all = join_all(asked).await;
            let at = all.into_iter().filter(|(_, events)| !events.is_empty()).max_by_key(|(_, events)| events.len());
            Copied { name: lost, origin, why, at }
        });
    }

    /// What others have of it is here.
    pub(super) fn copied(
        &mut self,
        Copied { name, origin, why, at }: Copied,
        run: &mut Conducted,
    ) -> anyhow::Result<()> {
        let before = self.scribe.complete_through(origin);
        let (at, events) = at.unzip();
        for event in events.into_iter().flatten() {
            let (seq, fact) = (event.seq, event.fact.clone());
            if self.scribe.write(Entry::event(&name, origin, event))? == Seen::New {
                run.hear((&name, seq), fact, Instant::now());
            }
        }
        let through = self.scribe.complete_through(origin);
        let known = at.filter(|_| through > before);
        let known =
            known.map(|at| format!("events {} to {through} are known from the copy at agent {at}; ", before + 1));
        let known = known.unwrap_or_default();
        self.lost(name, &format!("{why}; {known}what it saw after event {through} is missing"), run);
        Ok(())
    }
}

/// What that agent has of it, as far as it says so in time.
async fn copies_at((name, caller): (Name, Caller), recall: Recall) -> (Name, Vec<Event>) {
    let mut events = Vec::new();
    let _ = timeout(COPIES_WITHIN, pages(&caller, recall, &mut events)).await;
    (name, events)
}

async fn pages(caller: &Caller, recall: Recall, events: &mut Vec<Event>) -> Option<()> {
    let Recollection::Copies { of, from } = recall.what.clone() else { return None };
    loop {
        let what = Recollection::Copies { of: of.clone(), from: from + events.len() as u64 };
        let page = recalled(caller, Recall { what, ..recall.clone() }).await.ok()?;
        events.extend(page.events);
        if !page.more {
            return Some(());
        }
    }
}
