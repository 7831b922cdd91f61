//! Waits for the agents of a run to join and be linked, and says how each is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use meshproof_mesh::{LinkUp, MeshEvent};
use meshproof_proto::id::Name;
use meshproof_proto::identity::Role;
use meshproof_proto::links::LinkPath;

use super::crew::{CallError, Caller};
use super::driver::{Driver, receive};
use super::outcome::Broken;
use super::standing;
use crate::local::{Notice, What};
use crate::record::Happening;

/// From the agents' start until all have joined and are linked. Their processes start in well under a second.
const JOIN_WITHIN: Duration = Duration::from_secs(20);

/// After so long it is said who is waited for, in a mesh whose agents are others' to start.
const LATE_AFTER: Duration = Duration::from_secs(3);

impl Driver {
    /// Waits until every agent has joined and is linked, and says how.
    pub(super) async fn gather(&mut self, mut missing: BTreeSet<Name>) -> Result<(), Broken> {
        let deadline = tokio::time::sleep(JOIN_WITHIN);
        let late = tokio::time::sleep(LATE_AFTER);
        tokio::pin!(deadline, late);
        let mut is_told = self.options.mesh.is_none();
        while !missing.is_empty() {
            let Some(events) = self.mesh_events.as_mut() else { return Err(Broken::because("there is no mesh")) };
            tokio::select! {
                Some(event) = events.recv() => {
                    if let Some(name) = self.gathered(event).await? {
                        missing.remove(&name);
                    }
                }
                notice = receive(self.notices.as_mut()) => match notice {
                    Some(notice) => early_end(notice)?,
                    None => return Err(Broken::because("the keeper is gone")),
                },
                () = &mut late, if !is_told => {
                    is_told = true;
                    let text = format!("still waiting: {}", self.nobody_came(&missing).what);
                    self.scribe.say_early(Happening::Noted { text })?;
                }
                () = &mut deadline => return Err(self.nobody_came(&missing)),
            }
        }
        Ok(())
    }

    fn nobody_came(&self, missing: &BTreeSet<Name>) -> Broken {
        let names = missing.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
        match (&self.options.mesh, &self.mesh) {
            (Some(standing), Some(mesh)) => {
                let elsewhere: Vec<String> = missing.iter().filter_map(|name| self.elsewhere(name)).collect();
                match elsewhere.is_empty() {
                    true => standing::nobody_came((&standing.file, mesh), missing, &self.away),
                    false => Broken::because(elsewhere.join("; ")),
                }
            }
            _ => Broken::because(format!("no link to {names} within {JOIN_WITHIN:?}; see agent.log in the kept logs")),
        }
    }

    async fn gathered(&mut self, event: MeshEvent) -> Result<Option<Name>, Broken> {
        match event {
            MeshEvent::PeerJoined(identity) if identity.role == Role::Agent && self.is_wanted(&identity.name) => {
                let before = self.crew.holder(&identity.name).filter(|before| *before != identity.peer);
                match before.filter(|_| self.environment.is_none()) {
                    // where zones count, it is known already that the one before it is of use
                    Some(_) if self.counts_already(&identity.name) => {
                        self.crew.stand_by(&identity.name, identity.peer);
                    }
                    // the one before it may take its place
                    Some(_) => self.crew.seat_beside(&identity.name, identity.peer),
                    None => self.crew.seat(identity.name, identity.peer),
                }
                if let Some(mesh) = &self.mesh {
                    mesh.connect(identity.peer).await;
                }
                Ok(None)
            }
            MeshEvent::LinkUp(up) => self.greet(up).await,
            MeshEvent::SignalingRefused { reason, .. } => {
                Err(Broken::because(format!("signaling refused us: {reason}")))
            }
            MeshEvent::SignalingDown { url, reason, wrong_way: true } => {
                Err(Broken::because(format!("cannot reach signaling at {url}: {reason}")))
            }
            MeshEvent::SignalingDown { url, .. } => {
                self.away.insert(url);
                Ok(None)
            }
            MeshEvent::SignalingUp { url } => {
                self.away.remove(&url);
                Ok(None)
            }
            MeshEvent::PeerJoined(_)
            | MeshEvent::PeerLeft(_)
            | MeshEvent::News(_)
            | MeshEvent::Epochs
            | MeshEvent::Offered { .. }
            | MeshEvent::Acknowledged { .. }
            | MeshEvent::LinkSuspect { .. }
            | MeshEvent::LinkLost { .. }
            | MeshEvent::Events { .. }
            | MeshEvent::Stream { .. } => Ok(None),
        }
    }

    fn is_wanted(&self, name: &Name) -> bool {
        self.plan.agents().any(|agent| agent == name)
    }

    /// A link is up: measure it and say so.
    async fn greet(&mut self, up: LinkUp) -> Result<Option<Name>, Broken> {
        let path = up.path.map_or(LinkPath::Direct, |path| path.kind).word();
        let name = if self.has_zones() {
            let name = up.peer.name.clone();
            Box::pin(self.chosen(up)).await?.then_some(name)
        } else {
            self.crew.linked(up)
        };
        let Some(name) = name else { return Ok(None) };
        let Some(caller) = self.crew.caller(&name) else { return Ok(None) };
        let rtt = round_trip(&caller).await.map_err(|error| Broken::because(format!("agent {name}: {error}")))?;
        let rtt_us = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
        self.scribe.say_early(Happening::AgentJoined { name: name.clone(), path: path.to_owned(), rtt_us })?;
        Ok(Some(name))
    }
}

/// The best of three: what the link can do, not what the machine was busy with.
async fn round_trip(caller: &Caller) -> Result<Duration, CallError> {
    let mut best = Duration::MAX;
    for number in 0..3 {
        let began = Instant::now();
        caller.call(|client, context| async move { Ok(Ok(client.ping(context, number).await?)) }).await?;
        best = best.min(began.elapsed());
    }
    Ok(best)
}

/// Something ended before it was of use.
fn early_end(notice: Notice) -> Result<(), Broken> {
    match notice {
        Notice::ProcessExited(exited) => match exited.what {
            What::Agent { .. } | What::Signaling => {
                Err(Broken::because(format!("{} ended early: {}", exited.what, exited.exit)))
            }
            What::Service { .. } => Ok(()),
        },
        Notice::AgentStarted { .. } | Notice::Replaced => Ok(()),
        Notice::SignalingGivenUp { reason } => Err(Broken::because(format!("signaling ended early: {reason}"))),
        Notice::AgentGivenUp { name, reason } => Err(Broken::because(format!("agent {name} ended early: {reason}"))),
        Notice::Ending { reason } => Err(Broken::because(format!("the keeper ends the environment: {reason}"))),
    }
}
