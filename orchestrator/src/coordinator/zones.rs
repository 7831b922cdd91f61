//! Agents of one name in several zones, of which one zone counts: epochs say which.
//!
//! A run is done by instances of the zone that counts. When another one does, those that hold names let go of them: they are told by
//! signaling as we are, and leave. One that does not leave has a little while, in which it may have done something, and is passed over then.

use std::time::Duration;

use meshproof_mesh::{LinkUp, Mesh};
use meshproof_proto::epoch::{Epoch, Epochs};
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::labels::Labels;

use super::crew::{Caller, Duty, Presence};
use super::driver::Driver;
use super::outcome::Broken;
use super::standbys::{Answer, Found, instance};
use super::succession::about;
use crate::memory::Conducted;
use crate::record::Happening;

/// In which an agent whose zone does not count any more lets go of its name, if it can be reached at all.
const LETS_GO_WITHIN: Duration = Duration::from_secs(10);

impl Driver {
    /// In a mesh that stands, what is known of zones.
    fn epochs(&self) -> Epochs {
        let mesh = self.mesh.as_ref().filter(|_| self.environment.is_none());
        mesh.map(Mesh::epochs).unwrap_or_default()
    }

    /// Whether zones have to do with who is an agent of the run.
    pub(super) fn has_zones(&self) -> bool {
        !self.epochs().is_empty()
    }

    /// The epoch by which that instance does not count, as far as it has said where it is.
    pub(super) fn against(&self, peer: &PeerId) -> Option<Epoch> {
        self.epochs().against(self.standbys.labels.get(peer)?).cloned()
    }

    /// An instance is linked before the run begins. It gets the name if it counts and is the first; gives whether it did.
    pub(super) async fn chosen(&mut self, up: LinkUp) -> Result<bool, Broken> {
        let (name, peer) = (up.peer.name.clone(), up.peer.peer);
        let has_one = self.counts_already(&name);
        self.crew.linked(up);
        let is_seated = self.crew.holder(&name) == Some(peer);
        let caller = if is_seated { self.crew.caller(&name) } else { self.crew.standby(&name, &peer) };
        let Some(caller) = caller else { return Ok(false) };
        let labels = match about(&caller).await {
            Ok(about) => about.labels,
            Err(error) => {
                tracing::warn!(agent = %name, %error, "an instance does not say what it is");
                return Ok(false);
            }
        };
        self.standbys.labels.insert(peer, labels.clone());
        if let Some(epoch) = self.against(&peer) {
            let text = format!("an agent {name} of another zone is there and stands by: {epoch}");
            self.scribe.say_early(Happening::Noted { text })?;
            return Ok(false);
        }
        // who stands by is asked once more when the run begins
        if has_one {
            return Ok(false);
        }
        self.crew.takes_seat(&name, peer);
        self.crew.identify(&name, peer, instance(&labels));
        Ok(true)
    }

    /// Whether whoever holds the name is linked, and of a zone that counts.
    pub(super) fn counts_already(&self, name: &Name) -> bool {
        let Some(holder) = self.crew.holder(name).filter(|_| self.crew.is_linked(name)) else { return false };
        self.standbys.labels.contains_key(&holder) && self.against(&holder).is_none()
    }

    /// Why nobody under that name is of use, if that is because of where they are.
    pub(super) fn elsewhere(&self, name: &Name) -> Option<String> {
        let epoch = self.crew.all_of(name).iter().find_map(|(peer, _)| self.against(peer))?;
        Some(format!("{name} is there in zones that do not count: {epoch}"))
    }

    /// Instances say what they are, as far as that is of interest.
    pub(super) fn ask_which_ones_they_are(&mut self) {
        let has_zones = self.has_zones();
        let everybody = self.crew.everybody().into_iter();
        let of_interest: Vec<_> =
            everybody.filter(|(_, peer, _)| has_zones || self.crew.is_standing_by(peer)).collect();
        of_interest.into_iter().for_each(|instance| self.ask_which_one_it_is(instance));
    }

    fn ask_which_one_it_is(&mut self, (name, peer, caller): (Name, PeerId, Caller)) {
        self.standbys.asking.spawn(async move {
            let about = about(&caller).await;
            Answer::Found(Found { name, peer, about, gone: None })
        });
    }

    /// Another zone counts now, perhaps.
    pub(super) fn epochs_changed(&mut self, run: &mut Conducted) -> anyhow::Result<()> {
        if !self.has_zones() || self.teardown.is_some() {
            return Ok(());
        }
        for (name, peer, caller) in self.crew.everybody() {
            match self.standbys.labels.get(&peer).cloned() {
                Some(labels) => self.judged((name, peer), &labels, run)?,
                None => self.ask_which_one_it_is((name, peer, caller)),
            }
        }
        Ok(())
    }

    /// An instance counts, or it does not.
    pub(super) fn judged(
        &mut self,
        (name, peer): (Name, PeerId),
        labels: &Labels,
        run: &mut Conducted,
    ) -> anyhow::Result<()> {
        let against = self.epochs().against(labels).cloned();
        let holds = self.crew.presence(&name) == Some(Presence::There(peer));
        if let Some(epoch) = against.as_ref().filter(|_| holds) {
            return self.lets_go((name, peer), epoch, run);
        }
        self.crew.identify(&name, peer, instance(labels));
        self.crew.is_to(if against.is_none() { Duty::TakesOver } else { Duty::OnlyMirrors }, &peer);
        self.promote(&name, run)?;
        self.tell_who_stands_by(&name);
        Ok(())
    }

    fn lets_go(&mut self, (name, peer): (Name, PeerId), epoch: &Epoch, run: &mut Conducted) -> anyhow::Result<()> {
        self.note(run, format!("agent {name} is to let go of its name, for {epoch}"))?;
        self.standbys.asking.spawn(async move {
            tokio::time::sleep(LETS_GO_WITHIN).await;
            Answer::Overdue(name, peer)
        });
        Ok(())
    }

    /// It had its time.
    pub(super) fn passed_over(&mut self, (name, peer): (Name, PeerId), run: &mut Conducted) -> anyhow::Result<()> {
        let Some(epoch) = self.against(&peer) else { return Ok(()) };
        if self.teardown.is_some() || self.crew.presence(&name) != Some(Presence::There(peer)) {
            return Ok(());
        }
        let how = format!("it did not let go within {LETS_GO_WITHIN:?}, and {epoch}");
        self.vacated(&name, (&how, None), run)
    }
}
