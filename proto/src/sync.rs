//! Sync points between the members of a run: signals, barriers, topics. Pure.
//!
//! A sync point is made by its first use and has no owner. Everything that is done to one is an [`Op`] with a number that its member
//! gives it, so the same op twice is one op, and whoever lost the state rebuilds it from the ops of all members, in any order.
//!
//! Whoever waits is a [`Waiter`], and every wait has an end: it is reached, it cannot be reached any more, or its time is over. Then it
//! is said who is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::limits;

/// Somebody who takes part: a service, a member of a group, or the test itself.
pub type Member = String;

/// Something that a member did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    pub member: Member,
    /// Of this member's ops; the same number is the same op.
    pub number: u64,
    pub what: What,
}

/// What can be done to a sync point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// This member is so far. Barriers of this name count it.
    Signal { name: String },
    /// A value, as JSON text, for everybody who subscribes, now or later.
    Publish { topic: String, value: String },
}

/// Names a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

/// A wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiter {
    /// Until enough of these members have signalled this name.
    Barrier(Barrier),
    /// Until a topic has so many values; those from before count.
    Topic { topic: String, count: usize },
}

/// Until so many members are so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    pub name: String,
    pub of: BTreeSet<Member>,
    pub quorum: Quorum,
    pub on_loss: OnLoss,
}

/// How many are enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quorum {
    /// In per cent, rounded up, at least one.
    Share(f64),
    Count(usize),
}

impl Eq for Quorum {}

impl Quorum {
    /// How many of so many.
    #[must_use]
    pub fn of(self, members: usize) -> usize {
        match self {
            // A hair less, so that 3.0000000001 of 3 is 3.
            Self::Share(percent) => ((members as f64 * percent / 100.0 - 1e-9).ceil().max(1.0)) as usize,
            Self::Count(count) => count,
        }
    }
}

/// What a barrier makes of a member that is gone before it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// The barrier fails if it cannot open without it.
    #[default]
    Fail,
    /// The others are all there are.
    Shrink,
    /// It may come back.
    Wait,
}

/// What came of a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Who had come.
    Opened { arrived: BTreeSet<Member> },
    /// The first values of the topic, in the order in which they were taken.
    Values(Vec<String>),
    /// It cannot be reached any more, for these are gone.
    Lost { gone: BTreeSet<Member>, needed: usize, left: usize },
    /// Its time is over.
    Late { missing: Missing },
}

/// What a wait was short of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    Members { missing: BTreeSet<Member>, arrived: usize, needed: usize },
    Values { there: usize, needed: usize },
}

/// An op that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    #[error("there are {} sync points, and no more are taken", limits::SYNC_POINTS)]
    TooManyPoints,
    #[error("the topic `{topic}` holds {} values, and no more are taken", limits::SYNC_VALUES)]
    TooManyValues { topic: String },
    #[error("a value of {bytes} bytes is more than the {} that are taken", limits::SYNC_VALUE_BYTES)]
    TooLarge { bytes: usize },
}

/// All sync points of a run, and who waits for what.
#[derive(Debug, Default)]
pub struct Sync {
    seen: BTreeSet<(Member, u64)>,
    signals: BTreeMap<String, BTreeSet<Member>>,
    topics: BTreeMap<String, Vec<String>>,
    gone: BTreeSet<Member>,
    waiters: BTreeMap<WaiterId, (Waiter, Instant)>,
    out: Vec<(WaiterId, Outcome)>,
}

impl Sync {
    /// Takes what a member did; once for each of its numbers.
    pub fn handle(&mut self, op: Op) -> Result<(), SyncError> {
        if self.seen.contains(&(op.member.clone(), op.number)) {
            return Ok(());
        }
        match &op.what {
            What::Signal { name } => {
                if !self.signals.contains_key(name) {
                    self.has_room()?;
                }
                self.signals.entry(name.clone()).or_default().insert(op.member.clone());
            }
            What::Publish { topic, value } => {
                if value.len() > limits::SYNC_VALUE_BYTES {
                    return Err(SyncError::TooLarge { bytes: value.len() });
                }
                if !self.topics.contains_key(topic) {
                    self.has_room()?;
                }
                let values = self.topics.entry(topic.clone()).or_default();
                if values.len() >= limits::SYNC_VALUES {
                    return Err(SyncError::TooManyValues { topic: topic.clone() });
                }
                values.push(value.clone());
            }
        }
        self.seen.insert((op.member, op.number));
        self.settle();
        Ok(())
    }

    /// Whether another sync point is taken.
    fn has_room(&self) -> Result<(), SyncError> {
        if self.signals.len() + self.topics.len() < limits::SYNC_POINTS {
            return Ok(());
        }
        Err(SyncError::TooManyPoints)
    }

    /// Begins a wait that ends after this time at the latest. Its end comes out of [`Self::poll_output`], which may be at once.
    pub fn wait(&mut self, id: WaiterId, waiter: Waiter, (within, now): (Duration, Instant)) {
        self.waiters.insert(id, (waiter, now + within));
        self.settle();
    }

    /// Nobody is interested any more.
    pub fn give_up(&mut self, id: WaiterId) {
        self.waiters.remove(&id);
        self.out.retain(|(other, _)| *other != id);
    }

    /// A member is gone. What it did stays done.
    pub fn lose(&mut self, member: &str) {
        self.gone.insert(member.to_owned());
        self.settle();
    }

    /// It is back.
    pub fn restore(&mut self, member: &str) {
        self.gone.remove(member);
    }

    /// Ends the waits whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        let late: Vec<WaiterId> =
            self.waiters.iter().filter(|(_, (_, until))| *until <= now).map(|(id, _)| *id).collect();
        for id in late {
            let Some((waiter, _)) = self.waiters.remove(&id) else { continue };
            let missing = self.missing(&waiter);
            self.out.push((id, Outcome::Late { missing }));
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiters.values().map(|(_, until)| *until).min()
    }

    /// The next wait that ended.
    pub fn poll_output(&mut self) -> Option<(WaiterId, Outcome)> {
        if self.out.is_empty() { None } else { Some(self.out.remove(0)) }
    }

    /// Ends the waits that are reached, or cannot be reached.
    fn settle(&mut self) {
        let ended: Vec<_> =
            self.waiters.iter().filter_map(|(id, (waiter, _))| Some((*id, self.outcome(waiter)?))).collect();
        for (id, outcome) in ended {
            self.waiters.remove(&id);
            self.out.push((id, outcome));
        }
    }

    fn outcome(&self, waiter: &Waiter) -> Option<Outcome> {
        match waiter {
            Waiter::Barrier(barrier) => self.barrier(barrier),
            Waiter::Topic { topic, count } => {
                let values = self.topics.get(topic)?;
                (values.len() >= *count).then(|| Outcome::Values(values[..*count].to_vec()))
            }
        }
    }

    fn barrier(&self, barrier: &Barrier) -> Option<Outcome> {
        let arrived = self.arrived(barrier);
        let gone: BTreeSet<Member> = barrier
            .of
            .iter()
            .filter(|member| self.gone.contains(*member) && !arrived.contains(*member))
            .cloned()
            .collect();
        let needed = match barrier.on_loss {
            OnLoss::Shrink => barrier.quorum.of(barrier.of.len() - gone.len()),
            OnLoss::Fail | OnLoss::Wait => barrier.quorum.of(barrier.of.len()),
        };
        let nobody_left = gone.len() == barrier.of.len() && !barrier.of.is_empty();
        if arrived.len() >= needed && !nobody_left {
            return Some(Outcome::Opened { arrived });
        }
        let left = barrier.of.len() - gone.len();
        let hopeless = match barrier.on_loss {
            OnLoss::Fail => left < needed,
            OnLoss::Shrink => nobody_left || left < needed,
            OnLoss::Wait => false,
        };
        (hopeless && !gone.is_empty()).then_some(Outcome::Lost { gone, needed, left })
    }

    fn arrived(&self, barrier: &Barrier) -> BTreeSet<Member> {
        let signalled = self.signals.get(&barrier.name);
        signalled.map(|signalled| signalled.intersection(&barrier.of).cloned().collect()).unwrap_or_default()
    }

    fn missing(&self, waiter: &Waiter) -> Missing {
        match waiter {
            Waiter::Barrier(barrier) => {
                let arrived = self.arrived(barrier);
                let missing = barrier.of.difference(&arrived).cloned().collect();
                let needed = barrier.quorum.of(barrier.of.len());
                Missing::Members { missing, arrived: arrived.len(), needed }
            }
            Waiter::Topic { topic, count } => {
                Missing::Values { there: self.topics.get(topic).map_or(0, Vec::len), needed: *count }
            }
        }
    }
}

#[cfg(test)]
mod tests;
