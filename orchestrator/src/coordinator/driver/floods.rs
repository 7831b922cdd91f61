//! An agent that floods its orchestrator, over a real mesh and with a token that is good, and another one that does not.

mod measured;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use meshproof_mesh::rtc::RtcConfig;
use meshproof_mesh::{ByteStream, MeshConfig, NoLink};
use meshproof_proto::event::{Event, EventBatch};
use meshproof_proto::frame::EventFrame;
use meshproof_proto::id::{Digest, Name, RunId};
use meshproof_proto::identity::{Capability, Grant, Key, Role, Token, UnixSeconds};
use meshproof_proto::limits::EVENTS_PER_BATCH;
use meshproof_proto::rpc::{AgentClient, AgentRequest, AgentResponse};

use super::*;
use crate::plan::{Inputs, check};
use crate::run::{FirstFailure, Flaky};

/// Whoever waits longer waits for something that does not come.
const PATIENCE: Duration = Duration::from_secs(60);

const PLAN: &str =
    "meshproof: 1\nplan: p\nservices:\n  a: { exec: { argv: [a] } }\ntests:\n  - id: t\n    steps: [{ say: hello }]\n";

fn name(text: &str) -> Name {
    text.parse().expect("a good name")
}

/// A place in a mesh of its own.
struct World {
    url: String,
    server: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.cancel();
    }
}

impl World {
    async fn new() -> Self {
        let (url, server) = crate::local::testing::signaling(name("dev"), root().public()).await;
        Self { url, server }
    }
}

fn root() -> Key {
    Key::from_seed([1; 32])
}

fn join(url: &str, who: &str, role: Role) -> (Mesh, mpsc::Receiver<MeshEvent>) {
    let token = Token::issue(&root(), Digest::of(who.as_bytes()).0, |token| Grant {
        mesh: name("dev"),
        names: who.to_owned(),
        role,
        capabilities: Capability::ALL.into(),
        not_after: UnixSeconds(u64::MAX / 2),
        token,
    });
    Mesh::join(MeshConfig {
        mesh: name("dev"),
        name: name(who),
        token,
        signaling: vec![url.to_owned()],
        rtc: RtcConfig { addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], ..RtcConfig::default() },
        proxies: Default::default(),
        authorities: Default::default(),
    })
    .expect("a good token")
}

/// An orchestrator that takes what comes from its two agents, and the honest one of them.
struct Scene {
    _world: World,
    folder: tempfile::TempDir,
    honest: Agent,
    taking: JoinHandle<()>,
}

/// A peer with an agent's token.
struct Agent {
    mesh: Mesh,
    events: mpsc::Receiver<MeshEvent>,
    orchestrator: PeerId,
    client: AgentClient,
}

impl Agent {
    /// Waits for the orchestrator's link.
    async fn linked((mesh, mut events): (Mesh, mpsc::Receiver<MeshEvent>)) -> Self {
        let up = loop {
            if let MeshEvent::LinkUp(up) = events.recv().await.expect("the mesh lives") {
                break up;
            }
        };
        let orchestrator = up.peer.peer;
        let (client, _) = up.rpc.split::<AgentRequest, AgentResponse, AgentRequest, AgentResponse>();
        let client = AgentClient::new(tarpc::client::Config::default(), client).spawn();
        Self { mesh, events, orchestrator, client }
    }

    /// A link that ended takes nothing.
    async fn send(&self, numbers: std::ops::Range<u64>) -> Result<(), NoLink> {
        let fact = || Fact::Gap { lost: 0 };
        let event = |seq| Event { run: RunId("r-1".to_owned()), seq, at_ms: 0, fact: fact() };
        let batch = EventBatch { instance: self.mesh.me(), events: numbers.map(event).collect() };
        self.mesh.send_events(self.orchestrator, EventFrame::Batch(batch)).await
    }

    /// Tries to get in again.
    async fn come_back(&mut self) {
        self.mesh.connect(self.orchestrator).await;
        let _ = tokio::time::timeout(Duration::from_millis(10), self.events.recv()).await;
    }

    /// One event after the other, each acknowledged before the next is sent; how long each took.
    async fn report(&mut self, numbers: std::ops::Range<u64>) -> Vec<Duration> {
        let mut times = Vec::new();
        for number in numbers {
            let began = Instant::now();
            self.send(number..number + 1).await.expect("an honest agent has a link");
            self.acknowledged(number).await;
            times.push(began.elapsed());
        }
        times
    }

    async fn acknowledged(&mut self, number: u64) {
        loop {
            match self.events.recv().await.expect("the mesh lives") {
                MeshEvent::Events { frame: EventFrame::Ack { through, .. }, .. } if through >= number => return,
                MeshEvent::LinkLost { loss, .. } => panic!("an honest agent lost its link: {loss}"),
                _ => {}
            }
        }
    }

    /// Why it was left.
    async fn told_why(&mut self) -> String {
        loop {
            match self.events.recv().await.expect("the mesh lives") {
                MeshEvent::LinkLost { loss, .. } => return loss.to_string(),
                MeshEvent::LinkSuspect { reason, .. } => return reason,
                _ => {}
            }
        }
    }
}

impl Scene {
    /// With the hostile agent.
    async fn new() -> (Self, Agent) {
        let world = World::new().await;
        let hostile = join(&world.url, "hostile", Role::Agent);
        tokio::join!(Self::of(world), Agent::linked(hostile))
    }

    /// The hostile agent comes by itself.
    async fn of(world: World) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut driver, mut run) = driver(folder.path());
        let (mesh, mut events) = join(&world.url, "orchestrator", Role::Orchestrator);
        let honest = join(&world.url, "honest", Role::Agent);
        let gathering = async {
            let mut linked = 0;
            while linked < 2 {
                match events.recv().await.expect("the mesh lives") {
                    MeshEvent::PeerJoined(identity) => {
                        driver.crew.seat(identity.name, identity.peer);
                        mesh.connect(identity.peer).await;
                    }
                    MeshEvent::LinkUp(up) => linked += usize::from(driver.crew.linked(up).is_some()),
                    _ => {}
                }
            }
        };
        let ((), honest) = tokio::join!(gathering, Agent::linked(honest));
        (driver.mesh, driver.mesh_events) = (Some(mesh), Some(events));
        let taking = tokio::spawn(async move { driver.take_all(&mut run).await });
        Self { _world: world, folder, honest, taking }
    }

    /// What the journal has of an agent.
    async fn journal(self, of: &str) -> usize {
        self.taking.abort();
        let _ = self.taking.await;
        let records = journal::read(&self.folder.path().join(journal::FILE_NAME)).expect("it is whole");
        records.iter().filter(|record| record.entry.from == of).count()
    }
}

fn driver(out: &std::path::Path) -> (Driver, Conducted) {
    let checked = check("plan.yaml", PLAN.as_bytes(), &Inputs { dir: "/plans".to_owned(), ..Inputs::default() });
    let (plan, source) = (Arc::new(checked.plan.expect("a plan")), Arc::new(checked.source));
    let mut options = Options::new(RunId("r-1".to_owned()), "/plans".into());
    options.out = out.to_owned();
    let driver = Driver::new(Arc::clone(&plan), Arc::clone(&source), options).expect("a journal");
    let setup = Setup {
        authority: driver.authority.clone(),
        seed: 1,
        plan_dir: "/plans".to_owned(),
        flaky: Flaky::default(),
        first_failure: FirstFailure::default(),
    };
    let run = Conducted::new(Run::new(plan, source, setup, Instant::now()), Instant::now());
    (driver, run)
}

impl Driver {
    /// The loop of [`Driver::live`], of a run that has not begun.
    async fn take_all(&mut self, run: &mut Conducted) {
        loop {
            match self.wake((None, None)).await {
                Wake::Mesh(event) => self.mesh_event(event, run).await.expect("it is taken"),
                Wake::Acknowledge => self.acknowledge().await.expect("it is synced"),
                Wake::StoodBy(answer) => self.stood_by(*answer, run).expect("it is told"),
                Wake::Input(_) | Wake::Notice(_) | Wake::Signal(_) | Wake::Adopted(_) | Wake::Overdue | Wake::Time => {}
                Wake::Asked(asked) => self.tell_figures(asked, run),
                Wake::Stored(_) | Wake::Store | Wake::Superseded => {}
            }
        }
    }
}

/// What the hostile agent does without an end.
#[derive(Debug, Clone, Copy)]
enum Flood {
    /// As many events as the protocol lets it.
    Events,
    /// More than that.
    Ahead,
    /// Streams that nobody asked for.
    Streams,
    /// Calls that nobody answers.
    Calls,
}

impl Flood {
    async fn go_on(self, mut agent: Agent) {
        let (mut next, mut opened) = (1, Vec::<ByteStream>::new());
        let full = EVENTS_PER_BATCH as u64;
        loop {
            match self {
                Self::Events => {
                    for _ in 0..meshproof_proto::limits::BATCHES_ON_THE_WAY {
                        agent.send(next..next + full).await.expect("it keeps to the protocol");
                        next += full;
                    }
                    agent.acknowledged(next - 1).await;
                }
                Self::Ahead => match agent.send(next..next + full).await {
                    Ok(()) => next += full,
                    Err(NoLink) => agent.come_back().await,
                },
                Self::Streams => match agent.mesh.open_stream(agent.orchestrator, Vec::new()).await {
                    Ok(stream) => opened.push(stream),
                    Err(NoLink) => {
                        opened.clear();
                        agent.come_back().await;
                    }
                },
                Self::Calls => {
                    let calls = (0..64).map(|_| agent.client.ping(tarpc::context::current(), 0));
                    let all = futures::future::join_all(calls);
                    let _ = tokio::time::timeout(Duration::from_millis(10), all).await;
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn others_are_served_during(flood: Flood) {
    const REPORTS: u64 = 40;
    let (Scene { _world, folder, mut honest, taking }, hostile) = Scene::new().await;
    let flooding = tokio::spawn(flood.go_on(hostile));
    let reporting = tokio::time::timeout(PATIENCE, honest.report(1..REPORTS + 1)).await;
    assert_eq!(reporting.expect("all of it is acknowledged").len() as u64, REPORTS);
    assert!(!flooding.is_finished(), "{flood:?} went on until then");
    flooding.abort();
    taking.abort();
    let _ = taking.await;
    let records = journal::read(&folder.path().join(journal::FILE_NAME)).expect("it is whole");
    assert_eq!(records.iter().filter(|record| record.entry.from == "honest").count() as u64, REPORTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_agent_sends_all_that_it_may_every_event_of_another_one_is_taken() {
    others_are_served_during(Flood::Events).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_agent_sends_more_than_it_may_every_event_of_another_one_is_taken() {
    others_are_served_during(Flood::Ahead).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_agent_opens_streams_or_calls_without_an_end_every_event_of_another_one_is_taken() {
    others_are_served_during(Flood::Streams).await;
    others_are_served_during(Flood::Calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_floods_is_cut_off_hears_why_and_fills_no_journal() {
    let (mut scene, mut hostile) = Scene::new().await;
    scene.honest.report(1..3).await;
    let far = 1_000_000;
    hostile.send(far..far + 2).await.expect("it has a link so far");
    let why = tokio::time::timeout(PATIENCE, hostile.told_why()).await.expect("it is told");
    assert!(why.contains("it floods: event 1000001 came before 0 was acknowledged"), "{why}");
    hostile.mesh.connect(hostile.orchestrator).await;
    scene.honest.report(3..10).await;
    let link = hostile.mesh.links().into_iter().find(|link| link.peer == hostile.orchestrator);
    assert!(link.is_none_or(|link| link.state != "up"), "it is not let in again");
    assert_eq!(scene.journal("hostile").await, 0);
}
