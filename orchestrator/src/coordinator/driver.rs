//! The loop of a run: waits for agents, processes, signals and time, and does what the run says.

#[cfg(test)]
mod floods;
mod wake;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use meshproof_mesh::{Mesh, MeshEvent, Turn};
use meshproof_proto::event::Fact;
use meshproof_proto::id::{Name, PeerId, Term};
use meshproof_proto::order::{Authority, Initialize, Initialized, millis};
use meshproof_proto::secrets::Secrets;
use meshproof_proto::verdict::Exit;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::crew::Crew;
use super::failover::Failovers;
use super::files::Files;
use super::followers::Followers;
use super::front::{Front, Person};
use super::health::{Health, Stage};
use super::outcome::Broken;
use super::programs::Answering;
use super::remembering::{Stored, stored_by};
use super::scribe::Scribe;
use super::signals::Signals;
use super::stall::GivenUp;
use super::standbys::Standbys;
use super::windows::Windows;
use super::witness::Lengths;
use super::{Options, build, limits, network};
use crate::cluster::Cluster;
use crate::journal::{self, Journal};
use crate::local::{LocalEnvironment, Notice, Release};
use crate::memory::Conducted;
use crate::plan::{Plan, Source};
use crate::progress::Progress;
use crate::record::{Entry, Happening, now_ms};
use crate::run::{Abort, Input, Output, Run, Setup};
use wake::Wake;
pub(super) use wake::receive;

/// Everything a run needs while it goes on.
pub(super) struct Driver {
    pub(super) plan: Arc<Plan>,
    pub(super) source: Arc<Source>,
    pub(super) options: Options,
    pub(super) authority: Authority,
    pub(super) scribe: Scribe,
    /// What nobody gets to see: the plan's secrets, and the private keys that the run makes.
    pub(super) confided: Secrets,
    pub(super) crew: Crew,
    /// Names that change hands.
    pub(super) failovers: Failovers,
    /// Files that agents get from here.
    pub(super) files: Files,
    /// People who follow the run over the mesh.
    pub(super) followers: Followers,
    /// Instances that hold no name.
    pub(super) standbys: Standbys,
    /// What each agent was told of the run, and where it listens.
    pub(super) settings: BTreeMap<Name, (Initialize, Initialized)>,
    /// What the services had printed when the test that is going on began.
    pub(super) said: Lengths,
    /// The processes of each service.
    pub(super) processes: BTreeMap<Name, Vec<i32>>,
    /// How many processes of each agent have ended.
    pub(super) ended: BTreeMap<Name, usize>,
    pub(super) environment: Option<LocalEnvironment>,
    /// The namespace that was made for it.
    pub(super) cluster: Option<Cluster>,
    /// Lets go of the environment, wherever it is.
    pub(super) release: Release,
    /// The ports of each service.
    pub(super) ports: BTreeMap<Name, BTreeMap<String, u16>>,
    /// Agents that are storing what is to be remembered.
    pub(super) storing: JoinSet<Stored>,
    pub(super) notices: Option<mpsc::Receiver<Notice>>,
    pub(super) mesh: Option<Mesh>,
    pub(super) mesh_events: Option<mpsc::Receiver<MeshEvent>>,
    pub(super) inbox_in: mpsc::Sender<Input>,
    pub(super) inbox: mpsc::Receiver<Input>,
    pub(super) teardown: Option<JoinHandle<()>>,
    /// What our links carried, counted before they went.
    pub(super) carried: Arc<OnceLock<Happening>>,
    /// What is in the journal and not yet acknowledged, in its order.
    pub(super) unacked: VecDeque<Unacked>,
    /// Lines of the journal that are on disk: what stands there may be acknowledged.
    pub(super) on_disk: watch::Receiver<u64>,
    /// Acknowledgements that a link did not take, or that may wait a little.
    pub(super) untold: BTreeMap<PeerId, u64>,
    /// When they are tried again.
    pub(super) acknowledge_at: Option<Instant>,
    /// How far ahead of acknowledgements agents are.
    pub(super) windows: Windows,
    /// Turns of those that have had their share of the next sync.
    pub(super) resting: Vec<Turn>,
    /// Lines that were on disk when that was looked at last.
    pub(super) synced: u64,
    /// Something did not hold, so what the services left is kept.
    pub(super) failed: bool,
    /// Signaling servers that were there and are not.
    pub(super) away: BTreeSet<String>,
    /// Answers of the environment, which come at once.
    pub(super) pending: VecDeque<Input>,
    /// Which file the journal is.
    pub(super) journal: Option<u64>,
    /// Who can press keys at the terminal.
    pub(super) person: Option<Person>,
    /// What programs are told.
    pub(super) answering: Answering,
    /// Who asks how the run is.
    pub(super) health: Option<Health>,
}

/// Events of one instance that the journal has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unacked {
    pub(super) instance: PeerId,
    pub(super) through: u64,
    /// The journal's last line about them.
    pub(super) line: u64,
}

impl Driver {
    /// Opens the journal; nothing else is made yet.
    pub(super) fn new(plan: Arc<Plan>, source: Arc<Source>, options: Options) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&options.out)
            .map_err(|error| anyhow::anyhow!("cannot make the folder {}: {error}", options.out.display()))?;
        let health = options.health.map(|address| Health::at(address, Stage::Preparing)).transpose()?;
        let journal = Journal::create(&options.out.join(journal::FILE_NAME))?;
        clear(&options.out)?;
        let progress = Progress::new(options.mode, Arc::clone(&source), options.out.clone());
        let progress = progress.with_level(options.status_level).with_failure_output(options.failure_output);
        let confided = plan.secrets.clone();
        let authority = Authority { run: options.run.clone(), term: Term(1), plan: plan.digest };
        let out = options.out.clone();
        let (inbox_in, inbox) = mpsc::channel(limits::INBOX);
        let scribe = Scribe::new(journal, progress, confided.masker()?);
        Ok(Self {
            plan,
            source,
            options,
            authority,
            on_disk: scribe.on_disk(),
            scribe,
            confided,
            crew: Crew::default(),
            failovers: Failovers::default(),
            files: Files::default(),
            followers: Followers::default(),
            standbys: Standbys::default(),
            settings: BTreeMap::new(),
            said: Lengths::default(),
            processes: BTreeMap::new(),
            ended: BTreeMap::new(),
            environment: None,
            cluster: None,
            release: Release::default(),
            ports: BTreeMap::new(),
            storing: JoinSet::new(),
            notices: None,
            mesh: None,
            mesh_events: None,
            inbox_in,
            inbox,
            teardown: None,
            carried: Arc::default(),
            unacked: VecDeque::new(),
            untold: BTreeMap::new(),
            acknowledge_at: None,
            windows: Windows::default(),
            resting: Vec::new(),
            synced: 0,
            failed: false,
            away: BTreeSet::new(),
            pending: VecDeque::new(),
            journal: super::superseded::number(&out),
            person: None,
            answering: Answering::default(),
            health,
        })
    }

    /// From the first record to the exit code.
    pub(super) async fn drive(mut self) -> Exit {
        let setup = self.setup();
        let now = Instant::now();
        let run = Run::new(Arc::clone(&self.plan), Arc::clone(&self.source), setup, now);
        let result = Box::pin(self.live(&mut Conducted::new(run, now))).await;
        self.leave(result).await
    }

    /// Everything is over; gives what the process exits with.
    pub(super) async fn leave(mut self, result: anyhow::Result<Exit>) -> Exit {
        self.tell_followers().await;
        if let Some(mesh) = self.mesh.take() {
            mesh.leave().await;
        }
        let exit = match result {
            Ok(exit) => exit,
            Err(error) => {
                if let Some(GivenUp::Aborted(abort)) = error.downcast_ref() {
                    crate::say::note(format_args!("the run was given up: {error}"));
                    return self.leave_at_once(*abort);
                }
                let error = format!("{error:#}");
                let why = format!("the run was given up: {}", self.scribe.masker().mask(&error));
                crate::say::failed(&why, Exit::MeshFailed)
            }
        };
        self.scribe.finish(exit).await
    }

    /// What is in the journal goes to those who follow the run, while the mesh is attended to.
    async fn tell_followers(&mut self) {
        let Some(events) = &mut self.mesh_events else { return };
        let taking = async { while events.recv().await.is_some() {} };
        tokio::select! {
            () = self.followers.are_told() => {}
            () = taking => {}
        }
    }

    /// What a machine is made with.
    pub(super) fn setup(&self) -> Setup {
        Setup {
            authority: self.authority.clone(),
            seed: self.options.seed,
            plan_dir: self.options.plan_dir.to_string_lossy().into_owned(),
            flaky: self.options.flaky,
            first_failure: self.options.first_failure,
        }
    }

    async fn live(&mut self, run: &mut Conducted) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen(self.options.deadline)?.or(self.options.stop.clone());
        let mut begun_to_front = None;
        if let Some(front) = Front::of_this_process()? {
            let (person, begun) = front.attend(self.options.run.clone(), self.scribe.curtain());
            (self.person, begun_to_front) = (Some(person), Some(begun));
        }
        if let Some(exit) = self.perform(run).await? {
            return Ok(exit);
        }
        let begun = match self.get_ready(&mut signals).await {
            Ok(begun) => begun,
            Err(abort) => return Ok(self.leave_at_once(abort)),
        };
        let aborted = matches!(begun, Input::Abort(_));
        match begun {
            Input::Begin(setting) => {
                self.begin(*setting, run);
                // whoever waits for it may have gone
                begun_to_front.map(|begun| begun.send(()));
            }
            other => run.handle(other, Instant::now()),
        }
        self.go_on(run, (signals, aborted)).await
    }

    /// Until the run is over.
    pub(super) async fn go_on(
        &mut self,
        run: &mut Conducted,
        (mut signals, mut aborted): (Signals, bool),
    ) -> anyhow::Result<Exit> {
        self.goes_on();
        loop {
            if let Some(exit) = self.perform(run).await? {
                return Ok(exit);
            }
            if let Some(lasted) = self.scribe.take_stood_still() {
                run.handle(Input::StoodStill { lasted_ms: millis(lasted) }, Instant::now());
                continue;
            }
            let store_at = self.remember(run);
            let wake = tokio::select! {
                wake = self.wake((run.poll_timeout(), store_at)) => wake,
                abort = signals.next() => Wake::Signal(abort),
            };
            match wake {
                Wake::Input(input) => self.input(input, run)?,
                Wake::Mesh(event) => self.mesh_event(event, run).await?,
                Wake::Notice(Some(notice)) => self.notice(notice, run)?,
                Wake::Notice(None) => self.keeper_gone(run),
                // It is ending already.
                Wake::Signal(Abort::Deadline) if aborted => {}
                Wake::Signal(abort) if aborted => return Ok(self.leave_at_once(abort)),
                Wake::Signal(abort) => {
                    aborted = true;
                    run.handle(Input::Abort(abort), Instant::now());
                }
                Wake::Acknowledge => self.acknowledge().await?,
                Wake::Adopted(answered) => self.answered(*answered, run)?,
                Wake::StoodBy(answer) => self.stood_by(*answer, run)?,
                Wake::Overdue => self.failovers_overdue(),
                Wake::Stored(stored) => stored_by(stored, run),
                // Done with whatever else there is to do.
                Wake::Store => {}
                Wake::Asked(asked) => self.tell_figures(asked, run),
                Wake::Superseded => return self.follow_successor(signals).await,
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
        if let (Some(network), None) = (&plan.network, &self.options.mesh) {
            network::is_possible(network)?;
        }
        let project = build::Project { plan: &plan, dir: &self.options.plan_dir };
        build::build(project, &mut self.scribe, stop).await?;
        let setting = Box::pin(self.make_ready(stop)).await?;
        Ok(Input::Begin(Box::new(setting)))
    }

    /// Does everything the run asks for; gives the exit when it is over.
    async fn perform(&mut self, run: &mut Conducted) -> anyhow::Result<Option<Exit>> {
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
                    let what = self.explained(what).await;
                    self.record(now_ms(), what)?;
                }
                Output::Finished { exit, .. } => {
                    self.scribe.sync()?;
                    crate::report::write(&self.options.out)?;
                    return Ok(Some(exit));
                }
                Output::TearDown => self.tear_down(),
                other => self.order(other).await,
            }
        }
    }

    /// A failure to become ready gets the service's own words.
    pub(super) fn record(&mut self, at_ms: u64, mut what: Happening) -> anyhow::Result<()> {
        if let Happening::Failure(failure) = &mut what {
            self.failed = true;
            let service = failure.step.as_ref().and_then(|step| step.key.step.strip_prefix("ready."));
            if let Some(service) = service.and_then(|service| service.parse().ok()) {
                failure.evidence.extend(self.last_words(&service));
            }
        }
        if let (Happening::TestBegan { .. }, Some(environment)) = (&what, &self.environment) {
            self.said = Lengths::of(environment, self.plan.services.iter().map(|service| &service.name));
        }
        let begins = matches!(what, Happening::RunBegan { .. });
        self.scribe.write(Entry::own(at_ms, what))?;
        if begins {
            let invoked = super::invoked::invoked(&self.source, &self.options.arguments);
            self.scribe.write(Entry::own(at_ms, invoked))?;
        }
        Ok(())
    }

    fn input(&mut self, input: Input, run: &mut Conducted) -> anyhow::Result<()> {
        if let (Input::TornDown { .. }, Some(mesh)) = (&input, &self.mesh) {
            let carried = self.carried.get().cloned().unwrap_or_else(|| own_bytes(mesh));
            self.scribe.say(carried)?;
        }
        if let Input::ZoneKilled { zone, result: Ok(()), .. } = &input {
            self.zone_is_gone(zone, run)?;
        }
        run.handle(input, Instant::now());
        Ok(())
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
        // a namespace that nobody waits for is removed all the same
        drop(self.cluster.take());
        match abort {
            Abort::Terminated => Exit::Terminated,
            Abort::Interrupted => Exit::Interrupted,
            Abort::Deadline => Exit::Aborted,
        }
    }
}

/// Removes what an earlier run left in its folder, so that nothing of it is taken for this one's.
fn clear(out: &std::path::Path) -> anyhow::Result<()> {
    for folder in ["logs", "services"] {
        let path = out.join(folder);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                anyhow::bail!("cannot remove {}, which an earlier run left: {error}", path.display())
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// What this process's own links carried, for the same record that the agents give of theirs.
pub(super) fn own_bytes(mesh: &Mesh) -> Happening {
    let links = mesh.links();
    let by_name = |bytes: fn(&meshproof_mesh::LinkInfo) -> u64| {
        links.iter().filter_map(|link| Some((link.name.parse().ok()?, bytes(link)))).collect()
    };
    let sent = by_name(|link| link.bytes_sent);
    let received = by_name(|link| link.bytes_received);
    Happening::Fact(Fact::LinkBytes { sent, received })
}
