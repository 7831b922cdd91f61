//! The loop of a run: waits for agents, processes, signals and time, and does what the run says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_mesh::{Mesh, MeshEvent};
use meshproof_proto::event::{EventBatch, Fact};
use meshproof_proto::frame::EventFrame;
use meshproof_proto::id::{Name, PeerId, Term};
use meshproof_proto::identity::Identity;
use meshproof_proto::order::Authority;
use meshproof_proto::verdict::Exit;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::crew::Crew;
use super::outcome::Broken;
use super::scribe::{Scribe, Seen};
use super::signals::Signals;
use super::{Options, build};
use crate::journal::Journal;
use crate::local::{Cause, LocalEnvironment, Notice, What};
use crate::plan::{Plan, Source};
use crate::progress::Progress;
use crate::record::{Entry, Happening};
use crate::run::{Abort, Input, Output, Run, Setup};

/// Events are acknowledged in groups, so that one sync serves many.
const SYNC_EVERY: Duration = Duration::from_millis(20);

/// Answers to orders that wait for the loop.
const INBOX: usize = 256;

/// Everything a run needs while it goes on.
pub(super) struct Driver {
    pub(super) plan: Arc<Plan>,
    pub(super) source: Arc<Source>,
    pub(super) options: Options,
    pub(super) authority: Authority,
    pub(super) scribe: Scribe,
    pub(super) crew: Crew,
    pub(super) environment: Option<LocalEnvironment>,
    pub(super) notices: Option<mpsc::Receiver<Notice>>,
    pub(super) mesh: Option<Mesh>,
    pub(super) mesh_events: Option<mpsc::Receiver<MeshEvent>>,
    pub(super) inbox_in: mpsc::Sender<Input>,
    inbox: mpsc::Receiver<Input>,
    pub(super) teardown: Option<JoinHandle<()>>,
    /// What is in the journal and not yet acknowledged.
    unacked: BTreeMap<PeerId, u64>,
    /// Something did not hold, so what the services left is kept.
    pub(super) failed: bool,
    /// Signaling servers that were there and are not.
    away: BTreeSet<String>,
    /// Answers of the environment, which come at once.
    pub(super) pending: VecDeque<Input>,
}

/// What the loop woke up for.
enum Wake {
    Input(Input),
    Mesh(MeshEvent),
    /// None: the keeper is gone.
    Notice(Option<Notice>),
    Signal(Abort),
    Acknowledge,
    Time,
}

impl Driver {
    /// Opens the journal; nothing else is made yet.
    pub(super) fn new(plan: Arc<Plan>, source: Arc<Source>, options: Options) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&options.out)
            .map_err(|error| anyhow::anyhow!("cannot make the folder {}: {error}", options.out.display()))?;
        let journal = Journal::create(&options.out.join("events.jsonl"))?;
        let progress = Progress::new(options.mode, Arc::clone(&source), options.out.clone());
        let authority = Authority { run: options.run.clone(), term: Term(1), plan: plan.digest };
        let (inbox_in, inbox) = mpsc::channel(INBOX);
        Ok(Self {
            plan,
            source,
            options,
            authority,
            scribe: Scribe::new(journal, progress),
            crew: Crew::default(),
            environment: None,
            notices: None,
            mesh: None,
            mesh_events: None,
            inbox_in,
            inbox,
            teardown: None,
            unacked: BTreeMap::new(),
            failed: false,
            away: BTreeSet::new(),
            pending: VecDeque::new(),
        })
    }

    /// From the first record to the exit code.
    pub(super) async fn drive(mut self) -> Exit {
        let setup = Setup {
            authority: self.authority.clone(),
            seed: self.options.seed,
            plan_dir: self.options.plan_dir.to_string_lossy().into_owned(),
        };
        let mut run = Run::new(Arc::clone(&self.plan), Arc::clone(&self.source), setup, Instant::now());
        let result = self.live(&mut run).await;
        if let Some(mesh) = self.mesh.take() {
            mesh.leave().await;
        }
        match result {
            Ok(exit) => exit,
            Err(error) => {
                eprintln!("meshproof: the run was given up: {error:#}");
                Exit::MeshFailed
            }
        }
    }

    async fn live(&mut self, run: &mut Run) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen()?;
        if let Some(exit) = self.perform(run).await? {
            return Ok(exit);
        }
        let begun = match self.get_ready(&mut signals).await {
            Ok(begun) => begun,
            Err(abort) => return Ok(self.leave_at_once(abort)),
        };
        let mut aborted = matches!(begun, Input::Abort(_));
        run.handle(begun, Instant::now());
        loop {
            if let Some(exit) = self.perform(run).await? {
                return Ok(exit);
            }
            let wake = tokio::select! {
                wake = self.wake(run.poll_timeout()) => wake,
                abort = signals.next() => Wake::Signal(abort),
            };
            match wake {
                Wake::Input(input) => self.input(input, run)?,
                Wake::Mesh(event) => self.mesh_event(event, run)?,
                Wake::Notice(Some(notice)) => self.notice(notice, run)?,
                Wake::Notice(None) => self.keeper_gone(run),
                Wake::Signal(abort) if aborted => return Ok(self.leave_at_once(abort)),
                Wake::Signal(abort) => {
                    aborted = true;
                    run.handle(Input::Abort(abort), Instant::now());
                }
                Wake::Acknowledge => self.acknowledge().await?,
                Wake::Time => run.handle_timeout(Instant::now()),
            }
        }
    }

    /// Builds, then makes the environment and the mesh. `Err` is the second signal.
    async fn get_ready(&mut self, signals: &mut Signals) -> Result<Input, Abort> {
        let stop = CancellationToken::new();
        let mut preparing = std::pin::pin!(self.prepare(&stop));
        let abort = tokio::select! {
            prepared = &mut preparing => return Ok(prepared.unwrap_or_else(Input::from)),
            abort = signals.next() => abort,
        };
        // what was begun comes to where the teardown can end it
        stop.cancel();
        tokio::select! {
            _ = preparing => Ok(Input::Abort(abort)),
            again = signals.next() => Err(again),
        }
    }

    async fn prepare(&mut self, stop: &CancellationToken) -> Result<Input, Broken> {
        let plan = Arc::clone(&self.plan);
        let project = build::Project { plan: &plan, dir: &self.options.plan_dir };
        build::build(project, &mut self.scribe, stop).await?;
        let setting = self.make_ready(stop).await?;
        Ok(Input::Begin(Box::new(setting)))
    }

    async fn wake(&mut self, due: Option<Instant>) -> Wake {
        let until = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        let unacked = !self.unacked.is_empty();
        tokio::select! {
            Some(input) = self.inbox.recv() => Wake::Input(input),
            Some(event) = receive(self.mesh_events.as_mut()) => Wake::Mesh(event),
            notice = receive(self.notices.as_mut()) => Wake::Notice(notice),
            () = tokio::time::sleep(SYNC_EVERY), if unacked => Wake::Acknowledge,
            () = until => Wake::Time,
        }
    }

    /// Does everything the run asks for; gives the exit when it is over.
    async fn perform(&mut self, run: &mut Run) -> anyhow::Result<Option<Exit>> {
        loop {
            if let Some(input) = self.pending.pop_front() {
                run.handle(input, Instant::now());
            }
            let Some(output) = run.poll_output() else {
                if self.pending.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            match output {
                Output::Record(what) => {
                    self.failed |= matches!(what, Happening::Failure(_));
                    self.scribe.say(what)?;
                }
                Output::Finished { exit, .. } => {
                    self.scribe.sync()?;
                    crate::report::write_junit(&self.options.out)?;
                    return Ok(Some(exit));
                }
                Output::TearDown => self.tear_down(),
                other => self.order(other).await,
            }
        }
    }

    fn input(&mut self, input: Input, run: &mut Run) -> anyhow::Result<()> {
        if let (Input::TornDown { .. }, Some(mesh)) = (&input, &self.mesh) {
            let carried = own_bytes(mesh);
            self.scribe.say(carried)?;
        }
        run.handle(input, Instant::now());
        Ok(())
    }

    fn mesh_event(&mut self, event: MeshEvent, run: &mut Run) -> anyhow::Result<()> {
        match event {
            MeshEvent::Events { peer, frame: EventFrame::Batch(batch) } => self.batch(&peer, batch, run)?,
            MeshEvent::LinkUp(up) => {
                self.crew.linked(up);
            }
            MeshEvent::LinkSuspect { peer, reason } => {
                self.note(format!("the link to {} is suspect: {reason}", peer.name))?
            }
            MeshEvent::LinkLost { peer, reason } => {
                if let Some(agent) = self.crew.name_of(&peer.peer).cloned() {
                    self.lost(agent, &format!("its link is lost: {reason}"), run);
                }
            }
            MeshEvent::SignalingDown { url, reason } => {
                // it is tried again and again, and told once
                if self.away.insert(url.clone()) {
                    self.note(format!("signaling {url} is away: {reason}"))?;
                }
            }
            MeshEvent::SignalingUp { url } => {
                if self.away.remove(&url) {
                    self.note(format!("signaling {url} is back"))?;
                }
            }
            MeshEvent::SignalingRefused { url, reason } => {
                self.note(format!("signaling {url} refused us: {reason}"))?
            }
            MeshEvent::Events { frame: EventFrame::Ack { .. }, .. }
            | MeshEvent::PeerJoined(_)
            | MeshEvent::PeerLeft(_)
            | MeshEvent::Offered { .. }
            | MeshEvent::Acknowledged { .. }
            | MeshEvent::Stream { .. } => {}
        }
        Ok(())
    }

    /// Something to see, unless everything ends anyway.
    fn note(&mut self, text: String) -> anyhow::Result<()> {
        if self.teardown.is_some() {
            return Ok(());
        }
        self.scribe.say(Happening::Noted { text })
    }

    /// An agent's events: into the journal, to the run, and acknowledged with the next sync.
    fn batch(&mut self, peer: &Identity, batch: EventBatch, run: &mut Run) -> anyhow::Result<()> {
        if batch.instance != peer.peer {
            tracing::warn!(agent = %peer.name, "events of another instance were not taken");
            return Ok(());
        }
        for event in batch.events {
            if event.run != self.authority.run {
                continue;
            }
            let (seq, fact) = (event.seq, event.fact.clone());
            let seen = self.scribe.write(Entry::event(&peer.name, peer.peer, event))?;
            self.unacked.insert(peer.peer, seq);
            if seen == Seen::New {
                run.handle(Input::Fact { agent: peer.name.clone(), fact }, Instant::now());
            }
        }
        Ok(())
    }

    async fn acknowledge(&mut self) -> anyhow::Result<()> {
        self.scribe.sync()?;
        let Some(mesh) = self.mesh.clone() else { return Ok(()) };
        for (instance, through) in std::mem::take(&mut self.unacked) {
            // an agent whose link is away sends its events again, and is answered then
            let _ = mesh.send_events(instance, EventFrame::Ack { instance, through }).await;
        }
        Ok(())
    }

    fn notice(&mut self, notice: Notice, run: &mut Run) -> anyhow::Result<()> {
        if self.teardown.is_some() {
            return Ok(());
        }
        let exited = match notice {
            Notice::ProcessExited(exited) => exited,
            Notice::Ending { reason } => {
                let what = format!("the keeper ends the environment: {reason}");
                run.handle(Broken::because(what).into(), Instant::now());
                return Ok(());
            }
        };
        let how = exited.exit.to_string();
        match exited.what {
            What::Agent { name } => self.lost(name, &format!("its process ended: {how}"), run),
            What::Service { name, .. } if exited.cause == Cause::Itself => {
                run.handle(Input::ServiceEnded { service: name, how, evidence: Vec::new() }, Instant::now());
            }
            What::Service { .. } => {}
            What::Signaling => self.note(format!("signaling ended: {how}"))?,
        }
        Ok(())
    }

    /// The keeper died. Its guard kills everything that it kept, so no agent is there any more.
    fn keeper_gone(&mut self, run: &mut Run) {
        self.notices = None;
        if self.teardown.is_some() {
            return;
        }
        let what = "the keeper is gone";
        run.handle(Broken::because(what).into(), Instant::now());
        for agent in self.crew.roster().into_keys() {
            self.lost(agent, what, run);
        }
    }

    fn lost(&mut self, agent: Name, reason: &str, run: &mut Run) {
        if self.teardown.is_some() {
            return;
        }
        self.crew.lose(&agent);
        run.handle(Input::AgentLost { agent, reason: reason.to_owned() }, Instant::now());
    }

    /// The second Ctrl-C: the keeper kills everything, and nobody waits for it.
    fn leave_at_once(&mut self, abort: Abort) -> Exit {
        if let Some(teardown) = self.teardown.take() {
            // it owns the environment, and dropping that has the keeper kill everything
            teardown.abort();
        }
        if let Some(mut environment) = self.environment.take() {
            environment.end_now();
        }
        match abort {
            Abort::Terminated => Exit::Terminated,
            Abort::Interrupted | Abort::Deadline => Exit::Interrupted,
        }
    }
}

/// What this process's own links carried, for the same record that the agents give of theirs.
fn own_bytes(mesh: &Mesh) -> Happening {
    let links = mesh.links();
    let by_name = |bytes: fn(&meshproof_mesh::LinkInfo) -> u64| {
        links.iter().filter_map(|link| Some((link.name.parse().ok()?, bytes(link)))).collect()
    };
    let sent = by_name(|link| link.bytes_sent);
    let received = by_name(|link| link.bytes_received);
    Happening::Fact(Fact::LinkBytes { sent, received })
}

/// The next value, or never when there is no source of them.
async fn receive<T>(source: Option<&mut mpsc::Receiver<T>>) -> Option<T> {
    match source {
        Some(source) => source.recv().await,
        None => std::future::pending().await,
    }
}
