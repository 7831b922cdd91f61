//! Sync points between the members of a run: signals, barriers, topics. Pure.
//!
//! What steps do and what programs do are the same ops, but a step waits for members, and a program may wait for a number of entries, as
//! Testground's do: a member that signals twice has entered twice.
//!
//! A sync point is made by its first use and has no owner. Everything that is done to one is an [`Op`] with a number that its member
//! gives it, so the same op twice is one op, and whoever lost the state rebuilds it from the ops of all members, in any order.
//!
//! Whoever waits is a [`Waiter`], and every wait has an end: it is reached, it cannot be reached any more, or its time is over. Then it
//! is said who is missing.

mod asked;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits;

pub use asked::{Answer, Ask, MemberAsked, MemberEnd, Told};

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
    /// Until this name was signalled so many times, by whomever.
    Entries(Entries),
    /// Every value of a topic, those from before too. It never ends by itself.
    Follow { topic: String },
}

impl Waiter {
    fn point(&self) -> Point {
        match self {
            Self::Barrier(Barrier { name, .. }) | Self::Entries(Entries { name, .. }) => Point::Signal(name.clone()),
            Self::Topic { topic, .. } | Self::Follow { topic } => Point::Topic(topic.clone()),
        }
    }
}

/// Until a name was signalled so many times. It is lost once those who have not signalled it and are left are too few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries {
    pub name: String,
    pub count: u64,
    /// Who is expected to signal, once each.
    pub of: Arc<BTreeSet<Member>>,
}

/// What can be waited for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    Signal(String),
    Topic(String),
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
    /// Values that came to a topic that is followed; the first of them has this number, counted from 0. More may come.
    More { from: usize, values: Vec<String> },
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
    seen: BTreeMap<Member, Numbers>,
    signals: BTreeMap<String, Signalled>,
    topics: BTreeMap<String, Vec<String>>,
    gone: BTreeSet<Member>,
    waiters: BTreeMap<WaiterId, Waiting>,
    at: BTreeMap<Point, BTreeSet<WaiterId>>,
    until: BTreeSet<(Instant, WaiterId)>,
    out: VecDeque<(WaiterId, Outcome)>,
}

#[derive(Debug)]
struct Waiting {
    waiter: Waiter,
    until: Option<Instant>,
    /// Values of a topic that were given already.
    given: usize,
}

/// Who has signalled a name, and how often it was.
#[derive(Debug, Default)]
struct Signalled {
    by: BTreeSet<Member>,
    entries: u64,
}

/// Numbers that were seen: mostly all of them up to one.
#[derive(Debug, Default)]
struct Numbers {
    /// All below this.
    below: u64,
    beyond: BTreeSet<u64>,
}

impl Numbers {
    fn has(&self, number: u64) -> bool {
        number < self.below || self.beyond.contains(&number)
    }

    fn insert(&mut self, number: u64) {
        self.beyond.insert(number);
        while self.beyond.remove(&self.below) {
            self.below += 1;
        }
    }
}

impl Sync {
    /// Takes what a member did; once for each of its numbers. Gives how often the name was signalled by then, or how many values the topic
    /// has; of an op that was seen before, nothing.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn handle(&mut self, op: Op) -> Result<Option<u64>, SyncError> {
        if self.seen.get(&op.member).is_some_and(|numbers| numbers.has(op.number)) {
            return Ok(None);
        }
        let (point, count) = match op.what {
            What::Signal { name } => {
                if !self.signals.contains_key(&name) {
                    self.has_room()?;
                }
                let signalled = self.signals.entry(name.clone()).or_default();
                signalled.entries += 1;
                signalled.by.insert(op.member.clone());
                (Point::Signal(name), signalled.entries)
            }
            What::Publish { topic, value } => {
                if value.len() > limits::SYNC_VALUE_BYTES {
                    return Err(SyncError::TooLarge { bytes: value.len() });
                }
                if !self.topics.contains_key(&topic) {
                    self.has_room()?;
                }
                let values = self.topics.entry(topic.clone()).or_default();
                if values.len() >= limits::SYNC_VALUES {
                    return Err(SyncError::TooManyValues { topic });
                }
                values.push(value);
                (Point::Topic(topic), values.len() as u64)
            }
        };
        self.seen.entry(op.member).or_default().insert(op.number);
        self.settle(&point);
        Ok(Some(count))
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
        self.begin(id, waiter, Some(now + within));
    }

    /// Begins a wait that has no time of its own: whoever waits says how long, and gives it up.
    pub fn wait_on(&mut self, id: WaiterId, waiter: Waiter) {
        self.begin(id, waiter, None);
    }

    fn begin(&mut self, id: WaiterId, waiter: Waiter, until: Option<Instant>) {
        let point = waiter.point();
        self.until.extend(until.map(|until| (until, id)));
        self.at.entry(point.clone()).or_default().insert(id);
        self.waiters.insert(id, Waiting { waiter, until, given: 0 });
        self.look_at(id);
    }

    /// Nobody is interested any more.
    pub fn give_up(&mut self, id: WaiterId) {
        self.forget(id);
        self.out.retain(|(other, _)| *other != id);
    }

    fn forget(&mut self, id: WaiterId) -> Option<Waiter> {
        let Waiting { waiter, until, .. } = self.waiters.remove(&id)?;
        let point = waiter.point();
        if let Some(there) = self.at.get_mut(&point) {
            there.remove(&id);
            if there.is_empty() {
                self.at.remove(&point);
            }
        }
        until.map(|until| self.until.remove(&(until, id)));
        Some(waiter)
    }

    /// A member is gone. What it did stays done.
    pub fn lose(&mut self, member: &str) {
        self.lose_all([member.to_owned()]);
    }

    /// These are gone at once: who waits for them is told of all.
    pub fn lose_all(&mut self, members: impl IntoIterator<Item = Member>) {
        self.gone.extend(members);
        let points: Vec<Point> = self.at.keys().filter(|point| matches!(point, Point::Signal(_))).cloned().collect();
        points.iter().for_each(|point| self.settle(point));
    }

    /// It is back.
    pub fn restore(&mut self, member: &str) {
        self.gone.remove(member);
    }

    /// Ends the waits whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, id)) = self.until.first().copied().filter(|(until, _)| *until <= now) {
            let Some(waiter) = self.forget(id) else { break };
            let missing = self.missing(&waiter);
            self.out.push_back((id, Outcome::Late { missing }));
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.until.first().map(|(until, _)| *until)
    }

    /// The next wait that ended, or of which there is news.
    pub fn poll_output(&mut self) -> Option<(WaiterId, Outcome)> {
        self.out.pop_front()
    }

    /// Ends the waits there that are reached, or cannot be reached.
    fn settle(&mut self, point: &Point) {
        let there: Vec<WaiterId> = self.at.get(point).into_iter().flatten().copied().collect();
        there.into_iter().for_each(|id| self.look_at(id));
    }

    fn look_at(&mut self, id: WaiterId) {
        let Some(waiting) = self.waiters.get(&id) else { return };
        let Some(outcome) = self.outcome(waiting) else { return };
        match &outcome {
            Outcome::More { from, values } => {
                let given = from + values.len();
                self.waiters.entry(id).and_modify(|waiting| waiting.given = given);
            }
            _ => drop(self.forget(id)),
        }
        self.out.push_back((id, outcome));
    }

    fn outcome(&self, waiting: &Waiting) -> Option<Outcome> {
        match &waiting.waiter {
            Waiter::Barrier(barrier) => self.barrier(barrier),
            Waiter::Entries(entries) => self.entries(entries),
            Waiter::Topic { topic, count } => {
                let values = self.topics.get(topic)?;
                (values.len() >= *count).then(|| Outcome::Values(values[..*count].to_vec()))
            }
            Waiter::Follow { topic } => {
                let values = self.topics.get(topic)?.get(waiting.given..)?;
                let more = || Outcome::More { from: waiting.given, values: values.to_vec() };
                (!values.is_empty()).then(more)
            }
        }
    }

    fn entries(&self, waiter: &Entries) -> Option<Outcome> {
        let signalled = self.signals.get(&waiter.name);
        let came = signalled.map_or(0, |signalled| signalled.entries);
        if came >= waiter.count {
            let arrived = signalled.map(|signalled| signalled.by.clone()).unwrap_or_default();
            return Some(Outcome::Opened { arrived });
        }
        if self.gone.is_empty() {
            return None;
        }
        let has_come = |member: &Member| signalled.is_some_and(|signalled| signalled.by.contains(member));
        let silent = || waiter.of.iter().filter(|member| !has_come(member));
        let left = came + silent().filter(|member| !self.gone.contains(*member)).count() as u64;
        let gone: BTreeSet<Member> = silent().filter(|member| self.gone.contains(*member)).cloned().collect();
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let lost = Outcome::Lost { needed: count(waiter.count), left: count(left), gone };
        (left < waiter.count && matches!(&lost, Outcome::Lost { gone, .. } if !gone.is_empty())).then_some(lost)
    }

    fn barrier(&self, barrier: &Barrier) -> Option<Outcome> {
        let came = self.signals.get(&barrier.name).map_or(0, |signalled| signalled.by.len());
        // Nearly always: many wait, and most look for nothing.
        if self.gone.is_empty() && came < barrier.quorum.of(barrier.of.len()) {
            return None;
        }
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
        signalled.map(|signalled| signalled.by.intersection(&barrier.of).cloned().collect()).unwrap_or_default()
    }

    fn missing(&self, waiter: &Waiter) -> Missing {
        match waiter {
            Waiter::Barrier(barrier) => {
                let arrived = self.arrived(barrier);
                let missing = barrier.of.difference(&arrived).cloned().collect();
                let needed = barrier.quorum.of(barrier.of.len());
                Missing::Members { missing, arrived: arrived.len(), needed }
            }
            Waiter::Entries(entries) => {
                let came = self.signals.get(&entries.name);
                let has_come = |member: &Member| came.is_some_and(|came| came.by.contains(member));
                Missing::Members {
                    missing: entries.of.iter().filter(|member| !has_come(member)).cloned().collect(),
                    arrived: came.map_or(0, |came| usize::try_from(came.entries).unwrap_or(usize::MAX)),
                    needed: usize::try_from(entries.count).unwrap_or(usize::MAX),
                }
            }
            Waiter::Follow { topic } => {
                Missing::Values { there: self.topics.get(topic).map_or(0, Vec::len), needed: 0 }
            }
            Waiter::Topic { topic, count } => {
                Missing::Values { there: self.topics.get(topic).map_or(0, Vec::len), needed: *count }
            }
        }
    }
}

#[cfg(test)]
mod tests;
