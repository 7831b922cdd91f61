//! What agents, the mesh and the keeper tell, on its way into the journal and to the run.

use std::time::{Duration, Instant};

use futures::FutureExt as _;
use meshproof_mesh::{ByteStream, MeshEvent, NoLink};
use meshproof_proto::event::{EventBatch, Evidence, Fact};
use meshproof_proto::frame::EventFrame;
use meshproof_proto::header::StreamHeader;
use meshproof_proto::id::Name;
use meshproof_proto::identity::Identity;

use super::driver::{Driver, Unacked};
use super::outcome::Broken;
use super::scribe::Seen;
use super::windows::Flood;
use super::witness;
use crate::console::is_person;
use crate::journal;
use crate::local::{Cause, Exit, Notice, What};
use crate::memory::Conducted;
use crate::plan::quote;
use crate::record::{Entry, Happening};
use crate::run::Input;

/// An acknowledgement that a link did not take, or that may wait, is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

impl Driver {
    pub(super) async fn mesh_event(&mut self, event: MeshEvent, run: &mut Conducted) -> anyhow::Result<()> {
        match event {
            MeshEvent::Events { peer, frame: EventFrame::Batch(batch), bytes, turn } => {
                let had_its_share = self.batch(&peer, (batch, bytes), run).await?;
                // its next one comes after what others have sent meanwhile, or even after the next sync
                if had_its_share {
                    self.resting.push(turn);
                }
            }
            MeshEvent::Stream { peer, header, stream, .. } => match self.windows.something(peer.peer) {
                Ok(()) => self.opened(&peer, &header, stream),
                Err(flood) => self.cut_off(&peer, &flood, run).await,
            },
            MeshEvent::LinkUp(up) => {
                self.crew.linked(up);
            }
            MeshEvent::LinkSuspect { peer, reason } => {
                self.note(run, format!("the link to {} is suspect: {reason}", peer.name))?
            }
            // Whoever was frozen for so long that links are lost may have been replaced meanwhile.
            MeshEvent::LinkLost { .. } if self.is_replaced().await => self.crew.is_superseded(),
            MeshEvent::LinkLost { peer, loss } => self.link_lost(&peer, &loss, run)?,
            MeshEvent::PeerJoined(peer) => self.joined(peer, run).await?,
            MeshEvent::PeerLeft(peer) => self.missed(&peer),
            MeshEvent::Epochs => self.epochs_changed(run)?,
            MeshEvent::SignalingDown { url, reason, .. } => {
                // it is tried again and again, and told once
                if self.away.insert(url.clone()) {
                    self.note(run, format!("signaling {url} is away: {reason}"))?;
                }
            }
            MeshEvent::SignalingUp { url } => {
                if self.away.remove(&url) {
                    self.note(run, format!("signaling {url} is back"))?;
                }
            }
            MeshEvent::SignalingRefused { url, reason } => {
                self.note(run, format!("signaling {url} refused us: {reason}"))?
            }
            MeshEvent::Events { frame: EventFrame::Ack { .. }, .. }
            | MeshEvent::News(_)
            | MeshEvent::Offered { .. }
            | MeshEvent::Acknowledged { .. } => {}
        }
        Ok(())
    }

    /// Agents of the run get files from here, people its journal, and nobody anything else.
    fn opened(&mut self, peer: &Identity, header: &[u8], stream: ByteStream) {
        match StreamHeader::decode(header) {
            Ok(StreamHeader::Blob { run, digest })
                if run == self.authority.run && self.crew.name_of(&peer.peer).is_some() =>
            {
                self.files.serve(&digest, stream);
            }
            Ok(StreamHeader::Journal) if is_person(peer.role) => {
                let journal = self.options.out.join(journal::FILE_NAME);
                self.followers.send((&journal, self.on_disk.clone()), stream);
            }
            Ok(_) | Err(_) => stream.reset("nothing is to be had here"),
        }
    }

    /// Something to see, unless everything ends anyway.
    pub(super) fn note(&mut self, run: &mut Conducted, text: String) -> anyhow::Result<()> {
        if self.teardown.is_some() {
            return Ok(());
        }
        self.say(run, Happening::Noted { text })
    }

    /// Something to tell that does not come from the machine: whoever goes on with the run tells it too.
    pub(super) fn say(&mut self, run: &mut Conducted, what: Happening) -> anyhow::Result<()> {
        run.said(&what, Instant::now());
        self.scribe.say(what)
    }

    /// Whether the keeper lives and obeys somebody else.
    async fn is_replaced(&self) -> bool {
        match &self.environment {
            Some(environment) => environment.is_anothers().await,
            None => false,
        }
    }

    /// An agent's events: into the journal, to the run, and acknowledged with the next sync. Whether these are all that go into it.
    async fn batch(
        &mut self,
        peer: &Identity,
        (batch, bytes): (EventBatch, usize),
        run: &mut Conducted,
    ) -> anyhow::Result<bool> {
        if self.windows.is_closed(&peer.peer) || self.failovers.has_lost(&peer.name) {
            return Ok(false);
        }
        if !self.crew.may_tell(&peer.peer, &batch.instance) {
            tracing::warn!(agent = %peer.name, "events of another instance were not taken");
            return Ok(false);
        }
        if let Err(flood) = self.windows.batch((&batch, bytes), &self.authority.run) {
            self.cut_off(peer, &flood, run).await;
            return Ok(false);
        }
        let (mut lines, instance) = (0, batch.instance);
        for event in batch.events {
            if event.run != self.authority.run {
                continue;
            }
            let (seq, fact) = (event.seq, event.fact.clone());
            let seen = self.scribe.write(Entry::event(&peer.name, instance, event))?;
            if seen == Seen::New {
                lines += 1;
                if let Fact::Mirrored { term, by } = &fact {
                    self.crew.is_mirrored(&peer.name, *term, by.clone());
                }
                run.hear((&peer.name, seq), fact, Instant::now());
            }
        }
        if self.failovers.is_of(&peer.name) {
            self.replayed(&peer.name, run)?;
        }
        let through = self.scribe.complete_through(instance);
        self.unacked.push_back(Unacked { instance, through, line: self.scribe.lines() });
        Ok(self.windows.wrote(instance, (lines, bytes)))
    }

    /// What is on disk is acknowledged, as far as no number is missing.
    pub(super) async fn acknowledge(&mut self) -> anyhow::Result<()> {
        self.scribe.check()?;
        let Some(mesh) = self.mesh.clone() else { return Ok(()) };
        let on_disk = *self.on_disk.borrow_and_update();
        if on_disk > self.synced {
            self.synced = on_disk;
            self.windows.synced();
            self.resting.clear();
        }
        let mut due = std::mem::take(&mut self.untold);
        while let Some(unacked) = self.unacked.front().filter(|unacked| unacked.line <= on_disk) {
            due.insert(unacked.instance, unacked.through);
            self.unacked.pop_front();
        }
        let now = Instant::now();
        for (instance, through) in due {
            // whoever leaves soon tells everybody at once
            if self.teardown.is_none() && self.windows.may_wait(&instance, now) {
                self.untold.insert(instance, through);
                continue;
            }
            let ack = mesh.send_events(self.crew.listener(&instance), EventFrame::Ack { instance, through });
            match ack.now_or_never() {
                // an agent whose link is away sends its events again, and is answered then
                Some(Ok(()) | Err(NoLink)) => self.windows.acknowledge(instance, (through, now)),
                // nobody waits for one that does not read; it is told with the next ones
                None => drop(self.untold.insert(instance, through)),
            }
        }
        self.acknowledge_at = (!self.untold.is_empty()).then(|| now + AGAIN_AFTER);
        Ok(())
    }

    /// Nothing more is taken from a peer that floods. It hears why, and so does whoever reads the report.
    async fn cut_off(&mut self, peer: &Identity, flood: &Flood, run: &mut Conducted) {
        if self.windows.is_closed(&peer.peer) {
            return;
        }
        tracing::warn!(peer = %peer.name, %flood, "cut off");
        self.windows.close(peer.peer);
        self.unacked.retain(|unacked| unacked.instance != peer.peer);
        self.untold.remove(&peer.peer);
        if let Some(mesh) = self.mesh.clone() {
            mesh.refuse(peer.peer, flood.to_string()).await;
        }
        if let Some(agent) = self.crew.name_of(&peer.peer).cloned() {
            self.lost(agent, &flood.to_string(), run);
        }
    }

    pub(super) fn notice(&mut self, notice: Notice, run: &mut Conducted) -> anyhow::Result<()> {
        if self.teardown.is_some() {
            return Ok(());
        }
        let exited = match notice {
            Notice::ProcessExited(exited) => exited,
            Notice::AgentStarted { name, pid } => {
                tracing::debug!(agent = %name, pid, "an agent was started again");
                return Ok(());
            }
            Notice::AgentGivenUp { name, reason } => {
                self.lost_but_for_copies(&name, format!("it is not started again: {reason}"));
                return Ok(());
            }
            Notice::Replaced => {
                self.crew.is_superseded();
                return Ok(());
            }
            Notice::SignalingGivenUp { reason } => {
                return self.note(run, format!("signaling is not started again: {reason}"));
            }
            Notice::Ending { reason } => {
                self.all_lost(&format!("the keeper ends the environment: {reason}"), run);
                return Ok(());
            }
        };
        let how = exited.exit.to_string();
        match exited.what {
            What::Agent { name, number } => self.instance_ended((&name, number), (&how, exited.at_unix_ms), run)?,
            What::Service { name, process } if exited.cause == Cause::Itself => {
                self.service_left((name, process), exited.exit, run);
            }
            What::Service { .. } => {}
            What::Signaling => self.note(run, format!("signaling ended: {how}"))?,
        }
        Ok(())
    }

    /// A process of a service ended by itself.
    pub(super) fn service_left(&mut self, (service, process): (Name, usize), exit: Exit, run: &mut Conducted) {
        let how = self.of_process(&service, process, exit.to_string());
        let evidence = self.last_words(&service);
        let code = match exit {
            Exit::Code(code) => code,
            Exit::Signal(number) => 128 + number,
        };
        let left = Input::ServiceLeft { service: service.clone(), code };
        run.handle(Input::ServiceEnded { service, how, evidence }, Instant::now());
        run.handle(left, Instant::now());
    }

    /// The keeper died. Its guard kills everything that it kept, so no agent is there any more.
    pub(super) fn keeper_gone(&mut self, run: &mut Conducted) {
        self.notices = None;
        if self.teardown.is_some() {
            return;
        }
        self.all_lost("the keeper is gone", run);
    }

    /// The environment is gone as a whole.
    fn all_lost(&mut self, what: &str, run: &mut Conducted) {
        run.handle(Broken::because(what).into(), Instant::now());
        for agent in self.crew.roster().into_keys() {
            self.lost(agent, what, run);
        }
    }

    /// Which process of a service it was that ended so, where there are several.
    fn of_process(&self, service: &Name, process: usize, how: String) -> String {
        let service = self.plan.services.iter().find(|known| known.name == *service);
        let Some(argv) = service.and_then(|service| service.processes.get(process)) else { return how };
        let many = service.map_or(1, |service| service.processes.len());
        if many == 1 {
            return how;
        }
        let line: Vec<String> = argv.iter().map(ToString::to_string).collect();
        format!("process {} of {many}, {}: {how}", process + 1, quote(&line.join(" ")))
    }

    /// What a service printed last.
    pub(super) fn last_words(&self, service: &Name) -> Vec<Evidence> {
        let masker = self.scribe.masker();
        let environment = self.environment.as_ref();
        environment
            .map(|environment| witness::last_words(environment, service, &self.said, &masker))
            .unwrap_or_default()
    }

    pub(super) fn lost(&mut self, agent: Name, reason: &str, run: &mut Conducted) {
        self.failovers.forget(&agent);
        if self.teardown.is_some() {
            return;
        }
        self.crew.lose(&agent);
        run.handle(Input::AgentLost { agent, reason: reason.to_owned() }, Instant::now());
    }
}
