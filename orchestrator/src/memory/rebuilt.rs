//! A run brought to where another orchestrator has left it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use meshproof_proto::event::{Event, Fact};
use meshproof_proto::id::{Name, PeerId, Term};
use meshproof_proto::memory::{Extent, Piece};
use meshproof_proto::order::millis;
use thiserror::Error;

use super::conducted::Conducted;
use super::log::Log;
use super::outstanding::{self, Outstanding};
use super::record::{self, Began, Ready, Remembered, Unreadable};
use crate::record::Happening;
use crate::run::{Input, Output, ProcessOrder, Run, Setting, heeds};

/// What agents have given back.
#[derive(Debug)]
pub struct Recollected {
    /// That of the orchestrator that goes on.
    pub term: Term,
    /// Of the agent that has most.
    pub pieces: Vec<Piece>,
    /// How much each agent has.
    pub extents: BTreeMap<Name, Extent>,
    pub events: Events,
}

/// The same, read.
#[derive(Debug)]
pub struct Recollection {
    pub began: Began,
    pub ready: Ready,
    records: Vec<Remembered>,
    recollected: Recollected,
}

/// Every event of each agent, by number.
pub type Events = BTreeMap<Name, BTreeMap<u64, Event>>;

/// A run that goes on.
#[derive(Debug)]
pub struct Rebuilt {
    pub conducted: Conducted,
    /// The journal so far.
    pub told: Vec<Told>,
    /// What was asked for and has no answer.
    pub outstanding: Vec<Output>,
    /// What the machine has not seen yet, in order.
    pub late: Vec<Late>,
    pub deeds: Deeds,
    /// How long it has gone on.
    pub age: Duration,
}

/// Something that happened and was not stored in time.
#[derive(Clone, Debug)]
pub enum Late {
    /// An agent's fact of that number.
    Fact { agent: Name, seq: u64, fact: Fact },
    /// An answer, as a fact shows.
    Answer(Input),
}

/// A line of the journal.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Milliseconds since 1970.
    Own {
        at_unix_ms: u64,
        what: Happening,
    },
    Event {
        agent: Name,
        event: Event,
    },
}

/// What was done to processes and is known to have been done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// How often each service was started.
    pub starts: BTreeMap<Name, u64>,
    /// How often each agent was killed.
    pub kills: BTreeMap<Name, u64>,
    /// How many processes of each service have left by themselves.
    pub exits: BTreeMap<Name, u64>,
}

/// Why a run cannot go on.
#[derive(Debug, Error)]
pub enum NotRebuilt {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("its orchestrator died before the run had begun; nothing of it was remembered")]
    NotBegun,
    #[error("event {seq} of agent {agent} was taken into account, and is gone with its disk")]
    Missing { agent: Name, seq: u64 },
}

impl Recollected {
    /// What stands in the pieces.
    ///
    /// # Errors
    /// They are not what an orchestrator writes, or not enough of it.
    pub fn read(mut self) -> Result<Recollection, NotRebuilt> {
        let records = record::read(&mut self.pieces)?;
        let began = records.iter().find_map(|record| match record {
            Remembered::Began(began) => Some((**began).clone()),
            _ => None,
        });
        let ready = records.iter().find_map(|record| match record {
            Remembered::Ready { ready, .. } => Some((**ready).clone()),
            _ => None,
        });
        let (Some(began), Some(ready)) = (began, ready) else { return Err(NotRebuilt::NotBegun) };
        Ok(Recollection { began, ready, records, recollected: self })
    }
}

/// Feeds a fresh machine, which is made for the time that it is given, with everything that was remembered.
///
/// # Errors
/// Something that is needed is not there.
pub fn rebuild(
    recollection: Recollection,
    make: impl FnOnce(Instant) -> Run,
    (setting, Moment { now, at_unix_ms }): (Setting, Moment),
) -> Result<Rebuilt, NotRebuilt> {
    let Recollection { records, recollected, began: Began { at_unix_ms: began_unix_ms, .. }, .. } = recollection;
    let Recollected { term, pieces, extents, events } = recollected;
    let age = Duration::from_micros(records.iter().map(Remembered::at_us).max().unwrap_or_default());
    // The time without an orchestrator is not the run's.
    let began = now.checked_sub(age).unwrap_or(now);
    let mut replay = Replay::new(make(began), (began, events));
    replay.clock = Clock { at: Duration::ZERO, unix_ms: began_unix_ms };
    replay.drain(Duration::ZERO);
    let mut setting = Some(setting);
    for record in records {
        replay.take(record, &mut setting)?;
    }
    let late = replay.late();
    let Replay { run, told, outstanding, ordered, holders, deeds, .. } = replay;
    let log = Log::after((term, pieces), &extents);
    let mut conducted = Conducted::taken_over((run, began), log, (ordered, holders));
    let at_us = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
    conducted.note_and_wait(&Remembered::Commands { at_us, term, at_unix_ms }, now);
    conducted.go_on(now);
    Ok(Rebuilt { conducted, told, outstanding: outstanding.into_outputs(), late, deeds, age })
}

/// Now, by both clocks: the one that counts, and the wall's, for display, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Instant,
    pub at_unix_ms: u64,
}

/// What the wall clock of whoever commanded said at that time of the run.
#[derive(Clone, Copy)]
struct Clock {
    at: Duration,
    unix_ms: u64,
}

impl Clock {
    fn unix_ms(self, at: Duration) -> u64 {
        self.unix_ms + millis(at.saturating_sub(self.at))
    }
}

struct Replay {
    run: Run,
    began: Instant,
    clock: Clock,
    events: Events,
    told: Vec<Told>,
    outstanding: Outstanding,
    ordered: BTreeSet<meshproof_proto::order::StepKey>,
    holders: BTreeMap<Name, PeerId>,
    deeds: Deeds,
}

impl Replay {
    fn new(run: Run, (began, events): (Instant, Events)) -> Self {
        let (outstanding, ordered, deeds) = (Outstanding::default(), BTreeSet::new(), Deeds::default());
        let clock = Clock { at: Duration::ZERO, unix_ms: 0 };
        Self { run, began, clock, events, told: Vec::new(), outstanding, ordered, holders: BTreeMap::new(), deeds }
    }

    fn take(&mut self, record: Remembered, setting: &mut Option<Setting>) -> Result<(), NotRebuilt> {
        let at = Duration::from_micros(record.at_us());
        let now = self.began + at;
        match record {
            Remembered::Began(_) => {}
            Remembered::Ready { .. } => {
                if let Some(setting) = setting.take() {
                    self.run.handle(Input::Begin(Box::new(setting)), now);
                }
            }
            Remembered::Heard { agent, seq, .. } => {
                let fact = self.hear(&agent, seq)?;
                self.input(Input::Fact { agent, fact }, now);
            }
            Remembered::Took { input, .. } => self.input(*input, now),
            Remembered::Back { agent, instance, .. } => {
                self.holders.insert(agent.clone(), instance);
                self.input(Input::AgentBack { agent }, now);
            }
            Remembered::Time { .. } => self.run.handle_timeout(now),
            Remembered::Said { what, .. } => self.tell(at, *what),
            Remembered::Commands { at_unix_ms, .. } => {
                self.clock = Clock { at, unix_ms: at_unix_ms };
                self.run.go_on(now);
            }
        }
        self.drain(at);
        Ok(())
    }

    fn tell(&mut self, at: Duration, what: Happening) {
        self.told.push(Told::Own { at_unix_ms: self.clock.unix_ms(at), what });
    }

    /// The agent's event of that number, with those before it that the machine has no use for.
    fn hear(&mut self, agent: &Name, seq: u64) -> Result<Fact, NotRebuilt> {
        let missing = || NotRebuilt::Missing { agent: agent.clone(), seq };
        let events = self.events.get_mut(agent).ok_or_else(missing)?;
        let before: Vec<u64> =
            events.range(..seq).filter(|(_, event)| !heeds(&event.fact)).map(|(number, _)| *number).collect();
        for number in before.into_iter().chain([seq]) {
            let event = events.remove(&number).ok_or_else(missing)?;
            self.told.push(Told::Event { agent: agent.clone(), event });
        }
        match self.told.last() {
            Some(Told::Event { event, .. }) => Ok(event.fact.clone()),
            _ => Err(missing()),
        }
    }

    fn input(&mut self, input: Input, now: Instant) {
        self.deeds.learn(&input, &self.outstanding);
        self.outstanding.came(&input);
        self.run.handle(input, now);
    }

    fn drain(&mut self, at: Duration) {
        while let Some(output) = self.run.poll_output() {
            if let Some((_, key)) = outstanding::step(&output) {
                self.ordered.insert(key.clone());
            }
            self.outstanding.asked(&output);
            if let Output::Record(what) = output {
                self.tell(at, what);
            }
        }
    }

    /// What agents have seen since, in the order of their clocks, which is that of each agent's numbers.
    fn late(&mut self) -> Vec<Late> {
        let events = std::mem::take(&mut self.events);
        let mut late: Vec<(u64, Name, Event)> = Vec::new();
        for (agent, events) in events {
            let mut latest = 0;
            for event in events.into_values() {
                latest = event.at_ms.max(latest);
                late.push((latest, agent.clone(), event));
            }
        }
        late.sort_by_key(|(at_ms, _, _)| *at_ms);
        let mut seen = Vec::new();
        for (_, agent, event) in late {
            let answer = match &event.fact {
                Fact::FaultBegan { fault } => self.outstanding.begun(&agent, fault),
                _ => None,
            };
            let input = answer.clone().unwrap_or(Input::Fact { agent: agent.clone(), fact: event.fact.clone() });
            self.outstanding.came(&input);
            seen.extend(answer.map(Late::Answer));
            seen.push(Late::Fact { agent: agent.clone(), seq: event.seq, fact: event.fact.clone() });
            self.told.push(Told::Event { agent, event });
        }
        seen
    }
}

impl Deeds {
    fn learn(&mut self, input: &Input, outstanding: &Outstanding) {
        match input {
            Input::ServiceStarted { service } => *self.starts.entry(service.clone()).or_default() += 1,
            Input::ServiceLeft { service, .. } => *self.exits.entry(service.clone()).or_default() += 1,
            Input::ProcessesChanged { key, result: Ok(()) } => match outstanding.change(key) {
                Some((service, ProcessOrder::Restart(_))) => *self.starts.entry(service.clone()).or_default() += 1,
                Some((service, ProcessOrder::KillAgent)) => *self.kills.entry(service.clone()).or_default() += 1,
                _ => {}
            },
            _ => {}
        }
    }
}
