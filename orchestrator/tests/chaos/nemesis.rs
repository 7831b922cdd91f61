//! What strikes: each strike finds work in flight, and is noted.

use std::fmt;
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshproof_proto::seed::Seed;
use rustix::process::{Pid, Signal, kill_process};

use crate::commanders::Commander;
use crate::place::{Place, udp_ports};
use crate::processes::{self, Process};
use crate::workload::SERVICES;

/// What can be struck, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    AgentKilled,
    AgentFrozen,
    LinksCut,
    SignalingKilled,
    SignalingFrozen,
    KeeperKilled,
    KeeperFrozen,
    OrchestratorKilled,
    OrchestratorFrozen,
}

/// Those that a run comes through. A keeper that is killed is the end of it.
pub const SURVIVED: [Kind; 8] = [
    Kind::AgentKilled,
    Kind::AgentFrozen,
    Kind::LinksCut,
    Kind::SignalingKilled,
    Kind::SignalingFrozen,
    Kind::KeeperFrozen,
    Kind::OrchestratorKilled,
    Kind::OrchestratorFrozen,
];

/// One strike.
#[derive(Clone)]
pub struct Strike {
    pub kind: Kind,
    pub agent: Option<&'static str>,
    /// The test that had a step in flight.
    in_flight: String,
    /// Milliseconds since 1970.
    pub from_ms: u64,
    pub until_ms: u64,
}

/// Far above what any of it takes: what needs it has failed.
const PATIENCE: Duration = Duration::from_secs(90);

/// Strikes a round.
pub struct Nemesis<'a> {
    pub place: &'a Place,
    pub seed: &'a mut Seed,
    pub commands: Commander,
    pub standby: Option<Commander>,
    /// Those that were replaced while they stood still.
    pub replaced: Vec<Commander>,
    pub strikes: Vec<Strike>,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, agent, in_flight, from_ms, until_ms } = self;
        write!(f, "{from_ms} to {until_ms}: {kind}")?;
        agent.iter().try_for_each(|agent| write!(f, " ({agent})"))?;
        write!(f, ", {in_flight} in flight")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AgentKilled => "agent killed",
            Self::AgentFrozen => "agent frozen",
            Self::LinksCut => "links cut",
            Self::SignalingKilled => "signaling killed",
            Self::SignalingFrozen => "signaling frozen",
            Self::KeeperKilled => "keeper killed",
            Self::KeeperFrozen => "keeper frozen",
            Self::OrchestratorKilled => "orchestrator killed",
            Self::OrchestratorFrozen => "orchestrator frozen",
        })
    }
}

impl Kind {
    fn is_of_an_agent(self) -> bool {
        matches!(self, Self::AgentKilled | Self::AgentFrozen)
    }
}

impl Nemesis<'_> {
    /// Waits a while, then until something is in flight, and strikes.
    pub fn strike(&mut self, kind: Kind) -> Result<(), String> {
        let before = self.seed.below(700);
        pause(before);
        let seen = self.commands.until(PATIENCE, |seen| seen.in_flight.is_some() || seen.is_over);
        let in_flight = seen.ok().and_then(|seen| seen.in_flight);
        let in_flight =
            in_flight.ok_or_else(|| format!("nothing was in flight for `{kind}`: {:#?}", self.commands.seen()))?;
        let (from_ms, agent) = (now_ms(), self.agent());
        let its = kind.is_of_an_agent().then_some(agent);
        self.strikes.push(Strike { kind, agent: its, in_flight, from_ms, until_ms: u64::MAX });
        match kind {
            Kind::AgentKilled => self.kill_agent(agent)?,
            Kind::AgentFrozen => {
                let process = self.process(|process| is_agent(process, agent))?;
                self.freeze(&process, 4_000);
            }
            Kind::LinksCut => self.cut(agent)?,
            Kind::SignalingKilled => {
                let process = self.process(|process| process.subcommand() == Some("signaling"))?;
                send(&process, Signal::KILL);
            }
            Kind::SignalingFrozen => {
                let process = self.process(|process| process.subcommand() == Some("signaling"))?;
                self.freeze(&process, 4_000);
            }
            Kind::KeeperFrozen => {
                let process = self.process(is_keeper)?;
                self.freeze(&process, 3_000);
            }
            Kind::KeeperKilled => {
                let process = self.process(is_keeper)?;
                send(&process, Signal::KILL);
            }
            Kind::OrchestratorKilled => {
                self.stands_by()?;
                self.commands.signal(Signal::KILL);
                self.replace()?;
            }
            Kind::OrchestratorFrozen => self.freeze_orchestrator()?,
        }
        if let Some(strike) = self.strikes.last_mut() {
            strike.until_ms = now_ms();
        }
        Ok(())
    }

    fn agent(&mut self) -> &'static str {
        SERVICES[usize::try_from(self.seed.below(SERVICES.len() as u64)).expect("few")]
    }

    /// Sometimes its next instance is waited for, sometimes more follows at once.
    fn kill_agent(&mut self, agent: &'static str) -> Result<(), String> {
        let process = self.process(|process| is_agent(process, agent))?;
        let failovers = self.commands.seen().failovers;
        send(&process, Signal::KILL);
        if self.seed.below(2) == 0 {
            let back = self.commands.until(PATIENCE, |seen| seen.failovers > failovers || seen.is_over);
            back.map_err(|seen| format!("agent {agent} was killed and did not come back: {seen:#?}"))?;
        }
        Ok(())
    }

    fn freeze(&mut self, process: &Process, longest_ms: u64) {
        send(process, Signal::STOP);
        let lasts = 200 + self.seed.below(longest_ms - 200);
        pause(lasts);
        send(process, Signal::CONT);
    }

    /// All links, with or without what goes through signaling, or those that one agent has now.
    fn cut(&mut self, agent: &'static str) -> Result<(), String> {
        let all = "meta l4proto udp".to_owned();
        let what = match self.seed.below(3) {
            0 => vec![all],
            1 => {
                let signaling = self.signaling()?;
                vec![all, format!("tcp dport {signaling}"), format!("tcp sport {signaling}")]
            }
            _ => {
                let ports = udp_ports(self.process(|process| is_agent(process, agent))?.pid);
                let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                let ports = ports.join(", ");
                vec![format!("udp dport {{ {ports} }}"), format!("udp sport {{ {ports} }}")]
            }
        };
        if what.iter().any(|what| what.contains("{  }")) {
            // It has none at this moment.
            return Ok(());
        }
        self.place.cut(&what);
        let lasts = 300 + self.seed.below(5_000);
        pause(lasts);
        self.place.heal();
        Ok(())
    }

    /// The port of signaling, as those who join read it.
    fn signaling(&self) -> Result<String, String> {
        let mesh = self.process(is_keeper)?;
        let folder = mesh.arguments.iter().skip_while(|word| *word != "--dir").nth(1).cloned().unwrap_or_default();
        let text = std::fs::read_to_string(format!("{folder}/mesh.toml")).map_err(|error| error.to_string())?;
        let port =
            text.split_once("127.0.0.1:").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect());
        port.ok_or_else(|| format!("no signaling in {text}"))
    }

    /// For a moment, or for so long that another one takes its place.
    fn freeze_orchestrator(&mut self) -> Result<(), String> {
        self.stands_by()?;
        self.commands.signal(Signal::STOP);
        if self.seed.below(2) == 0 {
            let lasts = 200 + self.seed.below(2_000);
            pause(lasts);
            self.commands.signal(Signal::CONT);
            return Ok(());
        }
        self.replace()?;
        if let Some(before) = self.replaced.last() {
            before.signal(Signal::CONT);
        }
        Ok(())
    }

    /// Somebody is there to take over.
    pub fn stands_by(&mut self) -> Result<(), String> {
        let standby = self.standby.get_or_insert_with(|| Commander::standby(self.place));
        let ready = standby.until(PATIENCE, |seen| seen.stands_by || seen.is_over);
        match ready {
            Ok(seen) if !seen.is_over => Ok(()),
            Ok(seen) | Err(seen) => Err(format!("nobody stands by: {seen:#?}")),
        }
    }

    /// Whoever stands by commands from now on.
    fn replace(&mut self) -> Result<(), String> {
        let Some(standby) = self.standby.take() else { return Err("nobody stands by".to_owned()) };
        match standby.until(PATIENCE, |seen| seen.commands || seen.is_over) {
            Ok(seen) if seen.commands => {}
            Ok(seen) | Err(seen) => return Err(format!("nobody took the run over: {seen:#?}")),
        }
        self.replaced.push(std::mem::replace(&mut self.commands, standby));
        Ok(())
    }

    /// The process of this place that is meant. One that is just being started again is waited for.
    fn process(&self, is_it: impl Fn(&Process) -> bool) -> Result<Process, String> {
        for _ in 0..PATIENCE.as_millis() / 50 {
            if let Some(process) = processes::mentioning(self.place.path()).into_iter().find(&is_it) {
                return Ok(process);
            }
            pause(50);
        }
        Err(format!("it does not run: {:#?}", processes::mentioning(self.place.path())))
    }
}

fn is_agent(process: &Process, name: &str) -> bool {
    process.subcommand() == Some("agent") && process.variable("MESHPROOF_NAME") == Some(name)
}

/// The keeper proper, not the one behind it.
fn is_keeper(process: &Process) -> bool {
    process.subcommand() == Some("keep") && process.arguments.iter().any(|word| word == "--guard")
}

/// One that has ended meanwhile hears nothing.
fn send(process: &Process, signal: Signal) {
    let pid = Pid::from_raw(process.pid).expect("a process id is not 0");
    let _ = kill_process(pid, signal);
}

/// Lets time pass: a strike lasts for a while.
pub fn pause(milliseconds: u64) {
    let (_open, nothing) = mpsc::channel::<()>();
    let _ = nothing.recv_timeout(Duration::from_millis(milliseconds));
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
