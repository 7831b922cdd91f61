//! A run at this agent: from its setting to the last acknowledged event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use meshproof_mesh::Mesh;
use meshproof_proto::event::{Fact, StepResult};
use meshproof_proto::id::{Name, PeerId, RunId, Term};
use meshproof_proto::limits::EVENTS_PER_BATCH;
use meshproof_proto::memory::Extent;
use meshproof_proto::order::{
    Adopted, Authority, FaultOrder, FaultReport, Initialized, NameTerm, ReceiveOrder, ServicePlace, StepKey, StepOrder,
    StubChange,
};
use meshproof_proto::rpc::Refusal;
use meshproof_proto::secrets::Secrets;
use meshproof_proto::sync;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::ahead::Ahead;
use super::closing::{self, Closed, LinkBytes};
use super::copying::Copying;
use super::faults::{Beginning, Faults, Place, since_1970_ms};
use super::gathering::Gathering;
use super::links::Linked;
use super::mirroring::{Heard, Mirroring};
use super::orders::reply;
use super::pump::{Pump, Pumped};
use super::receiving::Receiving;
use super::steps::Steps;
use super::tending::{Answered, Tending};
use crate::api::Apis;
use crate::endpoints::Endpoints;
use crate::limits;
use crate::logs::Mark;
use crate::notes::Note;
use crate::outbox::{Entry, KeptOutbox};
use crate::records::Answers;
use crate::service::Answer;
use crate::steps::Beside;
use crate::stub::{Look, StubServer};
use crate::tunnel::{Seat, Tunnels};

#[derive(Debug)]
pub(super) struct Run {
    pub(super) authority: Authority,
    /// Whose orders count, and who gets the events.
    pub(super) orchestrator: PeerId,
    /// To whom, and at which term, it was promised last.
    pub(super) promised: Option<(Term, PeerId)>,
    /// What is remembered here for whoever commands next.
    pub(super) memory: Extent,
    pub(super) confided: Secrets,
    /// What the run's authority has made and anybody may see, by name.
    pub(super) certificates: BTreeMap<String, String>,
    pub(super) roster: BTreeMap<Name, PeerId>,
    /// At which term other names are held, of those that changed hands.
    pub(super) terms: BTreeMap<Name, NameTerm>,
    pub(super) initialized: Initialized,
    /// At which term this instance took its name from another, and what it found.
    pub(super) adopted: Option<(NameTerm, Adopted)>,
    pub(super) outbox: KeptOutbox,
    pub(super) pump: Option<Pump>,
    pub(super) facts: mpsc::Receiver<Fact>,
    pub(super) notes: mpsc::Receiver<Note>,
    /// Those that could not be written yet, with who waits for them.
    pub(super) unwritten: VecDeque<Note>,
    /// Steps whose turn has come and that wait for the disk.
    pub(super) stalled: VecDeque<StepOrder>,
    /// Since when they do; it was told.
    pub(super) stalled_at: Option<Instant>,
    /// When the disk is tried again.
    pub(super) write_at: Option<Instant>,
    /// Kept so that the facts never end while the run is here.
    pub(super) tell: mpsc::Sender<Fact>,
    pub(super) links_before: LinkBytes,
    /// Until then nothing is told, as all there is to tell is that steps have begun, or ended and the next one goes on.
    pub(super) held_until: Option<Instant>,
    /// Those who ordered steps that were taken, and hear of it together with what is told next.
    pub(super) taken: Vec<Answer<()>>,
    pub(super) stage: Stage,
    /// When it ends unless whoever commands is within reach again.
    pub(super) orphaned_at: Option<Instant>,
    /// The data network of a run that is closed, until another one begins here.
    pub(super) network: Option<Tunnels>,
    /// Copies of its events go to another agent, and those of others are kept here.
    pub(super) copies: Copying,
    /// What is written goes to instances that stand by.
    pub(super) mirroring: Mirroring,
}

/// How far the run is.
#[derive(Debug)]
pub(super) enum Stage {
    Working(Box<Work>),
    Closing {
        closing: AbortOnDropHandle<Closed>,
        answers: Vec<Answer<Vec<FaultReport>>>,
    },
    /// Only its events are still here.
    Closed(Vec<FaultReport>),
}

/// What is there while the run goes on.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) service: ServicePlace,
    pub(super) seed: u64,
    /// As the expressions of orders see them.
    pub(super) secrets: Value,
    pub(super) beside: Arc<Beside>,
    /// Open as long as this is kept.
    pub(super) _endpoints: Endpoints,
    /// What programs of the service find here.
    pub(super) api: Option<Apis>,
    pub(super) tunnels: Tunnels,
    /// Who commands the run.
    pub(super) commander: Arc<Seat>,
    /// They carry a data network.
    pub(super) networked: bool,
    /// Those that began, so that a repeated order does not begin one again.
    pub(super) tests: BTreeSet<String>,
    /// From where watches of an instance before this one looked at logs.
    pub(super) marks: BTreeMap<StepKey, Mark>,
    pub(super) steps: Steps,
    /// Those whose turn has not come.
    pub(super) ahead: Ahead,
    pub(super) faults: Faults,
    /// What persons have done beside it.
    pub(super) tending: Tending,
    /// Record streams that were ordered.
    pub(super) receives: Receiving,
    /// Answers that an instance before this one has had of streams that it sent.
    pub(super) sends: BTreeMap<StepKey, Answers>,
}

/// Something that the run's own tasks brought about.
#[derive(Debug)]
pub(super) enum Happened {
    Fact(Fact),
    Note(Note),
    StepEnded(StepKey, StepResult),
    FaultEnded(FaultReport),
    Answered(Answered),
    Closed(Closed),
    Mirror(Heard),
}

/// The next thing that happens in the run; waits for ever without one.
pub(super) async fn next(run: &mut Option<Run>) -> Happened {
    match run {
        Some(run) => run.next().await,
        None => std::future::pending().await,
    }
}

impl Run {
    async fn next(&mut self) -> Happened {
        tokio::select! {
            // A fact that was told before a step ended comes before its end.
            biased;
            Some(fact) = self.facts.recv() => Happened::Fact(fact),
            // So everything that was told before is in the outbox by then.
            Some(note) = self.notes.recv() => Happened::Note(note),
            heard = self.mirroring.next() => Happened::Mirror(heard),
            happened = self.stage.next() => happened,
        }
    }

    pub(super) fn happened(&mut self, happened: Happened, mesh: &Mesh) {
        match happened {
            Happened::Fact(fact) => self.heard(fact),
            Happened::Note(note) => self.unwritten.push_back(note),
            Happened::StepEnded(key, result) => self.step_ended(key, result),
            Happened::FaultEnded(report) => {
                self.push(Fact::FaultEnded(report));
                let waiting = self.working().map(|work| {
                    work.beside.connections.forget();
                    work.faults.take_waiting()
                });
                for (order, answer) in waiting.unwrap_or_default() {
                    self.begin_fault(order, answer);
                }
            }
            Happened::Answered(answered) => self.answered(answered),
            Happened::Closed(closed) => self.closed(closed, mesh),
            Happened::Mirror(heard) => self.heard_of_mirror(heard),
        }
    }

    /// What was told by now is written together; [`Self::send_events`] does, before it passes anything on.
    fn heard(&mut self, first: Fact) {
        let mut gathering = Gathering::of(first);
        for _ in 1..EVENTS_PER_BATCH {
            let Ok(fact) = self.facts.try_recv() else { break };
            if let Some(whole) = gathering.add(fact) {
                keep((&mut self.outbox, &mut self.held_until), whole);
            }
        }
        keep((&mut self.outbox, &mut self.held_until), gathering.end());
    }

    pub(super) fn push(&mut self, fact: Fact) {
        push((&mut self.outbox, &mut self.held_until), fact);
    }

    pub(super) fn working(&mut self) -> Result<&mut Work, Refusal> {
        self.stage.working(&self.authority.run)
    }

    /// A test begins with stubs that nobody has called; once for each test.
    pub(super) fn begin_test(&mut self, test: String) -> Result<(), Refusal> {
        let work = self.stage.working(&self.authority.run)?;
        if work.tests.contains(&test) {
            return Ok(());
        }
        if work.tests.len() >= limits::TESTS_REMEMBERED {
            return Err(Refusal::Failed(format!("{} tests began here; no more are taken", work.tests.len())));
        }
        let anew = work.beside.stubs.values().filter(|stub| stub.begins_anew()).map(|stub| stub.name().to_owned());
        let began = Entry::TestBegan { test: test.clone(), begin_anew: anew.collect() };
        self.outbox.note(&began).map_err(Refusal::Failed)?;
        work.api.iter().for_each(|apis| apis.begin_test(&test));
        work.tests.insert(test);
        work.beside.stubs.values().for_each(StubServer::begin_test);
        Ok(())
    }

    /// Programs of the service are answered.
    pub(super) fn answer_programs(&mut self, answers: Vec<sync::Answer>) -> Result<(), Refusal> {
        if let Some(apis) = &self.working()?.api {
            apis.answer(answers);
        }
        Ok(())
    }

    /// When something is due that waits for nothing but time.
    pub(super) fn due(&self) -> Option<Instant> {
        self.held_until.into_iter().chain(self.write_at).min()
    }

    /// Brings what waits for the disk there, and tells who waits for that.
    fn write(&mut self) {
        self.write_at = None;
        while let Some(note) = self.unwritten.front() {
            let written = match &note.entry {
                Some(entry) => self.outbox.note(entry),
                None => self.outbox.flush(),
            };
            if written.is_err() {
                break;
            }
            if let Some(note) = self.unwritten.pop_front() {
                self.outbox.safe().tell(note.written);
            }
        }
        let takes = match self.stalled_at {
            None => self.outbox.flush(),
            Some(_) => self.outbox.has_space(),
        };
        match takes {
            Err(_) => self.write_at = Some(Instant::now() + limits::DISK_AGAIN),
            Ok(()) => self.begin_stalled(),
        }
    }

    /// What these processes use is sampled from now on.
    pub(super) fn observe(&mut self, processes: Vec<i32>) -> Result<(), Refusal> {
        let work = self.working()?;
        if processes.len() > limits::PROCESSES_OBSERVED {
            return Err(Refusal::Failed(format!("{} processes are more than are observed", processes.len())));
        }
        work.beside.metrics.observe(processes);
        // They are others than those to which connections stand.
        work.beside.connections.forget();
        Ok(())
    }

    /// Waits for the stream that the order names.
    pub(super) fn receive(&mut self, mut order: ReceiveOrder) -> Result<(), Refusal> {
        let known = self.roster.contains_key(&order.from);
        self.working()?;
        if !known {
            return Err(Refusal::Unknown { what: "service in this run".to_owned(), name: order.from.to_string() });
        }
        if order.key.is_some() {
            // without secrets: whoever comes after this instance has them
            self.outbox.note(&Entry::Receives(Box::new(order.clone()))).map_err(Refusal::Failed)?;
        }
        let work = self.stage.working(&self.authority.run)?;
        order.apply.put_in_secrets(&work.secrets);
        work.receives.take(order)
    }

    pub(super) fn begin_fault(&mut self, order: FaultOrder, answer: Answer<()>) {
        let until_ms = since_1970_ms().saturating_add(order.lease_ms);
        if self.working().is_ok()
            && let Err(error) = self.outbox.note(&Entry::Leased { fault: order.fault.clone(), until_ms })
        {
            // whoever comes after this instance is told by the order alone how long it lasts
            tracing::warn!(fault = order.fault, error, "the lease of a fault could not be written");
        }
        self.disturb_by(order, answer, Faults::begin);
    }

    /// As an instance before this one had begun it.
    pub(super) fn begin_fault_again(&mut self, order: FaultOrder, answer: Answer<()>) {
        self.disturb_by(order, answer, Faults::begin_again);
    }

    fn disturb_by(
        &mut self,
        order: FaultOrder,
        answer: Answer<()>,
        begin: impl FnOnce(&mut Faults, FaultOrder, Answer<()>, Place<'_>) -> Beginning,
    ) {
        let fault = order.fault.clone();
        let begun = match self.working() {
            Ok(work) => {
                // A fault is on what is done from now on, its connections too.
                work.beside.connections.forget();
                let place = Place { beside: &work.beside, tunnels: &work.tunnels, seed: work.seed };
                begin(&mut work.faults, order, answer, place)
            }
            Err(refusal) => return reply(answer, Err(refusal)),
        };
        let (fact, answer) = match begun {
            Beginning::Begun(answer) => (Fact::FaultBegan { fault }, answer),
            Beginning::Over(report, answer) => (Fact::FaultEnded(report), answer),
            Beginning::Done => return,
        };
        self.push(fact);
        reply(answer, Ok(()));
    }

    pub(super) fn heal_fault(&mut self, fault: &str, answer: Answer<FaultReport>) {
        match self.working() {
            Ok(work) => {
                work.beside.connections.forget();
                work.faults.heal(fault, answer);
            }
            Err(refusal) => reply(answer, Err(refusal)),
        }
    }

    /// Ends everything but the events.
    pub(super) fn finish(&mut self, answer: Answer<Vec<FaultReport>>) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Closed(Vec::new())) {
            Stage::Working(work) => {
                let closing = tokio::spawn(closing::close(*work, self.tell.clone()));
                Stage::Closing { closing: AbortOnDropHandle::new(closing), answers: vec![answer] }
            }
            Stage::Closing { closing, mut answers } => {
                answers.push(answer);
                Stage::Closing { closing, answers }
            }
            Stage::Closed(reports) => {
                reply(answer, Ok(reports.clone()));
                Stage::Closed(reports)
            }
        };
    }

    fn closed(&mut self, Closed { reports, network }: Closed, mesh: &Mesh) {
        self.network = network;
        while let Ok(fact) = self.facts.try_recv() {
            self.push(fact);
        }
        let (sent, received) = LinkBytes::of(mesh).since(&self.links_before);
        self.push(Fact::LinkBytes { sent, received });
        if let Stage::Closing { answers, .. } = std::mem::replace(&mut self.stage, Stage::Closed(reports.clone())) {
            for answer in answers {
                reply(answer, Ok(reports.clone()));
            }
        }
        tracing::info!(run = %self.authority.run, "the run is finished here");
    }

    /// A link came to be; the run hears of those between its agents.
    pub(super) fn linked(&mut self, how: Linked, peer: PeerId) {
        if let Some(name) = self.name_while_working(peer) {
            self.push(match how {
                Linked::Offered => Fact::LinkOffered { to: name },
                Linked::Acknowledged => Fact::LinkAcknowledged { from: name },
            });
        }
    }

    pub(super) fn suspect(&mut self, peer: PeerId, reason: String) {
        if let Some(peer) = self.name_while_working(peer) {
            self.push(Fact::LinkSuspect { peer, reason });
        }
    }

    fn name_while_working(&self, peer: PeerId) -> Option<Name> {
        matches!(self.stage, Stage::Working(_)).then(|| self.name(peer)).flatten()
    }

    /// The name that the peer holds in this run.
    pub(super) fn name(&self, peer: PeerId) -> Option<Name> {
        self.roster.iter().find(|(_, holder)| **holder == peer).map(|(name, _)| name.clone())
    }

    pub(super) fn peer(&self, name: &Name) -> Option<PeerId> {
        self.roster.get(name).copied()
    }

    pub(super) fn acknowledged(&mut self, through: u64) {
        self.outbox.ack(through);
    }

    /// A new connection to the orchestrator: it gets what it has not acknowledged.
    pub(super) fn reconnected(&mut self, mesh: &Mesh) {
        self.within_reach();
        self.outbox.rewind();
        self.pump = Some(Pump::new(mesh.clone(), self.orchestrator));
    }

    /// Whoever commands cannot be reached: so long may that last.
    pub(super) fn out_of_reach(&mut self, grace: Duration) {
        if !self.is_closed() {
            self.orphaned_at.get_or_insert_with(|| Instant::now() + grace);
        }
    }

    pub(super) fn within_reach(&mut self) {
        self.orphaned_at = None;
    }

    /// Ends for want of somebody who commands it.
    pub(super) fn abandon(&mut self) {
        self.within_reach();
        tracing::warn!(run = %self.authority.run, "the run ends here: its orchestrator has been out of reach for too long");
        let (nobody, _) = tokio::sync::oneshot::channel();
        self.finish(nobody);
    }

    /// Another orchestrator commands from now on.
    pub(super) fn taken_over(&mut self, term: Term, orchestrator: PeerId, mesh: &Mesh) {
        tracing::info!(run = %self.authority.run, term = term.0, "another orchestrator has taken over");
        self.authority.term = term;
        self.orchestrator = orchestrator;
        if let Stage::Working(work) = &self.stage {
            work.commander.take(orchestrator);
        }
        self.reconnected(mesh);
    }

    /// Passes events on as far as the orchestrator follows.
    pub(super) fn send_events(&mut self) {
        self.write();
        if self.held_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        self.held_until = None;
        let gone = self.pump.as_ref().is_some_and(|pump| pump.take(&mut self.outbox) == Pumped::Gone);
        if gone {
            // The next connection brings a new one.
            self.pump = None;
        }
        self.taken.drain(..).for_each(|answer| reply(answer, Ok(())));
    }

    /// Somebody outside of the run has a stub forget its calls. The run is told: its counts would be a riddle otherwise.
    pub(super) fn purge(&mut self, stub: &str, by: Name) -> Result<(), Refusal> {
        let unknown = || Refusal::Unknown { what: "stub".to_owned(), name: stub.to_owned() };
        let played = self.working()?.beside.stubs.get(stub).ok_or_else(unknown)?;
        played.change(&StubChange::Purge).map_err(|error| Refusal::Failed(error.to_string()))?;
        self.push(Fact::StubPurged { stub: stub.to_owned(), by });
        Ok(())
    }

    /// What can be told of the stubs it plays.
    pub(super) fn stubs(&self) -> Vec<Look> {
        match &self.stage {
            Stage::Working(work) => work.beside.stubs.values().map(StubServer::look).collect(),
            Stage::Closing { .. } | Stage::Closed(_) => Vec::new(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed(_))
    }

    pub(super) fn steps_running(&self) -> u32 {
        match &self.stage {
            Stage::Working(work) => u32::try_from(work.steps.running()).unwrap_or(u32::MAX),
            Stage::Closing { .. } | Stage::Closed(_) => 0,
        }
    }

    pub(super) fn faults_active(&self) -> Vec<String> {
        match &self.stage {
            Stage::Working(work) => work.faults.active(),
            Stage::Closing { .. } | Stage::Closed(_) => Vec::new(),
        }
    }
}

/// Puts a fact into the outbox.
pub(super) fn push((outbox, held_until): (&mut KeptOutbox, &mut Option<Instant>), fact: Fact) {
    keep((outbox, held_until), fact);
    // what cannot be written now is written later, and not told until then
    let _ = outbox.flush();
}

/// Puts a fact into the outbox, to be written with others.
fn keep((outbox, held_until): (&mut KeptOutbox, &mut Option<Instant>), fact: Fact) {
    let at_ms = since_1970_ms();
    *held_until = match fact {
        Fact::StepStarted { .. } if held_until.is_some() || outbox.is_all_sent() => {
            Some(held_until.unwrap_or_else(|| Instant::now() + limits::BEGUN_TOLD))
        }
        _ => None,
    };
    if outbox.push_unwritten(fact, at_ms).is_none() {
        tracing::error!("an event is lost: the orchestrator takes none, and there is no more room");
    }
}

impl Stage {
    /// What is there while the run goes on.
    pub(super) fn working(&mut self, run: &RunId) -> Result<&mut Work, Refusal> {
        match self {
            Self::Working(work) => Ok(work),
            Self::Closing { .. } | Self::Closed(_) => Err(Refusal::Failed(format!("run `{run}` is finished here"))),
        }
    }

    async fn next(&mut self) -> Happened {
        match self {
            Self::Working(work) => tokio::select! {
                (key, result) = work.steps.ended() => Happened::StepEnded(key, result),
                report = work.faults.ended() => Happened::FaultEnded(report),
                answered = work.tending.ended() => Happened::Answered(answered),
            },
            Self::Closing { closing, .. } => Happened::Closed(closing.await.unwrap_or_else(|error| {
                tracing::error!(%error, "the closing of a run ended badly");
                Closed::default()
            })),
            Self::Closed(_) => std::future::pending().await,
        }
    }
}
