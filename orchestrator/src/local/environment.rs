//! The environment, from the first folder to the last.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::Token;
use meshproof_proto::mask::Masker;
use meshproof_proto::order::{ServicePlace, millis};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::client::Client;
use super::collect::{self, Collect, NamedLogs};
use super::error::LocalError;
use super::folders::KeptMesh;
use super::hold::{Hold, Release};
use super::limits::{CALL_DEADLINE, END_SLACK, HELLO_DEADLINE};
use super::opening::{self, KeeperLog};
use super::processes::Processes;
use super::spec::Spec;
use crate::keeper::procfs::{self, Process};
use crate::keeper::protocol::{
    Answer, Disturbance, EndReport, Ending, How, Notice, PROTOCOL, PortWish, Request, StartService, Stopped, Target,
    Welcome,
};

/// What a service wants of its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Port name to wish.
    pub ports: BTreeMap<String, PortWish>,
    /// Log name to the file, relative to the service's folder. Standard output and error need no mention.
    pub logs: BTreeMap<String, PathBuf>,
    /// Its address on the data network; none: it is on loopback.
    pub host: Option<Ipv4Addr>,
}

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// For the agent beside it: `host:port`s and absolute paths of logs, `stdout` and `stderr` among them.
    pub service: ServicePlace,
    /// The working directory.
    pub dir: PathBuf,
}

/// A keeper with a mesh, agents and services. Dropped before [`LocalEnvironment::end`], it has the keeper kill everything.
#[derive(Debug)]
pub struct LocalEnvironment {
    pub(super) hold: Hold,
    pub(super) client: Arc<Client>,
    /// The process behind the keeper, which ends last.
    pub(super) guard: Guard,
    pub(super) keeper_log: KeeperLog,
    pub(super) welcome: Welcome,
    pub(super) root: PeerId,
    pub(super) token: Token,
    pub(super) named_logs: NamedLogs,
    /// The longest grace of any service, so that ending is given the time it takes.
    pub(super) longest_grace_ms: AtomicU64,
}

/// Whose end is waited for.
#[derive(Debug)]
pub(super) enum Guard {
    Ours(Child),
    /// Another orchestrator has started it.
    Anothers(Vec<Process>),
}

/// How often it is looked whether a process is gone that is not ours to wait for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Guard {
    /// The keeper, and the one behind it.
    pub(super) fn behind(keeper: i32) -> Self {
        let keeper = procfs::process(keeper);
        // It leads their session.
        let guard = keeper.as_ref().and_then(|keeper| procfs::process(keeper.session));
        Self::Anothers(keeper.into_iter().chain(guard).collect())
    }

    async fn gone(&mut self) {
        match self {
            Self::Ours(child) => drop(child.wait().await),
            Self::Anothers(processes) => {
                let lives = |before: &Process| {
                    let now = procfs::process(before.pid);
                    now.is_some_and(|now| now.is_alive() && now.session == before.session)
                };
                while processes.iter().any(lives) {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }
}

impl LocalEnvironment {
    /// Makes keys and folder, starts the keeper and through it signaling and an agent a service. They join the mesh on their own.
    /// The notices end when the keeper does.
    ///
    /// # Errors
    /// Something could not be made or started; nothing is left then.
    pub async fn start(spec: Spec) -> Result<(Self, mpsc::Receiver<Notice>), LocalError> {
        opening::open(spec).await
    }

    /// Takes control of what another orchestrator has made, at this term of the run. The notices end when the keeper does.
    ///
    /// # Errors
    /// The keeper is gone, or obeys somebody at a higher term.
    pub async fn take_over(kept: &KeptMesh, term: u64) -> Result<(Self, mpsc::Receiver<Notice>), LocalError> {
        opening::take_over(kept.folder.clone(), (&kept.setup, kept.token.clone(), term)).await
    }

    /// Whether the keeper lives and obeys another orchestrator.
    pub async fn is_anothers(&self) -> bool {
        let hello = || Request::Hello { protocol: PROTOCOL, term: self.hold.term() };
        if !matches!(self.call(hello()).await, Err(LocalError::Gone { .. })) {
            return false;
        }
        // A keeper that died does not answer, though its guard still holds the socket.
        let Ok(stream) = UnixStream::connect(self.hold.folder().socket()).await else { return false };
        let (client, _notices) = Client::new(stream);
        matches!(client.call(hello(), HELLO_DEADLINE).await, Err(LocalError::Refused(_)))
    }

    /// What the keeper has said of everything that it keeps.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Lets go of everything from elsewhere.
    pub fn releaser(&self) -> Release {
        self.hold.releaser()
    }

    /// `ws://…`, where the mesh meets.
    pub fn signaling(&self) -> &str {
        &self.welcome.signaling
    }

    /// The mesh's root key.
    pub fn root(&self) -> PeerId {
        self.root
    }

    /// The orchestrator's token, good for the name [`super::ORCHESTRATOR`].
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The folder of the run.
    pub fn folder(&self) -> &Path {
        self.hold.folder().path()
    }

    /// Process ids of the agents.
    pub fn agent_pids(&self) -> &BTreeMap<Name, i32> {
        &self.welcome.agents
    }

    /// The keeper's process id.
    pub fn keeper_pid(&self) -> i32 {
        self.welcome.keeper
    }

    /// Reserves ports and says where everything of each service is. To be called once, with all services.
    ///
    /// # Errors
    /// A fixed port is taken; the message names service and port.
    pub async fn allot(&mut self, wishes: BTreeMap<Name, Wishes>) -> Result<BTreeMap<Name, Place>, LocalError> {
        let ports = wishes.iter().map(|(name, wishes)| (name.clone(), wishes.ports.clone())).collect();
        let Answer::Allotted { ports } = self.call(Request::Allot { ports }).await? else {
            return Err(LocalError::Confused("allot"));
        };
        let places = wishes.into_iter().map(|(name, wishes)| {
            let given = ports.get(&name).cloned().unwrap_or_default();
            let place = self.place(&name, given, (wishes.logs, wishes.host));
            (name, place)
        });
        Ok(places.collect())
    }

    /// As [`Self::allot`], of ports that were reserved by another orchestrator; and how long a service may take to end.
    pub fn places(
        &mut self,
        ports: &BTreeMap<Name, BTreeMap<String, u16>>,
        (wishes, longest_grace): (BTreeMap<Name, Wishes>, Duration),
    ) -> BTreeMap<Name, Place> {
        self.longest_grace_ms.fetch_max(millis(longest_grace), Ordering::Relaxed);
        let places = wishes.into_iter().map(|(name, wishes)| {
            let given = ports.get(&name).cloned().unwrap_or_default();
            let place = self.place(&name, given, (wishes.logs, wishes.host));
            (name, place)
        });
        places.collect()
    }

    fn place(
        &mut self,
        name: &Name,
        ports: BTreeMap<String, u16>,
        (logs, host): (BTreeMap<String, PathBuf>, Option<Ipv4Addr>),
    ) -> Place {
        let dir = self.hold.folder().service(name);
        let logs: BTreeMap<String, PathBuf> = logs.into_iter().map(|(log, file)| (log, dir.join(file))).collect();
        let printed = [("stdout", self.hold.folder().stdout(name)), ("stderr", self.hold.folder().stderr(name))];
        let printed = printed.map(|(log, path)| (log.to_owned(), path));
        let text = |(log, path): (String, PathBuf)| (log, path.to_string_lossy().into_owned());
        self.named_logs.insert(name.clone(), logs.clone());
        let host = host.unwrap_or(Ipv4Addr::LOCALHOST);
        let ports = ports.into_iter().map(|(port, number)| (port, format!("{host}:{number}"))).collect();
        let logs = logs.into_iter().chain(printed).map(text).collect();
        Place { service: ServicePlace { ports, logs, ..ServicePlace::default() }, dir }
    }

    /// Starts a service's processes, in its folder, with its files. Gives their ids. A relative `argv[0]` with a slash is
    /// looked for in that folder, so the plan's folder is to be put in front of it before.
    ///
    /// # Errors
    /// A file or a program cannot be had, or the service runs already; none of its processes runs then.
    pub async fn start_service(&self, start: StartService) -> Result<Vec<i32>, LocalError> {
        self.longest_grace_ms.fetch_max(start.stop.grace_ms, Ordering::Relaxed);
        match self.call(Request::StartService(start)).await? {
            Answer::Started { pids } => Ok(pids),
            _ => Err(LocalError::Confused("start a service")),
        }
    }

    /// Kills, freezes or thaws.
    ///
    /// # Errors
    /// Nothing of the target runs.
    pub async fn disturb(&self, target: Target, signal: Disturbance) -> Result<(), LocalError> {
        match self.call(Request::Signal { target, signal }).await? {
            Answer::Signalled => Ok(()),
            _ => Err(LocalError::Confused("signal")),
        }
    }

    /// A handle for what is done to processes while the run goes on.
    #[must_use]
    pub fn processes(&self) -> Processes {
        Processes::new(Arc::clone(&self.client), self.end_deadline())
    }

    /// Ends services, and says how each of their processes did, those included that had ended before.
    ///
    /// # Errors
    /// The keeper is gone or silent.
    pub async fn stop(&self, what: Stopped, how: How) -> Result<Vec<Ending>, LocalError> {
        match self.call_for(Request::Stop { what, how }, self.end_deadline()).await? {
            Answer::Stopped { endings } => Ok(endings),
            _ => Err(LocalError::Confused("stop")),
        }
    }

    /// Copies, without secrets, logs, and with [`Collect::Everything`] the services' folders, into a folder that stays. Best after
    /// [`LocalEnvironment::stop`], so that nothing is missing.
    ///
    /// # Errors
    /// Something cannot be read or written.
    pub async fn collect(&self, to: &Path, what: Collect, masker: Arc<Masker>) -> Result<(), LocalError> {
        let (folder, named, target) = (self.hold.folder().clone(), self.named_logs.clone(), to.to_owned());
        let copied =
            tokio::task::spawn_blocking(move || collect::collect((&folder, &named), &target, what, &masker)).await;
        let copied = copied.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        copied.map_err(|cause| LocalError::Folder { what: "collect logs into", path: to.to_owned(), cause })
    }

    /// Ends services, agents, signaling and the keeper, and removes the folder. When this returns, nothing is left. Given up
    /// half way (dropped), everything is killed.
    ///
    /// # Errors
    /// The keeper is gone (its guard cleans up then) or silent, or could not remove the folder.
    pub async fn end(mut self) -> Result<EndReport, LocalError> {
        let answer = self.call_for(Request::End { how: How::Asking }, self.end_deadline()).await;
        if timeout(END_SLACK, self.guard.gone()).await.is_err() {
            return Err(LocalError::Silent { seconds: END_SLACK.as_secs() });
        }
        self.hold.release();
        match answer? {
            Answer::Ended(report) => Ok(report),
            _ => Err(LocalError::Confused("end")),
        }
    }

    /// Has the keeper kill everything, without waiting for it: for exits that cannot wait. It goes on when this process is gone.
    pub fn end_now(&mut self) {
        self.hold.end_now();
    }

    async fn call(&self, request: Request) -> Result<Answer, LocalError> {
        self.call_for(request, CALL_DEADLINE).await
    }

    async fn call_for(&self, request: Request, deadline: Duration) -> Result<Answer, LocalError> {
        self.client.call(request, deadline).await.map_err(|error| self.keeper_log.explain(error))
    }

    fn end_deadline(&self) -> Duration {
        Duration::from_millis(self.longest_grace_ms.load(Ordering::Relaxed)).saturating_add(END_SLACK)
    }
}
