//! What this agent's own settings permit of a call whose role and capabilities suffice.
//!
//! A capability says which verb may be used; this says what the verb may touch. `exec` starts no shell line unless the agent was
//! told that it may, and where programs or folders are listed, only those, and logs are in these folders. Nothing here is dialled that only this machine is meant
//! to reach (link-local addresses, the metadata of clouds), nor the signaling servers: the mesh's own way is never a target.
//!
//! An order is judged when it comes, so that its caller hears the reason, and again with everything put in and every name
//! resolved, just before it is carried out: what stands in an order need not be what it comes to.

mod confine;
mod log_files;
mod programs;
mod reach;
mod settings;
#[cfg(test)]
mod tests;

pub use settings::Settings;

pub(crate) use confine::{Confined, spawn};
pub(crate) use log_files::LogFiles;
pub(crate) use reach::Reach;

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use meshproof_proto::order::{Action, Bounds, ExecAction, ServicePlace, Target};
use meshproof_proto::trace::Traceparent;
use serde_json::Value;

use crate::action::{Connections, Live};
use crate::audit::Audit;
use crate::service::Call;
use programs::Programs;

/// The settings of one agent, ready to judge.
#[derive(Debug, Default)]
pub struct Permits {
    programs: Programs,
    pub(crate) reach: Reach,
    pub(crate) confined: Confined,
    /// What programs have at most, whatever their step says.
    pub(crate) limits: Bounds,
    pub(crate) logs: LogFiles,
    audit: Arc<Audit>,
}

/// Whether this kernel can hold the programs of steps to what is permitted.
#[must_use]
pub fn can_confine() -> bool {
    Confined::to(Vec::new(), vec!["/".into()]).is_enforced()
}

/// What a call is made under: how long it may take, and what this agent permits.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'p> {
    pub within: Duration,
    pub permits: &'p Permits,
    /// Those that calls before have left open; none: every call has a connection of its own.
    pub connections: Option<&'p Connections>,
    /// Who hears what programs print while they run.
    pub live: Option<&'p Live<'p>>,
    /// Where it stands in a trace, for whoever is called; none: it is no part of one.
    pub parent: Option<Traceparent>,
}

impl<'p> Terms<'p> {
    /// Of a call for itself: nothing is kept from it, and nobody hears it.
    pub fn alone(within: Duration, permits: &'p Permits) -> Self {
        Self { within, permits, connections: None, live: None, parent: None }
    }
}

impl From<Duration> for Terms<'static> {
    /// With no setting at all, which is the strictest.
    fn from(within: Duration) -> Self {
        static STRICT: LazyLock<Permits> = LazyLock::new(Permits::default);
        Self::alone(within, &STRICT)
    }
}

impl Permits {
    /// `control` are the signaling servers' URLs.
    pub(crate) fn new(settings: Settings, control: &[String], audit: Arc<Audit>) -> Self {
        let programs = Programs::of(&settings);
        let logs = LogFiles::within(settings.paths.clone());
        let confined = Confined::to(settings.programs, settings.paths);
        let limits = settings.limits;
        Self { programs, reach: Reach::new(settings.reach, control), confined, limits, logs, audit }
    }

    /// What the settings come to, apart from any mesh.
    #[must_use]
    pub fn of(settings: Settings) -> Self {
        Self::new(settings, &[], Arc::default())
    }

    /// Whether the kernel holds programs to what the settings ask of it.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        !self.confined.is_set() || self.confined.is_enforced()
    }

    /// Judges an order as it comes. What only its expressions will tell is judged later.
    pub(crate) fn call(&self, call: &Call) -> Result<(), String> {
        match call {
            Call::Start(order, _)
            | Call::StartAgain(order, _)
            | Call::StartInTurn(order, ..)
            | Call::Act(order, ..) => self.action(&order.action),
            Call::Receive(order, _) => self.action(&order.apply),
            Call::Initialize(order, _) => self.service(&order.service),
            Call::Adopt(order, _) => self.service(&order.setting.service),
            Call::BeginTest(..)
            | Call::Cancel(..)
            // faults are on stubs and on what passes tunnels; links and signaling have no gate that one could close
            | Call::BeginFault(..)
            | Call::BeginFaultAgain(..)
            | Call::HealFault(..)
            | Call::Status(_)
            | Call::Finish(..)
            | Call::Links(_)
            | Call::About(_)
            | Call::BeginBench(..)
            | Call::Bench(_)
            | Call::Stubs(_)
            | Call::PurgeStub(..)
            | Call::Observe(..)
            | Call::Reseat(..)
            | Call::Disturb(..)
            | Call::Mend(..)
            | Call::ReadLog(..)
            | Call::Say(..)
            | Call::Promise(..)
            | Call::Remember(..)
            | Call::Recall(..)
            | Call::Place(_)
            | Call::Holder(_)
            | Call::Steer(..)
            | Call::StepOver(..)
            | Call::AnswerPrograms(..)
            | Call::Copy(..)
            | Call::StandBy(..)
            | Call::Mirror(..) => Ok(()),
        }
    }

    fn service(&self, service: &ServicePlace) -> Result<(), String> {
        // a tunnel from elsewhere is dialled to these
        service.ports.values().try_for_each(|address| self.reach.written(address))?;
        service.logs.values().try_for_each(|path| self.logs.path(path))
    }

    fn action(&self, action: &Action) -> Result<(), String> {
        let target = |target: &Target| self.reach.written(&target.address);
        match action {
            Action::Http(http) => target(&http.target),
            Action::Tcp(tcp) => target(&tcp.target),
            Action::Grpc(grpc) => target(&grpc.target),
            Action::Ws(ws) => target(&ws.target),
            Action::Exec(exec) => self.written(exec),
            Action::Load(load) => self.action(&load.call),
            Action::Stream(_)
            | Action::ExpectLog { .. }
            | Action::ExpectMetric { .. }
            | Action::WatchMetric { .. }
            | Action::ExpectLink { .. }
            | Action::CountLog { .. }
            | Action::ExpectStub { .. }
            | Action::ChangeStub { .. }
            | Action::WatchLog { .. }
            | Action::WatchStub { .. }
            | Action::Settle { .. } => Ok(()),
        }
    }

    fn written(&self, exec: &ExecAction) -> Result<(), String> {
        let argv: Result<Vec<String>, _> = exec.argv.iter().map(|argument| argument.render(&Value::Null)).collect();
        match argv {
            Ok(argv) => self.programs.judge(&argv, exec.cwd.as_deref(), exec.env.iter().map(|(name, _)| name.as_str())),
            Err(_) => Ok(()),
        }
    }

    /// Judges a command line as it will be started. What is refused only now is noted like a refused call.
    pub(crate) fn program<'n>(
        &self,
        argv: &[String],
        cwd: Option<&str>,
        env: impl Iterator<Item = &'n str>,
    ) -> Result<(), String> {
        self.programs.judge(argv, cwd, env).inspect_err(|reason| self.audit.note_own("exec", reason))
    }

    /// The addresses of `host:port` that may be dialled.
    pub(crate) async fn resolve(&self, address: &str) -> io::Result<Vec<std::net::SocketAddr>> {
        let found = self.addresses(tokio::net::lookup_host(address).await?.collect()).await;
        found.map_err(|reason| io::Error::new(io::ErrorKind::PermissionDenied, reason))
    }

    /// Of the addresses that a name came to, those that may be dialled; none: the reason.
    pub(crate) async fn addresses(
        &self,
        found: Vec<std::net::SocketAddr>,
    ) -> Result<Vec<std::net::SocketAddr>, String> {
        self.reach.of(found).await.inspect_err(|reason| self.audit.note_own("connect", reason))
    }
}
