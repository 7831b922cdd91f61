//! The process groups that a keeper started, and the signals that reach them.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use meshproof_proto::id::Name;
use rustix::process::{Pid, Signal, getsid, kill_process_group};

use super::containers::Containers;
use super::group::Group;
use super::procfs;
use super::protocol::{Disturbance, Ending, Exit, How, ProcessExited, StopWish, Stopped, Target, What};

/// Which groups are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    Service(&'a Name),
    Services,
    /// One of its instances.
    Agent(&'a Name, u32),
    Agents,
    Signaling,
}

impl<'a> From<&'a Stopped> for Scope<'a> {
    fn from(stopped: &'a Stopped) -> Self {
        match stopped {
            Stopped::Service(name) => Self::Service(name),
            Stopped::Services => Self::Services,
        }
    }
}

impl<'a> From<&'a Target> for Scope<'a> {
    fn from(target: &'a Target) -> Self {
        match target {
            Target::Service(name) => Self::Service(name),
            Target::Agent(name, number) => Self::Agent(name, *number),
            Target::Signaling => Self::Signaling,
        }
    }
}

impl Scope<'_> {
    fn holds(self, what: &What) -> bool {
        match (self, what) {
            (Self::Service(wanted), What::Service { name, .. }) => wanted == name,
            (Self::Agent(wanted, of), What::Agent { name, number }) => wanted == name && of == *number,
            (Self::Services, What::Service { .. })
            | (Self::Agents, What::Agent { .. })
            | (Self::Signaling, What::Signaling) => true,
            (Self::Service(_) | Self::Services | Self::Agent(..) | Self::Agents | Self::Signaling, _) => false,
        }
    }
}

/// Every group, in the order they were started.
#[derive(Debug)]
pub struct Groups {
    groups: Vec<Group>,
    /// The session that the keeper and all of them live in.
    session: i32,
    /// Those whose processes are commands that stand for containers.
    containers: Option<Containers>,
}

impl Groups {
    pub fn new(containers: Option<Containers>) -> std::io::Result<Self> {
        Ok(Self { groups: Vec::new(), session: getsid(None)?.as_raw_nonzero().get(), containers })
    }

    /// Takes care of a process that was just started as the leader of a group.
    pub fn add(&mut self, what: What, leader: i32, stop: StopWish) {
        self.groups.push(Group::new(what, leader, stop));
    }

    /// Forgets those of a scope that have ended: it is about to be started anew.
    pub fn forget_ended(&mut self, scope: Scope<'_>) {
        self.groups.retain(|group| !(scope.holds(group.what()) && group.has_ended()));
    }

    /// Whether anybody of that scope is left.
    pub fn any_left(&self, scope: Scope<'_>) -> bool {
        self.groups.iter().any(|group| scope.holds(group.what()) && !group.has_ended())
    }

    /// The services that run, and the leaders of their groups, as far as their agents see these.
    pub fn services(&self) -> BTreeMap<Name, Vec<i32>> {
        let mut services: BTreeMap<Name, Vec<i32>> = BTreeMap::new();
        for group in self.groups.iter().filter(|group| !group.has_ended()) {
            if let What::Service { name, .. } = group.what() {
                services.entry(name.clone()).or_default().extend(self.seen(name, group.leader()));
            }
        }
        services
    }

    /// The process, unless it only stands for one that has another number where it lives.
    pub fn seen(&self, service: &Name, leader: i32) -> Option<i32> {
        (!self.containers.as_ref().is_some_and(|containers| containers.has(service))).then_some(leader)
    }

    /// Has a scope end.
    pub fn stop(&mut self, scope: Scope<'_>, how: How) {
        self.each(scope, |group, now| match how {
            How::Asking => group.ask(now),
            How::AtOnce => group.kill(now),
        });
    }

    /// Disturbs a scope. `false` when nobody of it is left.
    pub fn disturb(&mut self, scope: Scope<'_>, disturbance: Disturbance) -> bool {
        let any = self.any_left(scope);
        self.each(scope, |group, now| group.disturb(disturbance, now));
        any
    }

    /// When [`Groups::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.groups.iter().filter_map(Group::poll_timeout).min()
    }

    /// Kills those whose grace is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settle();
        let ways = (self.session, self.containers.as_ref());
        for group in &mut self.groups {
            let signals = group.handle_timeout(now);
            send(group, signals, ways);
        }
    }

    /// Takes what was reaped; gives the leaders among it.
    pub fn handle_exits(&mut self, reaped: Vec<(i32, Exit)>) -> Vec<ProcessExited> {
        let mut told = Vec::new();
        for (pid, exit) in reaped {
            // A leader that was reaped before gave its number back; a group with an exit is not meant any more.
            let leader = self.groups.iter_mut().find(|group| group.leader() == pid && group.exit().is_none());
            if let Some(group) = leader {
                group.handle_exit(exit);
                told.push(ProcessExited { what: group.what().clone(), exit, cause: group.cause(), at_unix_ms: now() });
            }
        }
        self.settle();
        told
    }

    /// How those that ended did, and how those that did not stand.
    pub fn endings(&self, scope: Scope<'_>) -> Vec<Ending> {
        self.groups.iter().filter(|group| scope.holds(group.what())).map(Group::ending).collect()
    }

    /// Ends the groups whose leader was reaped and in which nobody is left.
    fn settle(&mut self) {
        let session = self.session;
        for group in self.groups.iter_mut().filter(|group| group.exit().is_some() && !group.has_ended()) {
            if !procfs::group_lives(group.leader(), session) {
                group.handle_empty();
            }
        }
    }

    fn each(&mut self, scope: Scope<'_>, act: impl Fn(&mut Group, Instant) -> &'static [Signal]) {
        self.settle();
        let ways = (self.session, self.containers.as_ref());
        let now = Instant::now();
        for group in self.groups.iter_mut().filter(|group| scope.holds(group.what())) {
            let signals = act(group, now);
            send(group, signals, ways);
        }
    }
}

/// Sends signals to everybody in a group, if it is still ours.
fn send(group: &Group, signals: &[Signal], (session, containers): (i32, Option<&Containers>)) {
    // Until it is reaped the leader keeps the number; afterwards only members of our session do.
    let is_ours = group.exit().is_none() || procfs::group_lives(group.leader(), session);
    let Some(leader) = Pid::from_raw(group.leader()).filter(|_| is_ours) else { return };
    for signal in signals {
        if containers.is_some_and(|containers| containers.signal(group.what(), *signal)) {
            continue;
        }
        if let Err(error) = kill_process_group(leader, *signal) {
            tracing::debug!(what = %group.what(), ?signal, %error, "a signal found nobody");
        }
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
