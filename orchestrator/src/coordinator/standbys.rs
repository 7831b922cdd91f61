//! Names with several instances: one holds the name, the others stand by, and one of them takes over when it is gone.
//!
//! Where a keeper starts agents, it says which instance ended, and an instance that is started again stands by. In a mesh that stands,
//! nobody says that an agent is gone. When another instance of it joins, or signaling misses it, the one that holds the name is asked whether it
//! is still there; and one whose link is lost is followed by an instance that has what it wrote. There each instance has a disk of its own,
//! and whoever acts is told who stands by, so that these have on theirs what anything followed from.

use std::collections::BTreeMap;
use std::time::Duration;

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::Identity;
use meshproof_proto::labels::{Labels, REPLICA, ZONE};
use meshproof_proto::memory::Standbys as StandbysOrder;
use meshproof_proto::order::StepKey;
use meshproof_proto::rpc::About;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::crew::{CallError, Caller, Instance, Presence};
use super::driver::Driver;
use super::failover::{ANOTHER_JOINED, ended_with};
use super::succession::about;
use crate::local::LocalEnvironment;
use crate::memory::Conducted;
use crate::run::Input;

/// Until who holds a name has shown that it is there; a round trip takes milliseconds, and it may be busy.
const THERE_WITHIN: Duration = Duration::from_secs(2);

/// What is known of instances beside who holds which name.
#[derive(Debug, Default)]
pub(super) struct Standbys {
    pub(super) asking: JoinSet<Answer>,
    /// What instances are labelled with, of those that have said it.
    pub(super) labels: BTreeMap<PeerId, Labels>,
    /// Of each name and number, how many of its processes joined, and how many ended.
    lives: BTreeMap<(Name, u32), Lives>,
    /// Orders that said who stands by.
    told: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lives {
    joined: u64,
    ended: u64,
}

/// What was waited for.
#[derive(Debug)]
pub(super) enum Answer {
    Found(Found),
    /// An instance that was to let go of its name had time to.
    Overdue(Name, PeerId),
}

/// What an instance has said of itself.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: Name,
    pub(super) peer: PeerId,
    pub(super) about: Result<About, CallError>,
    /// The one that held the name then, if it was asked and has not answered.
    pub(super) gone: Option<PeerId>,
}

/// Which instance it is, by its labels.
pub(super) fn instance(labels: &Labels) -> Instance {
    let number = labels.get(REPLICA).and_then(|number| number.parse().ok()).unwrap_or(1);
    Instance { number, zone: labels.get(ZONE).map(str::to_owned) }
}

impl Standbys {
    /// The next answer; never while nobody is asked.
    pub(super) async fn answer(&mut self) -> Answer {
        loop {
            match self.asking.join_next().await {
                Some(Ok(answer)) => return answer,
                Some(Err(error)) => tracing::error!(%error, "asking an instance what it is ended badly"),
                None => std::future::pending().await,
            }
        }
    }
}

impl Driver {
    /// Whether the plan has more than one instance of it.
    pub(super) fn is_replicated(&self, name: &Name) -> bool {
        self.environment.is_some()
            && self.plan.services.iter().any(|known| known.name == *name && known.instances.len() > 1)
    }

    /// Whether an instance that joins need not have the place of the one that is there.
    pub(super) fn may_stand_by(&self, name: &Name) -> bool {
        self.environment.is_none() || self.is_replicated(name)
    }

    /// An instance joined. It takes over, or stands by, once it is known which one it is.
    pub(super) async fn stands_by(&mut self, name: Name, peer: PeerId) {
        if self.crew.is_standing_by(&peer) {
            return;
        }
        self.crew.stand_by(&name, peer);
        if let Some(mesh) = self.mesh.clone() {
            mesh.connect(peer).await;
        }
        let Some(caller) = self.crew.standby(&name, &peer) else { return };
        let holder = self.holder(&name);
        self.standbys.asking.spawn(async move {
            let (about, gone) = tokio::join!(about(&caller), gone(holder));
            Answer::Found(Found { name, peer, about, gone })
        });
    }

    /// The first instances are those that the keeper started first; the others may come.
    pub(super) async fn first_instances(&mut self) -> Result<(), String> {
        let replicated = self.plan.services.iter().filter(|service| service.instances.len() > 1);
        let first = replicated.map(|service| (service.name.clone(), service.instances[0].clone())).collect::<Vec<_>>();
        for (name, zone) in &first {
            let Some(holder) = self.crew.holder(name) else { continue };
            self.identify((name, holder), Instance { number: 1, zone: zone.clone() });
        }
        let processes = self.environment.as_ref().filter(|_| !first.is_empty()).map(LocalEnvironment::processes);
        match processes {
            Some(processes) => processes.stand_by().await.map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    fn identify(&mut self, (name, peer): (&Name, PeerId), instance: Instance) -> Vec<PeerId> {
        self.standbys.lives.entry((name.clone(), instance.number)).or_default().joined += 1;
        self.crew.identify(name, peer, instance)
    }

    /// What was waited for is there.
    pub(super) fn stood_by(&mut self, answer: Answer, run: &mut Conducted) -> anyhow::Result<()> {
        match answer {
            Answer::Found(found) => self.found(found, run),
            Answer::Overdue(name, peer) => self.passed_over((name, peer), run),
        }
    }

    /// An instance has said what it is.
    fn found(&mut self, found: Found, run: &mut Conducted) -> anyhow::Result<()> {
        let Found { name, peer, about, gone } = found;
        if !self.crew.is_standing_by(&peer) && self.crew.holder(&name) != Some(peer) {
            return Ok(());
        }
        let about = match about {
            Ok(about) => about,
            Err(error) => {
                tracing::warn!(agent = %name, %error, "an instance does not say what it is");
                self.crew.steps_down(&peer);
                return Ok(());
            }
        };
        self.standbys.labels.insert(peer, about.labels.clone());
        if self.environment.is_none() {
            // In a mesh that stands numbers say nothing of processes.
            // Another one may have taken its place meanwhile; and one that may not take it is no reason to give it up.
            if gone.is_some() && self.crew.holder(&name) == gone && self.against(&peer).is_none() {
                self.vacated(&name, (ANOTHER_JOINED, None), run)?;
            }
            return self.judged((name, peer), &about.labels, run);
        }
        let Instance { number, zone } = instance(&about.labels);
        for gone in self.identify((&name, peer), Instance { number, zone: zone.clone() }) {
            if self.crew.is_standing_by(&gone) {
                self.crew.steps_down(&gone);
            } else {
                self.vacated(&name, (ANOTHER_JOINED, None), run)?;
            }
        }
        self.promote(&name, run)?;
        let Some(place) = self.crew.is_standing_by(&peer).then(|| in_zone(zone.as_deref())) else { return Ok(()) };
        self.note(run, format!("instance {number} of {name} stands by{place}"))
    }

    /// Whoever has the name hears who stands by for it; the others of an environment of this machine share its disk.
    pub(super) fn tell_who_stands_by(&mut self, name: &Name) {
        let Some(Presence::There(holder)) = self.crew.presence(name).filter(|_| self.environment.is_none()) else {
            return;
        };
        let (peers, authority) = (self.crew.ready(name), self.authority.clone());
        let Some(caller) = self.crew.caller(name).map(|caller| caller.for_instance(Some(holder))) else { return };
        if self.teardown.is_some() || (peers.is_empty() && self.standbys.told == 0) {
            return;
        }
        self.standbys.told += 1;
        let (order, name) = (StandbysOrder { authority, number: self.standbys.told, peers }, name.clone());
        tokio::spawn(async move {
            let told = caller.call(|client, context| {
                let order = order.clone();
                async move { client.stand_by(context, order).await }
            });
            if let Err(error) = told.await {
                tracing::debug!(agent = %name, %error, "an agent did not hear who stands by for it");
            }
        });
    }

    /// Whoever has the name in a mesh that stands, and how to ask whether it is there; nobody while one is taking over.
    fn holder(&self, name: &Name) -> Option<(PeerId, Caller)> {
        let Some(Presence::There(peer)) = self.crew.presence(name).filter(|_| self.environment.is_none()) else {
            return None;
        };
        Some((peer, self.crew.caller(name)?.for_instance(Some(peer))))
    }

    /// Signaling does not see an agent any more: where another one has what is on its disk, it is asked whether it is there.
    pub(super) fn missed(&mut self, peer: &Identity) {
        let holds = self.environment.is_none() && self.crew.holder(&peer.name) == Some(peer.peer);
        if !holds || self.teardown.is_some() || self.failovers.is_of(&peer.name) {
            return;
        }
        let Some(standby) = self.crew.heir(&peer.name) else { return };
        let Some(caller) = self.crew.standby(&peer.name, &standby) else { return };
        let (name, holder) = (peer.name.clone(), self.holder(&peer.name));
        self.standbys.asking.spawn(async move {
            let (about, gone) = tokio::join!(about(&caller), gone(holder));
            Answer::Found(Found { name, peer: standby, about, gone })
        });
    }

    /// If nobody has the name, one that stands by gets it.
    pub(super) fn promote(&mut self, name: &Name, run: &mut Conducted) -> anyhow::Result<()> {
        if self.teardown.is_some() || self.failovers.has_lost(name) {
            return Ok(());
        }
        let (Some(peer), Some(former)) = (self.crew.next_in_line(name), self.crew.holder(name)) else { return Ok(()) };
        self.takes_place((name, peer), former, run)
    }

    /// The process of an instance ended.
    pub(super) fn instance_ended(
        &mut self,
        (name, number): (&Name, u32),
        (how, at): (&str, u64),
        run: &mut Conducted,
    ) -> anyhow::Result<()> {
        if !self.is_replicated(name) {
            return self.agent_ended(name, (how, at), run);
        }
        let lives = self.standbys.lives.entry((name.clone(), number)).or_default();
        lives.ended += 1;
        // another process has come after it already
        if lives.joined > lives.ended {
            return Ok(());
        }
        self.crew.standbys_of(name, number).iter().for_each(|gone| self.crew.steps_down(gone));
        if self.crew.instance(name).is_none_or(|holder| holder.number == number) {
            self.vacated(name, (&ended_with(how), Some(at)), run)?;
        }
        Ok(())
    }

    /// Nobody hears of it any more, and it may live: it is killed before another one gets its place.
    pub(super) fn fence(&mut self, name: &Name, why: &str, run: &mut Conducted) -> anyhow::Result<()> {
        let number = self.number_of(name);
        if let Some(processes) = self.environment.as_ref().map(LocalEnvironment::processes) {
            let name = name.clone();
            tokio::spawn(async move {
                if let Err(error) = processes.kill_agent((name, number)).await {
                    tracing::debug!(%error, "an agent out of reach was not killed");
                }
            });
        }
        self.note(run, format!("agent {name} is killed, as {why}"))
    }

    /// Which of its instances has the name.
    pub(super) fn number_of(&self, name: &Name) -> u32 {
        self.crew.instance(name).map_or(1, |instance| instance.number)
    }

    /// Kills everything in a zone.
    pub(super) fn kill_zone(&mut self, key: StepKey, zone: String) {
        let acting = self.crew.acting_in(&zone).into_iter();
        let services: Vec<Name> = acting.filter(|name| self.processes.contains_key(name)).collect();
        let processes = self.environment.as_ref().map(LocalEnvironment::processes);
        let inbox = self.inbox_in.clone();
        tokio::spawn(async move {
            let result = match processes {
                Some(processes) => {
                    processes.kill_zone(zone.clone(), services.clone()).await.map_err(|error| error.to_string())
                }
                None => Err("the run has not started what is in this zone".to_owned()),
            };
            let _ = inbox.send(Input::ZoneKilled { key, zone, services, result }).await;
        });
    }

    /// Whoever held a name there is gone, also if that was not told yet.
    pub(super) fn zone_is_gone(&mut self, zone: &str, run: &mut Conducted) -> anyhow::Result<()> {
        for name in self.crew.acting_in(zone) {
            self.vacated(&name, (&format!("its zone {zone} was killed"), None), run)?;
        }
        Ok(())
    }

    /// Another orchestrator knew which instances there are.
    pub(super) fn instances_anew(&mut self) {
        let replicated = self.plan.services.iter().filter(|service| service.instances.len() > 1);
        for name in replicated.map(|service| service.name.clone()).collect::<Vec<_>>() {
            for (peer, caller) in self.crew.all_of(&name) {
                let name = name.clone();
                self.standbys.asking.spawn(async move {
                    let about = about(&caller).await;
                    Answer::Found(Found { name, peer, about, gone: None })
                });
            }
        }
        if let Some(processes) = self.environment.as_ref().map(LocalEnvironment::processes) {
            tokio::spawn(async move {
                if let Err(error) = processes.stand_by().await {
                    tracing::warn!(%error, "what stands by was not started");
                }
            });
        }
    }
}

fn in_zone(zone: Option<&str>) -> String {
    zone.map(|zone| format!(" in zone {zone}")).unwrap_or_default()
}

/// The holder, if it does not answer.
async fn gone(holder: Option<(PeerId, Caller)>) -> Option<PeerId> {
    let (peer, caller) = holder?;
    (!is_there(caller).await).then_some(peer)
}

pub(super) async fn is_there(holder: Caller) -> bool {
    let answer = holder.call(|client, context| async move { Ok(Ok(client.ping(context, 0).await?)) });
    matches!(timeout(THERE_WITHIN, answer).await, Ok(Ok(_)))
}
