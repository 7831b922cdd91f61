//! The peer that a console is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use futures::future::join_all;
use meshproof_mesh::tls::BadAuthorities;
use meshproof_mesh::{ByteStream, JoinError, Mesh, MeshEvent, NoLink};
use meshproof_proto::header::StreamHeader;
use meshproof_proto::id::{BadName, Name, PeerId};
use meshproof_proto::identity::{Identity, Role};
use meshproof_proto::rpc::{AgentClient, AgentRequest, AgentResponse, Refusal, RoomNews};
use tarpc::client::RpcError;
use tarpc::context;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::commanders::Commanders;
use super::holding::Holding;
use super::limits::{ANSWER_WITHIN, LINK_WITHIN};
use super::look::{Answered, Look, Silent};
use super::meant::meant;
use super::people::{Heard, People, is_person};
use super::stubs::Stubs;
use crate::membership::{name_for, name_of};
use crate::mesh_file::MeshFile;

/// A console in a mesh.
#[derive(Debug)]
pub struct Console {
    file: MeshFile,
    mesh: Mesh,
    events: mpsc::Receiver<MeshEvent>,
    signaling: Signaling,
    agents: BTreeMap<PeerId, Agent>,
    /// None: this console is alone for itself.
    people: Option<People>,
    /// Those who command runs. None: whoever does is none of this console's business.
    commanders: Option<Commanders>,
    name: Name,
}

#[derive(Clone, Debug)]
struct Agent {
    name: Name,
    client: AgentClient,
}

#[derive(Debug)]
enum Signaling {
    /// Not reached yet; the last attempt's reason.
    Away(String),
    /// What is there is no signaling server that could be reached this way, and why.
    WrongWay(String),
    Up,
    Refused(String),
}

/// Why a console cannot look, or was not answered.
#[derive(Debug, Error)]
pub enum ConsoleError {
    #[error(transparent)]
    Name(#[from] BadName),
    #[error(transparent)]
    Authorities(#[from] BadAuthorities),
    #[error("cannot join the mesh: {0}")]
    Join(#[from] JoinError),
    #[error("cannot reach signaling at {urls}: {reason}")]
    WrongWay { urls: String, reason: String },
    #[error(
        "cannot reach signaling at {urls} within {LINK_WITHIN:?}: {reason}; start it again, or is its run over? Links that are up go on without it, but nobody can join to look at them"
    )]
    Unreachable { urls: String, reason: String },
    #[error("signaling will not have this console: {0}")]
    Refused(String),
    #[error("no answer within {ANSWER_WITHIN:?}")]
    Silent,
    #[error("the call broke: {0}")]
    Broken(#[from] RpcError),
    #[error(transparent)]
    Refusal(#[from] Refusal),
}

impl Console {
    /// Joins, under a name that nobody else has.
    ///
    /// # Errors
    /// The token is not good for it.
    pub fn join(file: MeshFile, addresses: Vec<IpAddr>) -> Result<Self, ConsoleError> {
        let pattern = file.token.granted().map_err(JoinError::Trust)?.names;
        Self::join_as(file, addresses, &name_for(&pattern))
    }

    /// Joins for a person, in whose name things are done.
    ///
    /// # Errors
    /// The token is not good for it.
    pub fn join_for(file: MeshFile, addresses: Vec<IpAddr>, person: &str) -> Result<Self, ConsoleError> {
        let pattern = file.token.granted().map_err(JoinError::Trust)?.names;
        Self::join_as(file, addresses, &name_of(&pattern, person))
    }

    fn join_as(file: MeshFile, addresses: Vec<IpAddr>, name: &str) -> Result<Self, ConsoleError> {
        let name: Name = name.parse()?;
        let (mesh, events) = Mesh::join(file.config(name.clone(), addresses)?)?;
        let signaling = Signaling::Away("it did not answer".to_owned());
        Ok(Self { file, mesh, events, signaling, agents: BTreeMap::new(), people: None, commanders: None, name })
    }

    /// Is together with the other people in the mesh from now on; what they say and do goes there.
    pub fn enter(&mut self, heard: mpsc::Sender<Heard>) {
        self.people = Some(People::new(heard));
    }

    /// Links to whoever commands runs, too. To be said before the mesh is attended to.
    pub fn seek_commanders(&mut self) {
        self.commanders = Some(Commanders::default());
    }

    /// Those who command runs and are linked.
    pub fn commanders(&self) -> impl Iterator<Item = PeerId> {
        self.commanders.iter().flat_map(Commanders::present)
    }

    /// Whether there are others, with no link yet.
    pub fn has_distant_commanders(&self) -> bool {
        let commands = |peer: &Identity| peer.role == Role::Orchestrator;
        self.mesh.roster().iter().any(|peer| commands(peer) && !self.is_commander(peer.peer))
    }

    fn is_commander(&self, peer: PeerId) -> bool {
        self.commanders.as_ref().is_some_and(|commanders| commanders.are_present(peer))
    }

    /// Does something for as long as this one is there who commands a run. None: it is not.
    pub async fn beside<T>(&mut self, commander: PeerId, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        while self.is_commander(commander) {
            tokio::select! {
                done = &mut work => return Some(done),
                Some(event) = self.events.recv() => self.take(event).await,
            }
        }
        None
    }

    /// The journal of the run that this one commands, as it is written.
    pub fn journal(&self, of: PeerId) -> impl Future<Output = Result<ByteStream, NoLink>> + use<> {
        let mesh = self.mesh.clone();
        async move { mesh.open_stream(of, StreamHeader::Journal.encode()).await }
    }

    /// Waits for links to the other people, a moment.
    pub async fn meet(&mut self) {
        let mut late = pin!(sleep(ANSWER_WITHIN));
        while !self.people.as_ref().is_none_or(|people| people.are_all(&self.mesh.roster())) {
            tokio::select! {
                Some(event) = self.events.recv() => self.take(event).await,
                () = &mut late => break,
            }
        }
    }

    /// Tells the other people; gives how many heard it.
    pub async fn tell(&mut self, news: &RoomNews) -> usize {
        match self.people.as_ref().map(|people| people.tell(news)) {
            Some(telling) => self.during(telling).await,
            None => 0,
        }
    }

    /// What it is called.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The mesh, as its file says it.
    pub fn file(&self) -> &MeshFile {
        &self.file
    }

    /// The next thing that happens in the mesh, to be taken by [`Self::take`]. Can be given up.
    pub async fn event(&mut self) -> Option<MeshEvent> {
        self.events.recv().await
    }

    /// The agents that these words mean: a name, a pattern, a group, or `all`.
    pub fn agents_named(&self, wanted: &str) -> Vec<(Name, AgentClient)> {
        meant(wanted, self.agents.values().map(|agent| (&agent.name, agent.client.clone())))
    }

    /// Links to every agent, or to as many as come in time.
    ///
    /// # Errors
    /// Signaling cannot be reached or will not have us.
    pub async fn gather(&mut self) -> Result<(), ConsoleError> {
        let mut late = pin!(sleep(LINK_WITHIN));
        while !self.is_complete() {
            tokio::select! {
                Some(event) = self.events.recv() => self.take(event).await,
                () = &mut late => break,
            }
        }
        self.is_in()
    }

    /// Whether signaling has let us in.
    ///
    /// # Errors
    /// It cannot be reached, or will not have us.
    pub fn is_in(&self) -> Result<(), ConsoleError> {
        let urls = || self.file.signaling.join(", ");
        match &self.signaling {
            Signaling::Up => Ok(()),
            Signaling::Away(reason) => Err(ConsoleError::Unreachable { urls: urls(), reason: reason.clone() }),
            Signaling::WrongWay(reason) => Err(ConsoleError::WrongWay { urls: urls(), reason: reason.clone() }),
            Signaling::Refused(reason) => Err(ConsoleError::Refused(reason.clone())),
        }
    }

    /// Takes what happens in the mesh for so long.
    pub async fn attend(&mut self, span: Duration) {
        self.during(sleep(span)).await;
    }

    /// Asks every agent what it sees.
    pub async fn look(&mut self) -> Look {
        let asking = self.agents.clone().into_iter().map(|(peer, agent)| async move {
            let answered = answer(async {
                let (about, links) =
                    tokio::join!(agent.client.about(context::current()), agent.client.links(context::current()));
                Ok(about?.and_then(|about| Ok((about, links.map_err(|error| Refusal::Failed(error.to_string()))??))))
            });
            (peer, agent.name.clone(), answered.await)
        });
        let mut look = Look {
            run: self.file.run.clone(),
            mesh: self.file.mesh.clone(),
            me: self.mesh.me(),
            roster: Vec::new(),
            answers: BTreeMap::new(),
            silent: Vec::new(),
        };
        for (peer, name, answered) in self.during(join_all(asking)).await {
            match answered {
                Ok((about, links)) => {
                    look.answers.insert(peer, Answered { about, links });
                }
                Err(error) => look.silent.push(Silent { name, why: error.to_string() }),
            }
        }
        look.roster = self.mesh.roster();
        look.silent.extend(self.missing());
        look.silent.sort_by(|left, right| left.name.cmp(&right.name));
        look
    }

    /// Asks every agent for the stubs that it plays.
    pub async fn stubs(&mut self) -> Stubs {
        let asking = self
            .agents
            .clone()
            .into_values()
            .map(|Agent { name, client }| async move { (name, answer(client.stubs(context::current())).await) });
        let mut seen = Stubs { run: self.file.run.clone(), stubs: Vec::new(), silent: Vec::new() };
        for (name, answered) in self.during(join_all(asking)).await {
            match answered {
                Ok(stubs) => seen.stubs.extend(stubs.into_iter().map(|stub| (name.clone(), stub))),
                Err(error) => seen.silent.push(Silent { name, why: error.to_string() }),
            }
        }
        seen.silent.extend(self.missing());
        seen.stubs.sort_by(|left, right| (&left.1.name, &left.0).cmp(&(&right.1.name, &right.0)));
        seen
    }

    /// Asks every agent what it holds of the run.
    pub async fn holdings(&mut self) -> Vec<Holding> {
        let asking = self
            .agents
            .clone()
            .into_values()
            .map(|Agent { name, client }| async move { (name, answer(client.status(context::current())).await) });
        let mut holdings: Vec<Holding> = Vec::new();
        for (name, answered) in self.during(join_all(asking)).await {
            holdings.push(match answered {
                Ok(status) => Holding::of(name, status),
                Err(error) => Holding::unheard(Silent { name, why: error.to_string() }),
            });
        }
        holdings.extend(self.missing().into_iter().map(Holding::unheard));
        holdings.sort_by(|left, right| left.agent.cmp(&right.agent));
        holdings
    }

    /// Has these stubs forget every call.
    ///
    /// # Errors
    /// An agent refuses it, or does not answer in time.
    pub async fn purge(&mut self, stubs: &Stubs) -> Result<(), ConsoleError> {
        for (at, stub) in &stubs.stubs {
            let Some((_, client)) = self.agent(at.as_str()) else { continue };
            let name = stub.name.clone();
            // The client's part is large, and this one rare.
            Box::pin(self.call(async move { client.purge_stub(context::current(), name).await })).await?;
        }
        Ok(())
    }

    /// One call to one agent, the mesh attended to meanwhile.
    ///
    /// # Errors
    /// It is refused, breaks, or is not answered in time.
    pub async fn call<T>(
        &mut self,
        call: impl Future<Output = Result<Result<T, Refusal>, RpcError>>,
    ) -> Result<T, ConsoleError> {
        self.during(answer(call)).await
    }

    /// How to call the agent of that name, and its instance.
    pub fn agent(&self, name: &str) -> Option<(PeerId, AgentClient)> {
        let (peer, agent) = self.agents.iter().find(|(_, agent)| agent.name.as_str() == name)?;
        Some((*peer, agent.client.clone()))
    }

    /// The names of the agents that are linked.
    pub fn names(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.agents.values().map(|agent| agent.name.to_string()).collect();
        names.into_iter().collect()
    }

    /// Says goodbye; the agents forget what they did for us.
    pub async fn leave(self) {
        let Self { mesh, mut events, .. } = self;
        let taking = async { while events.recv().await.is_some() {} };
        tokio::select! {
            () = mesh.leave() => {}
            () = taking => {}
        }
    }

    /// Agents that ought to be there and are not linked.
    pub(crate) fn missing(&self) -> Vec<Silent> {
        let roster = self.mesh.roster();
        let joined: BTreeSet<&Name> =
            roster.iter().filter(|peer| peer.role == Role::Agent).map(|peer| &peer.name).collect();
        let expected: BTreeSet<&Name> = self.file.agents.iter().chain(joined.iter().copied()).collect();
        let missing = expected.into_iter().filter(|name| self.agent(name.as_str()).is_none());
        let why = |name: &Name| match joined.contains(name) {
            true => format!("no link to it within {LINK_WITHIN:?}; it may be stopped, or cut off"),
            false => "it is not in the mesh; it may have ended, or be stopped".to_owned(),
        };
        missing.map(|name| Silent { name: name.clone(), why: why(name) }).collect()
    }

    /// Why an agent of that name does not answer; none when nobody knows of one.
    pub fn why_missing(&self, name: &str) -> Option<String> {
        self.missing().into_iter().find(|silent| silent.name.as_str() == name).map(|silent| silent.why)
    }

    fn is_complete(&self) -> bool {
        let none_to_expect = self.file.agents.is_empty() && self.mesh.roster().is_empty();
        match self.signaling {
            Signaling::Up => !none_to_expect && self.missing().is_empty(),
            Signaling::Away(_) | Signaling::WrongWay(_) => false,
            Signaling::Refused(_) => true,
        }
    }

    /// Does something while taking what comes: who takes nothing slows all links.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(event) = self.events.recv() => self.take(event).await,
            }
        }
    }

    /// Takes what has happened.
    pub async fn take(&mut self, event: MeshEvent) {
        self.take_of_commander(&event).await;
        match event {
            MeshEvent::SignalingUp { .. } => self.signaling = Signaling::Up,
            MeshEvent::SignalingDown { reason, wrong_way, .. } => {
                if matches!(self.signaling, Signaling::Away(_) | Signaling::WrongWay(_)) {
                    self.signaling = if wrong_way { Signaling::WrongWay(reason) } else { Signaling::Away(reason) };
                }
            }
            MeshEvent::SignalingRefused { reason, .. } => self.signaling = Signaling::Refused(reason),
            MeshEvent::PeerJoined(peer) if peer.role == Role::Agent => self.mesh.connect(peer.peer).await,
            MeshEvent::LinkUp(up) if up.peer.role == Role::Agent => {
                let (client, _) = up.rpc.split::<AgentRequest, AgentResponse, AgentRequest, AgentResponse>();
                let client = AgentClient::new(tarpc::client::Config::default(), client).spawn();
                self.agents.insert(up.peer.peer, Agent { name: up.peer.name, client });
            }
            MeshEvent::PeerJoined(peer) if self.people.is_some() && is_person(peer.role) => {
                self.mesh.connect(peer.peer).await;
            }
            MeshEvent::LinkUp(up) if is_person(up.peer.role) => {
                if let Some(people) = &mut self.people {
                    people.linked(up);
                }
            }
            MeshEvent::LinkLost { peer, .. } => {
                self.agents.remove(&peer.peer);
                if let Some(people) = &mut self.people {
                    people.left(&peer.peer);
                }
            }
            MeshEvent::PeerJoined(_)
            | MeshEvent::PeerLeft(_)
            | MeshEvent::News(_)
            | MeshEvent::Epochs
            | MeshEvent::Offered { .. }
            | MeshEvent::Acknowledged { .. }
            | MeshEvent::LinkUp(_)
            | MeshEvent::LinkSuspect { .. }
            | MeshEvent::Events { .. }
            | MeshEvent::Stream { .. } => {}
        }
    }
}

impl Console {
    async fn take_of_commander(&mut self, event: &MeshEvent) {
        let Some(commanders) = &mut self.commanders else { return };
        match event {
            MeshEvent::PeerJoined(peer) if peer.role == Role::Orchestrator => {
                commanders.joined(peer.peer);
                self.mesh.connect(peer.peer).await;
            }
            MeshEvent::LinkUp(up) if up.peer.role == Role::Orchestrator => commanders.linked(up.peer.peer),
            MeshEvent::PeerLeft(peer) => commanders.left(peer.peer),
            MeshEvent::LinkSuspect { peer, .. } => commanders.silent(peer.peer),
            MeshEvent::LinkLost { peer, .. } => commanders.lost(peer.peer),
            _ => {}
        }
    }
}

async fn answer<T>(call: impl Future<Output = Result<Result<T, Refusal>, RpcError>>) -> Result<T, ConsoleError> {
    match timeout(ANSWER_WITHIN, call).await {
        Ok(answered) => Ok(answered??),
        Err(_) => Err(ConsoleError::Silent),
    }
}
