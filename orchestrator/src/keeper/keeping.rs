//! What a keeper knows and decides: what runs, who is in command, what is being ended. Nothing here waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use meshproof_proto::id::Name;
use rustix::process::getpid;

use super::control::{Controller, Incoming};
use super::folder::RunFolder;
use super::groups::{Groups, Scope};
use super::opening::{self, OpenError, Opened};
use super::ports::Ports;
use super::protocol::{
    Answer, Call, EndReport, Exit, How, Line, Notice, ProcessExited, Request, Stopped, Welcome, What,
};
use super::respawn::{Next, Respawns};
use super::setup::Setup;
use super::spawn::Home;

/// A keeper between two events.
pub(super) struct Keeper {
    pub(super) folder: RunFolder,
    pub(super) setup: Setup,
    pub(super) groups: Groups,
    pub(super) ports: Ports,
    pub(super) state: State,
    command: Command,
    /// Everything that exited, for whoever takes control later.
    exits: Vec<ProcessExited>,
    pub(super) respawns: Respawns,
    /// How often each service was started and each agent killed, for whoever has to know whether that was done.
    pub(super) starts: BTreeMap<Name, u64>,
    pub(super) kills: BTreeMap<Name, u64>,
    /// The highest term that somebody took control at.
    term: u64,
    /// Zones that were killed.
    pub(super) down: BTreeSet<String>,
    /// Calls that wait for services to end.
    stops: Vec<(u64, Stopped)>,
    /// Calls that wait for what was in a zone to end.
    zone_kills: Vec<(u64, Vec<What>, Vec<Name>)>,
    /// Calls that wait for everything to end, once that has begun.
    ending: Option<(How, Vec<u64>)>,
}

/// How far it has come.
pub(super) enum State {
    /// Signaling is starting; these calls wait for a welcome.
    Opening {
        greeted: Vec<u64>,
    },
    Open(Opened),
    /// Why it did not open.
    Failed(String),
}

/// Who is in command.
enum Command {
    Taken(Controller),
    /// Nobody; at that time everything is ended.
    Orphaned {
        until: Instant,
    },
}

impl Keeper {
    pub(super) fn new(folder: RunFolder, setup: Setup, groups: Groups) -> Self {
        let command = Command::Orphaned { until: Instant::now() + setup.orphan_grace() };
        let ports = Ports::default();
        let state = State::Opening { greeted: Vec::new() };
        let (exits, respawns, stops) = (Vec::new(), Respawns::default(), Vec::new());
        let (starts, kills) = (BTreeMap::new(), BTreeMap::new());
        Self {
            folder,
            setup,
            groups,
            ports,
            state,
            command,
            exits,
            respawns,
            starts,
            kills,
            term: 0,
            down: BTreeSet::new(),
            stops,
            zone_kills: Vec::new(),
            ending: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        let left = |scope| self.groups.any_left(scope);
        self.ending.is_some() && !left(Scope::Services) && !left(Scope::Agents) && !left(Scope::Signaling)
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening { .. })
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let orphaned = match self.command {
            Command::Orphaned { until } if self.ending.is_none() => Some(until),
            Command::Orphaned { .. } | Command::Taken(_) => None,
        };
        orphaned.into_iter().chain(self.groups.poll_timeout()).chain(self.respawns.poll_timeout()).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Command::Orphaned { until } = self.command
            && now >= until
        {
            self.end("no orchestrator came back", How::Asking);
        }
        self.groups.handle_timeout(now);
        self.respawn(now);
        self.advance();
    }

    pub(super) fn handle_signal(&mut self, name: &str) {
        // The second one means at once.
        let how = if self.ending.is_some() { How::AtOnce } else { How::Asking };
        self.end(name, how);
        self.advance();
    }

    pub(super) fn handle_exits(&mut self, reaped: Vec<(i32, Exit)>) {
        for exited in self.groups.handle_exits(reaped) {
            tracing::info!(what = %exited.what, exit = %exited.exit, cause = ?exited.cause, "exited");
            self.exits.push(exited.clone());
            let what = exited.what.clone();
            self.tell(Line::Notice(Notice::ProcessExited(exited)));
            self.ended(&what);
        }
        self.respawn(Instant::now());
        self.advance();
    }

    /// Another life of it is due, if it is ours and may have one.
    fn ended(&mut self, what: &What) {
        let is_open = self.ending.is_none() && matches!(self.state, State::Open(_));
        let is_ours = match what {
            What::Agent { .. } | What::Signaling => true,
            What::Service { .. } => false,
        };
        if is_open && self.is_in_a_killed_zone(what) {
            return self.zone_is_gone(what);
        }
        if is_open && is_ours && self.respawns.ended(what, Instant::now()) == Next::GivenUp {
            self.give_up(what, "it ended too early too often");
        }
    }

    /// Starts those again whose time has come.
    fn respawn(&mut self, now: Instant) {
        while let Some(what) = self.respawns.due(now) {
            let State::Open(opened) = &mut self.state else { return };
            if self.ending.is_some() {
                return;
            }
            let (place, kept) = ((&self.folder, &self.setup), (&mut self.groups, &mut self.respawns));
            let started = match &what {
                What::Agent { name, number } => {
                    kept.0.forget_ended(Scope::Agent(name, *number));
                    opened.start_agent(place, kept, (name, *number)).map(Some)
                }
                What::Signaling => {
                    kept.0.forget_ended(Scope::Signaling);
                    opened.start_signaling(place, kept).map(|()| None)
                }
                // What becomes of a service is the plan's affair.
                What::Service { .. } => continue,
            };
            match (started, what) {
                (Ok(Some(pid)), What::Agent { name, .. }) => {
                    self.tell(Line::Notice(Notice::AgentStarted { name, pid }))
                }
                (Ok(_), _) => {}
                (Err(error), what) => self.give_up(&what, &error.to_string()),
            }
        }
    }

    pub(super) fn give_up(&mut self, what: &What, reason: &str) {
        tracing::error!(%what, reason, "it is not started again");
        let reason = reason.to_owned();
        match what {
            // another instance is there, or comes
            What::Agent { .. } if self.has_another(what) => {}
            What::Agent { name, .. } => self.tell(Line::Notice(Notice::AgentGivenUp { name: name.clone(), reason })),
            What::Signaling => self.tell(Line::Notice(Notice::SignalingGivenUp { reason })),
            What::Service { .. } => {}
        }
    }

    pub(super) fn handle(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Hello { id, term, controller } if term < self.term => {
                tracing::warn!(connection = controller.number(), term, "an orchestrator that was replaced is refused");
                let message = format!("another orchestrator commands at term {}, this one at {term}", self.term);
                controller.refuse(Line::Answer { id, answer: failed(message) });
            }
            Incoming::Hello { id, term, controller } => {
                tracing::info!(connection = controller.number(), term, "an orchestrator takes control");
                self.term = term;
                if let Command::Taken(before) = std::mem::replace(&mut self.command, Command::Taken(controller)) {
                    before.refuse(Line::Notice(Notice::Replaced));
                }
                self.forget_waiting();
                self.welcome(id);
            }
            Incoming::Call { from, call } if self.is_commanded_by(from) => self.handle_call(call),
            Incoming::Call { from, .. } => tracing::warn!(from, "a call from a connection that is not in control"),
            Incoming::Left { from } if self.is_commanded_by(from) => self.orphan(),
            Incoming::Left { .. } => {}
        }
        self.advance();
    }

    fn handle_call(&mut self, Call { id, request }: Call) {
        let answer = match request {
            Request::Hello { .. } => return self.welcome(id),
            Request::Allot { ports } => self.allot(ports),
            Request::StartService(_) if self.ending.is_some() => failed("everything is being ended"),
            Request::StartService(start) => self.start_service(&start),
            Request::Stop { what, how } => {
                self.groups.stop(Scope::from(&what), how);
                return self.stops.push((id, what));
            }
            Request::Signal { target, signal } => self.signal(&target, signal),
            Request::StandBy => self.stand_by(),
            Request::KillZone { zone, services } => {
                let agents = self.kill_zone(zone, &services);
                return self.zone_kills.push((id, agents, services));
            }
            Request::End { how } => {
                self.end("the orchestrator asked for it", how);
                if let Some((_, ids)) = &mut self.ending {
                    ids.push(id);
                }
                return;
            }
        };
        self.answer(id, answer);
    }

    /// Signaling listens, or never will.
    pub(super) fn handle_address(&mut self, address: Result<String, OpenError>) {
        let opened = match address {
            _ if self.ending.is_some() => State::Failed("everything is being ended".to_owned()),
            Err(error) => State::Failed(error.to_string()),
            Ok(url) => match opening::finish(&self.folder, &self.setup, (&mut self.groups, &mut self.respawns), url) {
                Ok(opened) => State::Open(opened),
                Err(error) => State::Failed(error.to_string()),
            },
        };
        if let State::Opening { greeted } = std::mem::replace(&mut self.state, opened) {
            greeted.into_iter().for_each(|id| self.welcome(id));
        }
        self.advance();
    }

    /// Where a service lives.
    pub(super) fn home(&self, service: &Name) -> Home<'_> {
        match &self.state {
            State::Open(opened) => opened.home(service),
            State::Opening { .. } | State::Failed(_) => Home::Machine,
        }
    }

    fn welcome(&mut self, id: u64) {
        let answer = match &mut self.state {
            State::Opening { greeted } => return greeted.push(id),
            State::Open(opened) => Answer::Welcome(Box::new(Welcome {
                run: self.setup.run.clone(),
                keeper: getpid().as_raw_nonzero().get(),
                agents: opened.agents.clone(),
                signaling: opened.signaling.clone(),
                exits: self.exits.clone(),
                services: self.groups.services(),
                starts: self.starts.clone(),
                kills: self.kills.clone(),
            })),
            State::Failed(message) => {
                let answer = failed(message);
                self.end("it could not be opened", How::AtOnce);
                answer
            }
        };
        self.answer(id, answer);
    }

    /// Begins to end everything, or does so faster.
    fn end(&mut self, reason: &str, how: How) {
        tracing::info!(reason, ?how, "ending");
        match &mut self.ending {
            Some((current, _)) if how == How::AtOnce => *current = how,
            Some(_) => {}
            None => {
                self.ending = Some((how, Vec::new()));
                self.tell(Line::Notice(Notice::Ending { reason: reason.to_owned() }));
            }
        }
    }

    /// Takes the next step of whatever is being ended, and answers who waited for it.
    fn advance(&mut self) {
        if let Some((how, _)) = self.ending {
            let stages = [Scope::Services, Scope::Agents, Scope::Signaling];
            match how {
                How::AtOnce => stages.into_iter().for_each(|stage| self.groups.stop(stage, how)),
                How::Asking => {
                    if let Some(stage) = stages.into_iter().find(|stage| self.groups.any_left(*stage)) {
                        self.groups.stop(stage, how);
                    }
                }
            }
        }
        for (id, agents, services) in std::mem::take(&mut self.zone_kills) {
            let is_left = |what: &Name| self.groups.any_left(Scope::Service(what));
            if agents.iter().any(|agent| self.is_there(agent)) || services.iter().any(is_left) {
                self.zone_kills.push((id, agents, services));
            } else {
                self.answer(id, Answer::Stopped { endings: Vec::new() });
            }
        }
        for (id, what) in std::mem::take(&mut self.stops) {
            let scope = Scope::from(&what);
            if self.groups.any_left(scope) {
                self.stops.push((id, what));
            } else {
                self.answer(id, Answer::Stopped { endings: self.groups.endings(scope) });
            }
        }
    }

    /// Calls are numbered by who makes them: those of another are not to be answered.
    fn forget_waiting(&mut self) {
        self.stops.clear();
        self.zone_kills.clear();
        if let Some((_, ids)) = &mut self.ending {
            ids.clear();
        }
        if let State::Opening { greeted } = &mut self.state {
            greeted.clear();
        }
    }

    fn is_commanded_by(&self, connection: u64) -> bool {
        matches!(&self.command, Command::Taken(controller) if controller.number() == connection)
    }

    fn orphan(&mut self) {
        let grace: Duration = self.setup.orphan_grace();
        tracing::warn!(?grace, "the orchestrator is gone");
        self.command = Command::Orphaned { until: Instant::now() + grace };
    }

    fn answer(&mut self, id: u64, answer: Answer) {
        self.tell(Line::Answer { id, answer });
    }

    fn tell(&mut self, line: Line) {
        if let Command::Taken(controller) = &self.command
            && !controller.tell(line)
        {
            self.orphan();
        }
    }

    /// The last of it: nothing is left but the folder.
    pub(super) async fn leave(mut self, strays: Vec<String>) -> anyhow::Result<()> {
        let scopes = [Scope::Services, Scope::Agents, Scope::Signaling];
        let endings = scopes.into_iter().flat_map(|scope| self.groups.endings(scope)).collect();
        let report = EndReport { endings, strays };
        tracing::info!(?report, "ended");
        let removed = self.folder.remove();
        for id in self.ending.take().map(|(_, ids)| ids).unwrap_or_default() {
            let answer = match &removed {
                Ok(()) => Answer::Ended(report.clone()),
                Err(error) => failed(format!("cannot remove {}: {error}", self.folder.path().display())),
            };
            self.answer(id, answer);
        }
        if let Command::Taken(controller) = self.command {
            controller.close().await;
        }
        removed.with_context(|| format!("cannot remove {}", self.folder.path().display()))
    }
}

pub(super) fn failed(message: impl ToString) -> Answer {
    Answer::Failed { message: message.to_string() }
}
