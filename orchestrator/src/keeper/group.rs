//! The life of one process and the group it leads, pure: what is done to it and when, decided here and done elsewhere.
//!
//! A group has ended when its leader was reaped *and* nobody is left in it: a service may well fork and leave.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::limits::KILL_DEADLINE;
use super::protocol::{Cause, Disturbance, EndVerdict, Ending, Exit, StopSignal, StopWish, What};

/// A process group that the keeper started. The leader's process id is the group's.
#[derive(Debug)]
pub struct Group {
    what: What,
    leader: i32,
    stop: StopWish,
    life: Life,
    exit: Option<Exit>,
    /// It is frozen until then.
    thaw_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    Asked { kill_at: Instant },
    Killed { cause: Cause, give_up_at: Instant },
    Ended { cause: Cause },
}

impl Group {
    pub fn new(what: What, leader: i32, stop: StopWish) -> Self {
        Self { what, leader, stop, life: Life::Running, exit: None, thaw_at: None }
    }

    pub fn what(&self) -> &What {
        &self.what
    }

    pub fn leader(&self) -> i32 {
        self.leader
    }

    /// How the leader left, once it has.
    pub fn exit(&self) -> Option<Exit> {
        self.exit
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.life, Life::Ended { .. })
    }

    /// Why it leaves, or left, or would leave if it did so now.
    pub fn cause(&self) -> Cause {
        match self.life {
            Life::Running => Cause::Itself,
            Life::Asked { .. } => Cause::Asked,
            Life::Killed { cause, .. } | Life::Ended { cause } => cause,
        }
    }

    /// Asks a running group to end. SIGCONT follows, since a frozen process hears nothing.
    pub fn ask(&mut self, now: Instant) -> &'static [Signal] {
        match self.life {
            Life::Running => {
                self.life = Life::Asked { kill_at: now + Duration::from_millis(self.stop.grace_ms) };
                asking(self.stop.signal)
            }
            Life::Asked { .. } | Life::Killed { .. } | Life::Ended { .. } => &[],
        }
    }

    /// Kills it, whatever it does.
    pub fn kill(&mut self, now: Instant) -> &'static [Signal] {
        match self.life {
            Life::Running | Life::Asked { .. } => self.killed(Cause::Ordered, now),
            Life::Killed { .. } | Life::Ended { .. } => &[],
        }
    }

    /// Disturbs it on order.
    pub fn disturb(&mut self, disturbance: Disturbance, now: Instant) -> &'static [Signal] {
        match disturbance {
            Disturbance::Kill => self.kill(now),
            Disturbance::Freeze { lease_ms } if !self.has_ended() => {
                self.thaw_at = Some(now + Duration::from_millis(lease_ms));
                &[Signal::STOP]
            }
            Disturbance::Thaw if !self.has_ended() => self.thaw(),
            Disturbance::Freeze { .. } | Disturbance::Thaw => &[],
        }
    }

    /// When [`Group::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let end = match self.life {
            Life::Running | Life::Ended { .. } => None,
            Life::Asked { kill_at: at } | Life::Killed { give_up_at: at, .. } => Some(at),
        };
        let thaw = self.thaw_at.filter(|_| !self.has_ended());
        end.into_iter().chain(thaw).min()
    }

    fn thaw(&mut self) -> &'static [Signal] {
        self.thaw_at = None;
        &[Signal::CONT]
    }

    /// Thaws one whose lease is over; kills one that outlived its grace; gives up on one that outlived SIGKILL.
    pub fn handle_timeout(&mut self, now: Instant) -> &'static [Signal] {
        if self.thaw_at.is_some_and(|at| now >= at) && !self.has_ended() {
            return self.thaw();
        }
        match self.life {
            Life::Asked { kill_at } if now >= kill_at => self.killed(Cause::Outlived, now),
            Life::Killed { cause, give_up_at } if now >= give_up_at => {
                self.life = Life::Ended { cause };
                &[]
            }
            Life::Running | Life::Asked { .. } | Life::Killed { .. } | Life::Ended { .. } => &[],
        }
    }

    /// The leader was reaped.
    pub fn handle_exit(&mut self, exit: Exit) {
        self.exit = Some(exit);
    }

    /// Nobody is left in the group, and the leader was reaped.
    pub fn handle_empty(&mut self) {
        self.life = Life::Ended { cause: self.cause() };
    }

    /// How it ended, or stands.
    pub fn ending(&self) -> Ending {
        let honest = match (self.cause(), self.exit) {
            (Cause::Ordered, Some(_)) | (_, Some(Exit::Code(0))) => EndVerdict::Clean,
            (Cause::Asked, Some(exit)) if is_answer_to(self.stop.signal, exit) => EndVerdict::Clean,
            (_, Some(_) | None) => EndVerdict::Wrong,
        };
        let verdict = match self.cause() {
            Cause::Outlived => EndVerdict::Wrong,
            Cause::Itself | Cause::Asked | Cause::Ordered => honest,
        };
        Ending { what: self.what.clone(), exit: self.exit, cause: self.cause(), verdict }
    }

    fn killed(&mut self, cause: Cause, now: Instant) -> &'static [Signal] {
        self.life = Life::Killed { cause, give_up_at: now + KILL_DEADLINE };
        &[Signal::KILL]
    }
}

fn asking(signal: StopSignal) -> &'static [Signal] {
    match signal {
        StopSignal::Term => &[Signal::TERM, Signal::CONT],
        StopSignal::Int => &[Signal::INT, Signal::CONT],
        StopSignal::Quit => &[Signal::QUIT, Signal::CONT],
        StopSignal::Hup => &[Signal::HUP, Signal::CONT],
        StopSignal::Kill => &[Signal::KILL],
    }
}

/// Dying of the signal is an honest answer to it; so is 128 + its number, with which shells and JVMs say the same.
fn is_answer_to(signal: StopSignal, exit: Exit) -> bool {
    let number = asking(signal)[0].as_raw();
    exit == Exit::Signal(number) || exit == Exit::Code(128 + number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group {
        let what = What::Service { name: "shop".parse().expect("a name"), process: 0 };
        Group::new(what, 7, StopWish::default())
    }

    const GRACE: Duration = Duration::from_secs(5);

    #[test]
    fn one_that_leaves_when_asked_is_clean() {
        let now = Instant::now();
        for (exit, verdict) in [
            (Exit::Code(0), EndVerdict::Clean),
            (Exit::Signal(15), EndVerdict::Clean),
            (Exit::Code(143), EndVerdict::Clean),
            (Exit::Code(1), EndVerdict::Wrong),
            (Exit::Signal(11), EndVerdict::Wrong),
        ] {
            let mut group = group();
            assert_eq!(group.ask(now), [Signal::TERM, Signal::CONT]);
            assert_eq!(group.ask(now), [], "asked once");
            group.handle_exit(exit);
            group.handle_empty();
            assert_eq!((group.ending().cause, group.ending().verdict), (Cause::Asked, verdict), "{exit}");
        }
    }

    #[test]
    fn one_that_outlives_its_grace_is_killed_and_never_clean() {
        let now = Instant::now();
        let mut group = group();
        group.ask(now);
        group.handle_exit(Exit::Code(0));
        assert!(!group.has_ended(), "the leader left, others stayed");
        assert_eq!(group.poll_timeout(), Some(now + GRACE));
        assert_eq!(group.handle_timeout(now), []);
        assert_eq!(group.handle_timeout(now + GRACE), [Signal::KILL]);
        group.handle_empty();
        assert_eq!((group.ending().cause, group.ending().verdict), (Cause::Outlived, EndVerdict::Wrong));
    }

    #[test]
    fn one_that_outlives_sigkill_is_given_up_and_said_so() {
        let now = Instant::now();
        let mut group = group();
        assert_eq!(group.kill(now), [Signal::KILL]);
        assert_eq!(group.handle_timeout(now + KILL_DEADLINE), []);
        assert!(group.has_ended());
        assert_eq!(group.ending().verdict, EndVerdict::Wrong);
        assert_eq!(group.ending().to_string(), "service shop is still there after SIGKILL");
    }

    #[test]
    fn one_that_is_frozen_goes_on_when_its_lease_is_over_or_before_when_told() {
        let now = Instant::now();
        let mut group = group();
        let lease = Duration::from_millis(500);
        assert_eq!(group.disturb(Disturbance::Freeze { lease_ms: 500 }, now), [Signal::STOP]);
        assert_eq!((group.poll_timeout(), group.handle_timeout(now)), (Some(now + lease), &[][..]));
        group.disturb(Disturbance::Freeze { lease_ms: 500 }, now + lease / 2);
        assert_eq!(group.handle_timeout(now + lease), [], "its lease was renewed");
        assert_eq!(group.handle_timeout(now + lease * 2), [Signal::CONT]);
        assert_eq!(group.poll_timeout(), None);
        group.disturb(Disturbance::Freeze { lease_ms: 500 }, now);
        assert_eq!((group.disturb(Disturbance::Thaw, now), group.poll_timeout()), (&[Signal::CONT][..], None));
    }

    #[test]
    fn one_that_leaves_by_itself_or_on_order_says_so() {
        let mut by_itself = group();
        by_itself.handle_exit(Exit::Code(3));
        by_itself.handle_empty();
        assert_eq!((by_itself.ending().cause, by_itself.ending().verdict), (Cause::Itself, EndVerdict::Wrong));

        let mut ordered = group();
        assert_eq!(ordered.disturb(Disturbance::Kill, Instant::now()), [Signal::KILL]);
        ordered.handle_exit(Exit::Signal(9));
        ordered.handle_empty();
        assert_eq!((ordered.ending().cause, ordered.ending().verdict), (Cause::Ordered, EndVerdict::Clean));
    }
}
