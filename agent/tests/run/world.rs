//! A signaling server, agents, and an orchestrator that journals and acknowledges, all in this process over real connections.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use meshproof_agent::audit::Audit;
use meshproof_agent::outbox::Store;
use meshproof_agent::permits::Settings;
use meshproof_agent::session::{Allowed, Session};
use meshproof_mesh::blobs::{HeldBlob, serve};
use meshproof_mesh::rtc::RtcConfig;
use meshproof_mesh::{Mesh, MeshConfig, MeshEvent};
use meshproof_proto::event::{Event, Fact, StepResult};
use meshproof_proto::frame::EventFrame;
use meshproof_proto::id::{Digest, Name, PeerId, RunId, Term};
use meshproof_proto::identity::{Capability, Grant, Key, Role, Token, UnixSeconds};
use meshproof_proto::order::{
    Adopt, Authority, Initialize, Initialized, NameTerm, ServicePlace, StepKey, StubOrder, Transport, TunnelOrder,
    Unmatched,
};
use meshproof_proto::rpc::{AgentClient, AgentRequest, AgentResponse};
use tarpc::context;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn name(text: &str) -> Name {
    text.parse().expect("a good name")
}

pub fn authority() -> Authority {
    Authority { run: RunId("r1".to_owned()), term: Term(1), plan: Digest([3; 32]) }
}

pub fn key(step: &str) -> StepKey {
    StepKey { test: "t".to_owned(), step: step.to_owned(), attempt: 1 }
}

pub struct World {
    root: Key,
    url: String,
    stop: CancellationToken,
}

impl World {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}/mesh", listener.local_addr().expect("bound"));
        let root = Key::from_seed([1; 32]);
        let stop = CancellationToken::new();
        let config = meshproof_signaling::Config::new(vec![(name("dev"), root.public())]);
        tokio::spawn(meshproof_signaling::serve(listener, config, stop.clone()));
        Self { root, url, stop }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token of an agent that may do everything.
    pub fn token(&self, who: &str) -> Token {
        self.token_for(who, Role::Agent)
    }

    fn token_for(&self, who: &str, role: Role) -> Token {
        Token::issue(&self.root, Digest::of(who.as_bytes()).0, |token| Grant {
            mesh: name("dev"),
            names: who.to_owned(),
            role,
            capabilities: Capability::ALL.into(),
            not_after: UnixSeconds(u64::MAX / 2),
            token,
        })
    }

    pub fn join(&self, who: &str, role: Role) -> (Mesh, mpsc::Receiver<MeshEvent>) {
        let token = self.token_for(who, role);
        let config = MeshConfig {
            mesh: name("dev"),
            name: name(who),
            token,
            signaling: vec![self.url.clone()],
            rtc: RtcConfig { addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], ..RtcConfig::default() },
            proxies: Default::default(),
            authorities: Default::default(),
        };
        Mesh::join(config).expect("a good token")
    }

    /// An agent with these capabilities, until the world ends.
    pub fn agent(&self, who: &str, capabilities: &[Capability]) {
        self.agent_with(who, capabilities, None);
    }

    /// One that may do everything, and keeps what it saw in this folder.
    pub fn keeping_agent(&self, who: &str, state: &Path) -> CancellationToken {
        self.agent_with(who, &Capability::ALL, Some(Store::in_directory(state)))
    }

    /// Until the world ends, or what is given back is cancelled.
    fn agent_with(&self, who: &str, capabilities: &[Capability], outboxes: Option<Store>) -> CancellationToken {
        let joined = self.join(who, Role::Agent);
        let capabilities = capabilities.iter().copied().collect();
        let settings = Settings { shell: true, ..Settings::default() };
        let (audit, signaling) = (Audit::default(), vec![self.url.clone()]);
        let allowed =
            Allowed { capabilities, audit, news: None, outboxes, settings, signaling, standing: Default::default() };
        let stop = self.stop.child_token();
        tokio::spawn(Session::new(joined, name(who), allowed).run(stop.clone()));
        stop
    }

    /// An orchestrator that is linked to these agents.
    pub async fn orchestrator(&self, agents: &[&str]) -> Orchestrator {
        self.caller("orchestrator", Role::Orchestrator, agents).await
    }

    /// Whoever calls these agents, in this role.
    pub async fn caller(&self, who: &str, role: Role, agents: &[&str]) -> Orchestrator {
        let (mesh, events) = self.join(who, role);
        let mut orchestrator = Orchestrator {
            mesh,
            events,
            agents: BTreeMap::new(),
            journal: BTreeMap::new(),
            origins: BTreeMap::new(),
            offers: None,
            given: Arc::default(),
        };
        let wanted: Vec<Name> = agents.iter().map(|agent| name(agent)).collect();
        orchestrator.until(|orchestrator| orchestrator.agents.keys().eq(&wanted)).await;
        orchestrator
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub struct Orchestrator {
    mesh: Mesh,
    events: mpsc::Receiver<MeshEvent>,
    agents: BTreeMap<Name, (PeerId, AgentClient)>,
    journal: BTreeMap<Name, Vec<Event>>,
    /// The first instance of each name.
    origins: BTreeMap<Name, PeerId>,
    /// What agents get from here, and how many bytes of it they did.
    pub offers: Option<Arc<HeldBlob>>,
    pub given: Arc<AtomicU64>,
}

impl Orchestrator {
    /// Leaves the mesh, and says so.
    pub async fn leave(self) {
        self.mesh.leave().await;
    }

    pub fn roster(&self) -> BTreeMap<Name, PeerId> {
        self.agents.iter().map(|(name, (peer, _))| (name.clone(), *peer)).collect()
    }

    pub fn client(&self, agent: &str) -> AgentClient {
        self.agents[&name(agent)].1.clone()
    }

    pub fn facts(&self, agent: &str) -> Vec<Fact> {
        self.journal.get(&name(agent)).into_iter().flatten().map(|event| event.fact.clone()).collect()
    }

    /// When an agent began a step, by its clock.
    pub fn when(&self, agent: &str, key: &StepKey) -> u64 {
        let is_it = |event: &&Event| event.fact == Fact::StepStarted { key: key.clone() };
        self.journal[&name(agent)].iter().find(is_it).expect("it has begun").at_ms
    }

    /// Sets up the run at an agent whose service has this port, with tunnels to the `tcp` port of others.
    pub async fn initialize(&self, agent: &str, port: Option<&str>, tunnels: &[&str]) -> Initialized {
        let ports = port.map(|address| ("tcp".to_owned(), address.to_owned())).into_iter().collect();
        let tunnels = tunnels
            .iter()
            .map(|to| TunnelOrder { to: name(to), port: "tcp".to_owned(), transport: Transport::Tcp })
            .collect();
        let service = ServicePlace { ports, ..ServicePlace::default() };
        self.set_up(agent, Initialize { service, tunnels, ..self.setting() }).await
    }

    /// Sets up the run at an agent whose service takes datagrams at this port, or that reaches the `dns` port of another.
    pub async fn initialize_for_datagrams(&self, agent: &str, port: Option<&str>, reaches: &[&str]) -> Initialized {
        let ports = port.map(|address| ("dns".to_owned(), address.to_owned())).into_iter().collect();
        let transport = Transport::Udp;
        let tunnels =
            reaches.iter().map(|to| TunnelOrder { to: name(to), port: "dns".to_owned(), transport }).collect();
        let service = ServicePlace { ports, datagrams: ["dns".to_owned()].into(), ..ServicePlace::default() };
        self.set_up(agent, Initialize { service, tunnels, ..self.setting() }).await
    }

    /// Sets up the run at an agent with a stub that has no routes; gives its address.
    pub async fn initialize_with_stub(&self, agent: &str, stub: &str) -> String {
        let order = StubOrder { unmatched: Unmatched::Answer(404), ..StubOrder::http(stub, Vec::new()) };
        self.initialize_run_with_stub(agent, authority(), order).await
    }

    /// Sets up this run at an agent with this stub; gives its address.
    pub async fn initialize_run_with_stub(&self, agent: &str, authority: Authority, order: StubOrder) -> String {
        let stub = order.name.clone();
        let setting = Initialize { authority, stubs: vec![order], ..self.setting() };
        self.set_up(agent, setting).await.stubs[&stub].clone()
    }

    /// What the instance of an agent that is linked now is told to take over.
    pub fn adoption(&self, agent: &str, number: u64, ports: Initialized) -> Adopt {
        let origin = self.origins[&name(agent)];
        let term = NameTerm { run: Term(1), number };
        let journaled = self.journal[&name(agent)].len() as u64;
        Adopt { setting: self.setting(), term, ports, processes: Vec::new(), origin, journaled, held: None }
    }

    pub fn setting(&self) -> Initialize {
        Initialize {
            authority: authority(),
            roster: self.roster(),
            service: ServicePlace::default(),
            stubs: Vec::new(),
            tunnels: Vec::new(),
            seed: 7,
            secrets: Default::default(),
            network: None,
            api: None,
            certificates: BTreeMap::new(),
            blobs: Vec::new(),
            guests: Vec::new(),
            links: Vec::new(),
        }
    }

    /// Knows these events of an agent, which another orchestrator has acknowledged.
    pub fn recalls(&mut self, agent: &str, origin: PeerId, events: Vec<Event>) {
        self.origins.insert(name(agent), origin);
        self.journal.insert(name(agent), events);
    }

    pub async fn set_up(&self, agent: &str, order: Initialize) -> Initialized {
        let answer = self.client(agent).initialize(context::current(), Box::new(order)).await;
        answer.expect("answered").expect("taken")
    }

    /// Takes what comes until the condition holds.
    pub async fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !holds(self) {
                let event = self.events.recv().await.expect("the mesh lives");
                self.take(event).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it comes in time");
    }

    /// Takes what comes until it is this.
    pub async fn sees(&mut self, wanted: impl Fn(&MeshEvent) -> bool) {
        let waiting = async {
            loop {
                let event = self.events.recv().await.expect("the mesh lives");
                let seen = wanted(&event);
                self.take(event).await;
                if seen {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it comes in time");
    }

    /// Does something while taking what comes.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        self.during_long(tokio::time::timeout(PATIENCE, work)).await.expect("it ends in time")
    }

    /// As [`during`](Self::during), for work that has a bound of its own.
    pub async fn during_long<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(event) = self.events.recv() => self.take(event).await,
            }
        }
    }

    /// Waits for the end of a step.
    pub async fn ended(&mut self, agent: &str, key: &StepKey) -> StepResult {
        let find = |orchestrator: &Self| {
            orchestrator.facts(agent).into_iter().find_map(|fact| match fact {
                Fact::StepEnded { key: ended, result } if ended == *key => Some(result),
                _ => None,
            })
        };
        self.until(|orchestrator| find(orchestrator).is_some()).await;
        find(self).expect("waited for")
    }

    async fn take(&mut self, event: MeshEvent) {
        match event {
            MeshEvent::PeerJoined(peer) if peer.role == Role::Agent => self.mesh.connect(peer.peer).await,
            MeshEvent::LinkUp(up) => {
                let (client, _) = up.rpc.split::<AgentRequest, AgentResponse, AgentRequest, AgentResponse>();
                let client = AgentClient::new(tarpc::client::Config::default(), client).spawn();
                self.agents.insert(up.peer.name, (up.peer.peer, client));
            }
            MeshEvent::Events { peer, frame: EventFrame::Batch(batch), .. } => {
                // whoever comes after the first goes on with its numbers
                assert_eq!(batch.instance, *self.origins.entry(peer.name.clone()).or_insert(peer.peer));
                let journal = self.journal.entry(peer.name.clone()).or_default();
                for event in batch.events {
                    let next = journal.len() as u64 + 1;
                    assert!(event.seq <= next, "a gap before {event:?}");
                    if event.seq == next {
                        journal.push(event);
                    }
                }
                let ack = EventFrame::Ack { instance: batch.instance, through: journal.len() as u64 };
                self.mesh.send_events(peer.peer, ack).await.expect("linked");
            }
            MeshEvent::Stream { stream, .. } => {
                let (offers, given) = (self.offers.clone().expect("only blobs are asked for"), Arc::clone(&self.given));
                tokio::spawn(async move {
                    // whoever asks may be killed
                    let bytes = serve(stream, &offers).await.unwrap_or_default();
                    given.fetch_add(bytes, Ordering::Relaxed);
                });
            }
            _ => {}
        }
    }
}
