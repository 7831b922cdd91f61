//! A plan that can be run: every name resolved, every quantity settled, every step addressed to the agent that acts. What is
//! left as an expression is what only the run knows: addresses, and what earlier steps have saved.
//!
//! A value of these types comes only out of `check`, so whoever runs it checks nothing again.

pub mod commits;
mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::expr::{Template, ValueTemplate};
use meshproof_proto::id::{Digest, Name};
use meshproof_proto::order::{Action, Bounds, FaultTarget, Listen, Save, Scrape, StubOrder, Transport};
use meshproof_proto::secrets::Secrets;
use meshproof_proto::shaper::Shape;
use meshproof_proto::sync::{Barrier, Quorum};
use serde_json::{Map, Value};

use super::model::{Artefact, Check, StopSignal};
use super::source::{Span, Spanned};

pub use network::Network;

/// A plan, ready to run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: Name,
    pub description: Option<String>,
    /// Of the text and the parameters: two runs with the same digest were told to do the same.
    pub digest: Digest,
    /// `{name: value}`, as expressions see them.
    pub params: Value,
    /// Those that expressions look up.
    pub secret_names: BTreeSet<String>,
    /// Their values, when the plan is to be run.
    pub secrets: Secrets,
    /// Variables of the environment that the plan says may hold one, also one that nothing looks up.
    pub secret_variables: BTreeSet<String>,
    /// Run once, in order, before anything starts.
    pub build: Vec<BuildCommand>,
    /// In the order of the file.
    pub services: Vec<Service>,
    pub stubs: Vec<Stub>,
    /// Every way that a service or a step needs to another service: a listener on the agent, where there is no `network`.
    pub tunnels: BTreeSet<Tunnel>,
    /// Where an address of another service is named that bypasses the mesh.
    pub direct: BTreeSet<Span>,
    /// None: services reach each other through tunnels.
    pub network: Option<Network>,
    /// Pairs of agents that keep a link before anybody needs it.
    pub links: BTreeSet<(Name, Name)>,
    pub tests: Vec<Test>,
    /// Then it has no tests, and nothing to start.
    pub commits: Option<Box<commits::Commits>>,
    /// Identities that the run's authority makes; none: the plan needs no authority.
    pub authority: Option<BTreeSet<String>>,
    /// Files beside the plan whose texts steps need.
    pub held_files: Vec<Spanned<String>>,
    /// Files beside the plan that were not there when it was read, which its build may make.
    pub left_to_build: Vec<Spanned<String>>,
}

/// A program to run on the machine of the plan. Its expressions see `plan` and `params`.
#[derive(Debug, Clone)]
pub struct BuildCommand {
    pub span: Span,
    pub argv: Vec<String>,
    /// Relative to the plan's folder, if not absolute.
    pub cwd: Option<String>,
    pub env: Vec<(String, String)>,
}

impl Plan {
    /// The services that have an agent of their own.
    pub fn agents(&self) -> impl Iterator<Item = &Name> {
        self.services.iter().filter(|service| *service.agent() == service.name).map(|service| &service.name)
    }

    /// Whose agent acts for that service.
    #[must_use]
    pub fn agent_of<'n>(&'n self, service: &'n Name) -> &'n Name {
        self.services.iter().find(|known| known.name == *service).map_or(service, Service::agent)
    }

    /// Agents that this one keeps a link to. Both ends know: either may have to make it anew.
    pub fn links_of<'n>(&'n self, agent: &'n Name) -> impl Iterator<Item = &'n Name> {
        self.links.iter().filter_map(move |(one, other)| match (one == agent, other == agent) {
            (true, _) => Some(other),
            (_, true) => Some(one),
            (false, false) => None,
        })
    }

    /// Members that share that agent with the one that it is named after.
    pub fn guests<'n>(&'n self, agent: &'n Name) -> impl Iterator<Item = &'n Service> {
        self.services.iter().filter(move |service| service.name != *agent && service.agent() == agent)
    }

    /// What the port takes.
    #[must_use]
    pub fn transport(&self, of: &Endpoint) -> Transport {
        let service = self.services.iter().find(|service| service.name == of.service);
        let port = service.and_then(|service| service.ports.iter().find(|port| port.name == of.port));
        port.map(|port| port.transport).unwrap_or_default()
    }
}

/// What is under test. Its expressions see `self`, `plan`, `params`, `services` and `stubs`.
#[derive(Debug, Clone)]
pub struct Service {
    pub name: Name,
    /// Its name in the file.
    pub span: Span,
    /// The command lines of its processes; none: it runs already.
    pub processes: Vec<Vec<Template>>,
    /// What its container is made from, where it gets one; without a command line of its own, the image's is started.
    pub image: Option<Spanned<String>>,
    pub ports: Vec<Port>,
    pub env: Vec<(String, Template)>,
    pub files: Vec<File>,
    /// What must hold before the service counts as ready.
    pub ready: Option<Step>,
    /// What must be ready before it starts.
    pub needs: Vec<Name>,
    /// Log name to the file's path in the working directory; stdout and stderr are not among them.
    pub logs: BTreeMap<String, String>,
    pub stop_signal: StopSignal,
    pub stop_grace: Duration,
    /// The logs of those that the service writes to an endpoint.
    pub listens: BTreeMap<String, Listen>,
    pub limits: Bounds,
    /// Where it tells its metrics.
    pub scrape: Option<Scrape>,
    /// Identities of the run's authority whose files stand in its working directory.
    pub identities: BTreeSet<String>,
    /// Which one of a group it is: then its program runs once for each test, and its end is what it comes to.
    pub member: Option<Membership>,
    /// The zone of each of its instances, as far as it has one: the first acts when the run begins, the others stand by.
    pub instances: Vec<Option<String>>,
}

/// What a service is in its group.
#[derive(Debug, Clone)]
pub struct Membership {
    pub group: String,
    /// From 1.
    pub number: u64,
    pub of: u64,
    /// What its program is told. Expressions see what those of the service do.
    pub params: Vec<(String, Template)>,
    /// Whose agent it shares; none: it has one of its own.
    pub shares: Option<Name>,
}

impl Service {
    /// Whose agent acts for it: its own, or that of the member that it shares one with.
    #[must_use]
    pub fn agent(&self) -> &Name {
        self.member.as_ref().and_then(|member| member.shares.as_ref()).unwrap_or(&self.name)
    }

    /// The ports that take datagrams.
    #[must_use]
    pub fn datagram_ports(&self) -> BTreeSet<String> {
        let ports = self.ports.iter().filter(|port| port.transport == Transport::Udp);
        ports.map(|port| port.name.clone()).collect()
    }
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    /// `None`: any free one.
    pub number: Option<u16>,
    pub transport: Transport,
}

/// A file in a service's working directory.
#[derive(Debug, Clone)]
pub struct File {
    pub path: String,
    pub content: FileContent,
}

/// Where a file's content comes from.
#[derive(Debug, Clone)]
pub enum FileContent {
    Text(Template),
    /// A file beside the plan, and where the plan names it.
    From(Spanned<String>),
}

/// A pretend upstream and the agent that plays it.
#[derive(Debug, Clone)]
pub struct Stub {
    pub at: Name,
    /// Its name in the file.
    pub span: Span,
    /// Where it says what an unmatched call means.
    pub unmatched: Span,
    /// Still to be resolved against what the run knows.
    pub order: StubOrder,
}

/// A listener on `at`'s agent that leads to a port of another service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tunnel {
    pub at: Name,
    pub to: Endpoint,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub service: Name,
    pub port: String,
}

/// `shop.http`
impl std::fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.service, self.port)
    }
}

/// A named sequence of steps.
#[derive(Debug, Clone)]
pub struct Test {
    pub id: String,
    /// Its id before it was repeated: all repetitions have the same.
    pub of: String,
    /// Its id in the file.
    pub span: Span,
    pub timeout: Duration,
    pub steps: Vec<Step>,
    /// Always run.
    pub after: Vec<Step>,
    /// Watched from before the first step to the end, each at one agent.
    pub always: Vec<Step>,
    /// Before the first step.
    pub steady: Vec<Step>,
    /// The same steps once more, after the healing.
    pub steady_after: Vec<Step>,
    /// Last of all.
    pub settle: Option<Step>,
    /// Services that a step expects to end by themselves: that they do fails nothing.
    pub may_end: BTreeSet<Name>,
    /// How many members of each group have to go well.
    pub passes: BTreeMap<String, Spanned<Quorum>>,
}

impl Test {
    /// Every step that must have ended before the test can pass.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        let asked = self.steps.iter().chain(&self.after);
        asked.chain(&self.always).chain(&self.steady).chain(&self.steady_after).chain(&self.settle)
    }
}

/// One verb and its modifiers.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its place: `3`, `after.0`, `ready.shop`.
    pub key: String,
    /// All of the step.
    pub span: Span,
    /// Verb and what is inside.
    pub verb: Span,
    pub id: Option<String>,
    /// What it does, in one line for people.
    pub title: String,
    /// Bounds one attempt.
    pub within: Duration,
    /// Repeat until it holds, at most so long.
    pub eventually: Option<Spanned<Duration>>,
    /// Run only if this is something other than nothing, false, 0 or an empty text.
    pub when: Option<Spanned<Template>>,
    /// A failure is told and fails nothing.
    pub optional: bool,
    /// May be run again after a crash.
    pub idempotent: bool,
    /// Steps of one group run branch beside branch.
    pub group: Option<Group>,
    /// What else its expressions see: the round of a `repeat`, the values of a `matrix`.
    pub locals: Arc<Map<String, Value>>,
    /// The service that is `self` in its expressions: of readiness.
    pub own: Option<Name>,
    /// Of work that is addressed to a group, what one of its members is asked for.
    pub does: Does,
    /// Then all of those.
    pub spread: Option<Arc<Spread>>,
}

/// Work that is addressed to a group: any of its members may do it.
#[derive(Debug, Clone)]
pub struct Spread {
    pub group: String,
    /// What each member is asked for that has an agent of its own.
    pub asks: Vec<Ask>,
}

impl Step {
    /// What agents are asked for: one of them is, of work that is addressed to a group.
    pub fn asks(&self) -> impl Iterator<Item = &Ask> {
        let own = match &self.does {
            Does::Ask(ask) if self.spread.is_none() => Some(&**ask),
            _ => None,
        };
        own.into_iter().chain(self.spread.iter().flat_map(|spread| &spread.asks))
    }
}

/// A place among steps that run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Of its test, from 0.
    pub number: usize,
    pub branch: usize,
}

/// What a step does, by who does it.
#[derive(Debug, Clone)]
pub enum Does {
    /// An agent acts and checks.
    Ask(Box<Ask>),
    /// The orchestrator checks a value that it knows.
    Value {
        value: ValueTemplate,
        checks: Vec<Check>,
    },
    Fault(FaultStep),
    Draw(DrawStep),
    Heal(Heal),
    Collect(Vec<Artefact>),
    Say(Template),
    /// Every agent waits until nothing happens beside it.
    Settle(Settle),
    /// Every agent looks at its service's logs, for a number that is judged here.
    Everywhere(Box<Everywhere>),
    Conduct(Conduct),
}

/// What has a state that the orchestrator knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateOf {
    /// Its processes.
    Service(Name),
    /// A fault, by its name.
    Fault(String),
    /// What programs have measured: of a member, or of all members of a group.
    Measured { of: String, metric: String },
}

/// What the orchestrator does itself.
#[derive(Debug, Clone)]
pub enum Conduct {
    Process(ProcessStep),
    /// Everything in that zone is killed.
    KillZone(String),
    /// It looks at what the run has started.
    State {
        of: StateOf,
        checks: Vec<Check>,
    },
    Sync(SyncStep),
    /// Until a person says so.
    Pause(Template),
    /// Members of a group go and come back while the test goes on.
    Churn(Box<ChurnStep>),
}

/// How members of a group go and come back.
#[derive(Debug, Clone)]
pub struct ChurnStep {
    pub group: String,
    pub members: Vec<Name>,
    pub times: u32,
    /// All of it.
    pub over: Duration,
    /// The least and the most that one is away.
    pub away: (Duration, Duration),
}

/// Something is done to the processes of a service.
#[derive(Debug, Clone)]
pub struct ProcessStep {
    pub service: Name,
    pub what: ProcessChange,
}

/// What is done to processes.
#[derive(Debug, Clone)]
pub enum ProcessChange {
    Kill,
    /// The agent beside the service, which another instance follows.
    KillAgent,
    /// `None`: until thawed, or the test's end.
    Freeze(Option<Duration>),
    Thaw,
    /// What must hold before it counts as back.
    Restart(Option<Box<Step>>),
}

/// Something is done to a sync point, or waited for.
#[derive(Debug, Clone)]
pub struct SyncStep {
    /// Who does it: a service, or the test.
    pub member: String,
    pub what: SyncChange,
    pub checks: Vec<Check>,
    pub saves: Vec<Spanned<Save>>,
}

/// What is done to a sync point.
#[derive(Debug, Clone)]
pub enum SyncChange {
    Signal(String),
    Barrier(Barrier),
    Publish { topic: String, value: ValueTemplate },
    Subscribe { topic: String, count: usize },
}

/// Lines in the logs of all services.
#[derive(Debug, Clone)]
pub struct Everywhere {
    pub agents: Vec<Name>,
    /// In the order of the plan. Those of `count` are about all lines together, the others about each.
    pub checks: Vec<Check>,
}

/// How long nothing must happen.
#[derive(Debug, Clone)]
pub struct Settle {
    pub quiet: Duration,
    /// Every service: what one does can move any other.
    pub agents: Vec<Name>,
}

/// Work for an agent.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The agent that acts.
    pub at: Name,
    /// What the action is aimed at; its address goes into the action when it is known.
    pub target: Option<Endpoint>,
    pub action: Action,
    /// What other agents do for it: the receiver of a stream, or those that make a load with it.
    pub parts: Vec<Helper>,
    pub checks: Vec<Check>,
    pub saves: Vec<Spanned<Save>>,
}

impl Ask {
    /// Whether it does nothing to a service: it only looks at what its agent knows.
    pub fn only_looks(&self) -> bool {
        matches!(
            self.action,
            Action::ExpectLog { .. }
                | Action::ExpectStub { .. }
                | Action::ExpectMetric { .. }
                | Action::ExpectLink { .. }
        )
    }
}

/// What another agent does for a step: with each record of a stream, or its share of a load.
#[derive(Debug, Clone)]
pub struct Helper {
    pub at: Name,
    pub target: Option<Endpoint>,
    pub action: Action,
}

/// A fault begins.
#[derive(Debug, Clone)]
pub struct FaultStep {
    pub fault: Fault,
    /// `None`: until healed, or the test's end.
    pub lasts: Option<Duration>,
    /// How far, in per cent, the measured effect may be from what was asked for.
    pub prove: Option<Spanned<f64>>,
}

/// Faults begin beside the steps that follow, one at a time; which, when and for how long is drawn with the run's seed.
#[derive(Debug, Clone)]
pub struct DrawStep {
    /// Unique in the plan.
    pub name: String,
    pub faults: Vec<Fault>,
    pub times: u32,
    /// All of it.
    pub over: Duration,
    /// Each of them, at least and at most.
    pub lasting: (Duration, Duration),
    pub prove: Option<Spanned<f64>>,
}

/// A disturbance.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Unique in the plan: its name, or `test.step` of one written in place.
    pub name: String,
    /// Where it is written.
    pub span: Span,
    /// The agents that make it, and what each disturbs. Traffic between two services passes the agents of both, each of which can
    /// disturb either direction; so one is enough, and two would disturb it twice.
    pub parts: BTreeMap<Name, FaultTarget>,
    /// For people: `stub payments`, `traffic shop <-> ledger`.
    pub target: String,
    pub shape: Shape,
}

impl Fault {
    /// All services whose traffic or stubs it disturbs.
    pub fn ends(&self) -> impl Iterator<Item = &Name> {
        self.parts.iter().flat_map(|(at, target)| std::iter::once(at).chain(far_ends(target)))
    }
}

fn far_ends(target: &FaultTarget) -> Box<dyn Iterator<Item = &Name> + '_> {
    match target {
        FaultTarget::Stub { .. } => Box::new(std::iter::empty()),
        FaultTarget::Traffic { peer, .. } => Box::new(std::iter::once(peer)),
        FaultTarget::Partition { peers } => Box::new(peers.iter()),
    }
}

/// Which faults end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heal {
    All,
    Named(Vec<String>),
}
