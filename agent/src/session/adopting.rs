//! A name changes hands: this instance takes it from one that is gone, or hears that another peer's name was taken.

use std::io;

use meshproof_proto::id::{PeerId, RunId};
use meshproof_proto::order::{Adopt, Adopted, Reseat};
use meshproof_proto::rpc::Refusal;

use super::Session;
use super::run::{Run, Stage};
use super::setup::Former;
use crate::action::started;
use crate::outbox::{Entry, OutboxFile, Recovered};

impl Session {
    /// Takes the name, and what the instance before has left: its numbering, its steps, its ports, what befell its stubs.
    pub(super) async fn adopt(&mut self, caller: PeerId, order: Adopt) -> Result<Adopted, Refusal> {
        self.counts()?;
        if let Some(run) = self.run.as_ref().filter(|run| !run.is_closed()) {
            // The answer was lost, not the order.
            return match &run.adopted {
                Some((term, adopted)) if *term == order.term => Ok(adopted.clone()),
                _ => Err(Refusal::Busy(run.authority.run.to_string())),
            };
        }
        let run = &order.setting.authority.run;
        let left = self.left(run).map_err(|error| Refusal::Failed(format!("the outbox: {error}")))?;
        let nothing = || Refusal::NothingLeft(run.to_string());
        let (mut file, recovered) = left.filter(|(_, left)| left.origin == order.origin).ok_or_else(nothing)?;
        if let Some(current) = recovered.left.term.filter(|current| *current >= order.term) {
            return Err(Refusal::OldNameTerm { offered: order.term, current });
        }
        let (term, promised) = (order.setting.authority.term, recovered.left.promised);
        if let Some((current, _)) = promised.filter(|last| last.0 > term || (last.0 == term && last.1 != caller)) {
            return Err(Refusal::OldTerm { offered: term.0, current: current.0 });
        }
        let held = Entry::Held { instance: self.mesh.me(), term: order.term };
        file.append(&held).map_err(|error| Refusal::Failed(format!("the outbox cannot be written: {error}")))?;
        let last = recovered.last();
        let mirrored = recovered.left.mirrored.is_some();
        let damage = damage(&recovered, &order);
        let adopted = Adopted { last, damage };
        let former = Former { file, recovered, ports: order.ports };
        let mut run = self.set_up(caller, order.setting, Some(former)).await?;
        run.adopted = Some((order.term, adopted.clone()));
        run.observe(order.processes)?;
        tracing::info!(term = %order.term, last, "took the name over");
        if mirrored {
            run.acts_alone();
        }
        self.run = Some(run);
        Ok(adopted)
    }

    /// What an instance before this one has left here: what this one has mirrored, or what it finds on the disk.
    fn left(&mut self, run: &RunId) -> io::Result<Option<(OutboxFile, Recovered)>> {
        let Some(outboxes) = &self.outboxes else { return Ok(None) };
        self.mirrored = None;
        // Its programs end before any is begun again.
        started::end_what_is_left()?;
        match outboxes.take_mirrored(run, self.mesh.me())? {
            Some(taken) => Ok(Some(taken)),
            None => outboxes.open(run),
        }
    }

    /// What leads to that name leads to another instance from now on. The link to the one before ends, and what went over it.
    pub(super) fn reseat(&mut self, caller: PeerId, order: Reseat) -> Result<(), Refusal> {
        let former = self.admitted(caller, &order.authority)?.reseated(&order)?;
        let Some(former) = former.filter(|former| *former != order.peer) else { return Ok(()) };
        self.links.replaced(former, order.peer);
        Ok(())
    }
}

/// What is missing of what was told, or done, under the name.
fn damage(recovered: &Recovered, order: &Adopt) -> Option<String> {
    let last = recovered.last();
    if recovered.damaged {
        return Some(format!("its outbox is damaged behind event {last}"));
    }
    if let Some(missing) = order.journaled.checked_sub(last).filter(|missing| *missing > 0) {
        return Some(format!("its outbox lacks {missing} events that were told"));
    }
    let known = recovered.left.mirrored.as_ref().map(|(term, _)| *term);
    let held = order.held.filter(|held| known.is_none_or(|known| known < *held))?;
    Some(format!("its outbox lacks what was done by the instance that had the name at term {held}"))
}

impl Run {
    /// Gives who held the name before.
    fn reseated(&mut self, order: &Reseat) -> Result<Option<PeerId>, Refusal> {
        if let Some(current) = self.terms.get(&order.name).filter(|current| **current >= order.term) {
            let is_known = self.peer(&order.name) == Some(order.peer);
            let (offered, current) = (order.term, *current);
            return if is_known { Ok(None) } else { Err(Refusal::OldNameTerm { offered, current }) };
        }
        let unknown = || Refusal::Unknown { what: "service in this run".to_owned(), name: order.name.to_string() };
        let holder = self.roster.get_mut(&order.name).ok_or_else(unknown)?;
        let former = std::mem::replace(holder, order.peer);
        self.terms.insert(order.name.clone(), order.term);
        if let Stage::Working(work) = &self.stage {
            work.tunnels.reseat(&order.name, order.peer);
        }
        Ok(Some(former))
    }
}
