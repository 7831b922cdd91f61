//! What stands on this agent's disk is on those of the instances that stand by for it, before anything follows from it; and this agent keeps
//! such a mirror while it stands by for another one.
//!
//! Each has a task of its own that reads what the outbox's file has got and sends it: one message at a time, so that what is written during
//! a round trip goes together. One that does not answer in time is left behind, and begins anew.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use meshproof_proto::event::Fact;
use meshproof_proto::id::{Name, PeerId, RunId, Term};
use meshproof_proto::memory::{MirrorPart, Standbys};
use meshproof_proto::order::{NameTerm, StepOver};
use meshproof_proto::rpc::{AgentClient, Refusal};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::Session;
use super::run::Run;
use crate::limits::{MIRROR_AGAIN, MIRROR_ANEW, MIRRORED_WITHIN, MIRRORS, MIRRORS_HEARD};
use crate::outbox::{MirrorFile, Original, Store};

/// At which the first instance holds its name.
const FIRST: NameTerm = NameTerm { run: Term(1), number: 1 };

/// Those that stand by for this agent.
#[derive(Debug)]
pub(super) struct Mirroring {
    tasks: BTreeMap<PeerId, AbortOnDropHandle<()>>,
    /// The last order that said who they are.
    number: u64,
    hears: mpsc::Sender<Heard>,
    heard: mpsc::Receiver<Heard>,
    /// Who is to hear that steps are over once that is safe, and where it stands in the file.
    pub(super) overs: VecDeque<(u64, PeerId, StepOver)>,
}

/// What became of a message to one of them.
#[derive(Debug)]
pub(super) enum Heard {
    /// So much of the file is there.
    IsAt(PeerId, u64),
    IsWithout(PeerId),
}

/// What is mirrored here of whoever acts.
#[derive(Debug)]
pub(super) struct Mirrored {
    run: RunId,
    from: PeerId,
    term: NameTerm,
    file: MirrorFile,
}

impl Default for Mirroring {
    fn default() -> Self {
        let (hears, heard) = mpsc::channel(MIRRORS_HEARD);
        Self { tasks: BTreeMap::new(), number: 0, hears, heard, overs: VecDeque::new() }
    }
}

impl Mirroring {
    pub(super) async fn next(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }
}

impl Session {
    /// These stand by from now on, and no others.
    pub(super) fn stand_by(&mut self, caller: PeerId, order: Standbys) -> Result<(), Refusal> {
        let me = self.mesh.me();
        let run = self.admitted(caller, &order.authority)?;
        if order.number <= run.mirroring.number {
            return Ok(());
        }
        run.mirroring.number = order.number;
        let others = || order.peers.iter().filter(|peer| **peer != me).take(MIRRORS);
        let gone = run.mirroring.tasks.extract_if(.., |peer, _| !others().any(|other| other == peer));
        let gone: Vec<PeerId> = gone.map(|(peer, _)| peer).collect();
        gone.iter().for_each(|peer| run.heard_of_mirror(Heard::IsWithout(*peer)));
        gone.iter().for_each(|peer| self.links.mirrors_no_more(peer));
        let Some((run, store)) = self.run.as_mut().zip(self.outboxes.as_ref()) else { return Ok(()) };
        let Some(length) = run.outbox.length() else { return Ok(()) };
        for peer in others() {
            if run.mirroring.tasks.contains_key(peer) {
                continue;
            }
            let source = Source {
                store: store.clone(),
                run: run.authority.run.clone(),
                term: run.name_term(),
                length: length.clone(),
            };
            let (peer, way, hears) = (*peer, self.links.mirrors_to(*peer), run.mirroring.hears.clone());
            let task = tokio::spawn(async move { source.mirror((peer, way), hears).await });
            run.mirroring.tasks.insert(peer, AbortOnDropHandle::new(task));
        }
        Ok(())
    }

    /// Keeps what another instance of this name has written.
    pub(super) fn mirror(&mut self, (caller, name): (PeerId, &Name), part: &MirrorPart) -> Result<u64, Refusal> {
        if *name != self.name {
            let what = "agent here that stands by for".to_owned();
            return Err(Refusal::Unknown { what, name: name.to_string() });
        }
        if let Some(run) = self.run.as_ref().filter(|run| !run.is_closed()) {
            return Err(Refusal::Busy(run.authority.run.to_string()));
        }
        let nowhere = || Refusal::Failed("this agent keeps nothing on a disk".to_owned());
        let store = self.outboxes.as_ref().ok_or_else(nowhere)?;
        let known = self.mirrored.as_ref().filter(|mirrored| mirrored.run == part.run);
        if let Some(current) = known.map(|known| known.term).filter(|current| *current > part.term) {
            return Err(Refusal::OldNameTerm { offered: part.term, current });
        }
        if part.from == 0 {
            let file = store.mirror_anew(&part.run).map_err(|error| unwritten(&error))?;
            self.mirrored = Some(Mirrored { run: part.run.clone(), from: caller, term: part.term, file });
        }
        let is_it =
            |mirrored: &&mut Mirrored| (&mirrored.run, mirrored.from, mirrored.term) == (&part.run, caller, part.term);
        let begins = || Refusal::Failed("what is mirrored here has to begin anew".to_owned());
        let mirrored = self.mirrored.as_mut().filter(is_it).ok_or_else(begins)?;
        mirrored.file.add(part.from, &part.bytes).map_err(|error| unwritten(&error))
    }
}

impl Run {
    /// At which term this instance holds its name.
    fn name_term(&self) -> NameTerm {
        self.adopted.as_ref().map_or(FIRST, |(term, _)| *term)
    }

    /// An instance that stands by has more of the file, or lacks something from now on.
    pub(super) fn heard_of_mirror(&mut self, heard: Heard) {
        let is_news = match heard {
            Heard::IsAt(peer, bytes) => self.outbox.is_at(peer, bytes),
            Heard::IsWithout(peer) => self.outbox.is_without(peer),
        };
        if is_news {
            self.tell_mirrored();
        }
    }

    /// This instance goes on where another one stopped, whose disk others have mirrored: nothing follows from what it does until the journal
    /// knows that it acts, so that whoever lacks what it did is known to lack it.
    pub(super) fn acts_alone(&mut self) {
        self.outbox.hold();
        self.tell_mirrored();
    }

    fn tell_mirrored(&mut self) {
        let (term, by) = (self.name_term(), self.outbox.mirrored_by());
        tracing::info!(%term, by = by.len(), "what is on this disk is on those of others");
        self.push(Fact::Mirrored { term, by });
    }
}

/// What is sent to one that stands by.
struct Source {
    store: Store,
    run: RunId,
    term: NameTerm,
    length: watch::Receiver<u64>,
}

impl Source {
    /// From the beginning, and again from the beginning when it was left behind.
    async fn mirror(
        mut self,
        (peer, mut way): (PeerId, watch::Receiver<Option<AgentClient>>),
        to: mpsc::Sender<Heard>,
    ) {
        while way.wait_for(Option::is_some).await.is_ok() {
            if let Err(why) = self.follow(peer, &mut way, &to).await {
                tracing::warn!(why, "an instance that stands by is left behind");
            }
            if to.send(Heard::IsWithout(peer)).await.is_err() {
                return;
            }
            tokio::time::sleep(MIRROR_ANEW).await;
        }
    }

    /// For as long as it answers.
    async fn follow(
        &mut self,
        peer: PeerId,
        way: &mut watch::Receiver<Option<AgentClient>>,
        to: &mpsc::Sender<Heard>,
    ) -> Result<(), String> {
        let original = Original::of(&self.store, &self.run).map_err(|error| error.to_string())?;
        let mut there = 0;
        while let Ok(length) = self.length.wait_for(|length| *length > there).await.map(|length| *length) {
            let bytes = original.part(there, length).map_err(|error| error.to_string())?;
            there += bytes.len() as u64;
            let part = MirrorPart { run: self.run.clone(), term: self.term, from: there - bytes.len() as u64, bytes };
            let sent = timeout(MIRRORED_WITHIN, send(part, way)).await;
            sent.map_err(|_| format!("it has not answered within {MIRRORED_WITHIN:?}"))??;
            if to.send(Heard::IsAt(peer, there)).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Over whatever connection its link has, until there is an answer.
async fn send(part: MirrorPart, way: &mut watch::Receiver<Option<AgentClient>>) -> Result<(), String> {
    let part = Box::new(part);
    loop {
        let way = way.wait_for(Option::is_some).await.map_err(|error| error.to_string())?.clone();
        let Some(client) = way else { continue };
        match client.mirror(context(MIRRORED_WITHIN), part.clone()).await {
            Ok(answer) => return answer.map(drop).map_err(|refusal| refusal.to_string()),
            Err(error) => tracing::debug!(%error, "a part of the outbox was not taken"),
        }
        tokio::time::sleep(MIRROR_AGAIN).await;
    }
}

fn context(within: Duration) -> tarpc::context::Context {
    let mut context = tarpc::context::current();
    context.deadline = Instant::now() + within;
    context
}

fn unwritten(error: &std::io::Error) -> Refusal {
    Refusal::Failed(format!("what stands by cannot be written: {error}"))
}
