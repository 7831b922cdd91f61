//! Agents and the keeper, as whoever commands knows them. An agent dies between its steps, or in the middle of one; then another
//! instance of it is there at once, which has the disk of the one before and does nothing until it has been given the name.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_proto::event::{Event, Fact, Outcome};
use meshproof_proto::id::{Name, PeerId, RunId, Term};
use meshproof_proto::memory::{Extent, Piece};
use meshproof_proto::order::{StepKey, StepOrder, Turn};
use meshproof_proto::seed::Seed;

use super::Broken;
use crate::memory::{Events, Present};
use crate::plan::Plan;
use crate::run::{Input, Output, ProcessOrder};
use crate::world::World;

/// What outlives every orchestrator.
pub struct Agents {
    world: World,
    /// What each agent remembers, and whom it obeys.
    pub disks: BTreeMap<Name, Vec<Piece>>,
    promised: BTreeMap<Name, Term>,
    pub events: Events,
    lives: BTreeMap<Name, Life>,
    luck: Seed,
    /// Agents that may still die.
    mortal: u64,
    executed: BTreeSet<StepKey>,
    /// Steps in the middle of which their agent died. Some of them may be begun once more.
    pub cut_short: BTreeSet<StepKey>,
    repeatable: BTreeSet<(String, String)>,
    cancelled: BTreeSet<StepKey>,
    ended: BTreeMap<StepKey, Outcome>,
    /// Steps that were ordered before their turn.
    ahead: Vec<(Name, StepOrder)>,
    /// How often one agent has told another that its turn has come. Every third time that is lost.
    turns: u64,
    pub faults: BTreeSet<(Name, String)>,
    /// Died with their agents.
    pub faults_gone: u64,
    /// How often the keeper has started each service, and the highest term that it knows.
    pub starts: BTreeMap<Name, u64>,
    keeper: Term,
    pub torn_down: bool,
    pub refused: u64,
    told: u64,
}

/// Whether an order is of one that was replaced.
pub enum Taken {
    /// With answers that the one who gave it may not live to get.
    Yes(Vec<Input>),
    Refused,
    /// Nobody has that name now; who calls it waits.
    Waits,
}

/// The instance of an agent.
#[derive(Debug)]
struct Life {
    number: u8,
    course: Hold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Holds,
    /// Until it is given the name.
    StandsBy,
}

/// What comes of giving an instance its name.
pub enum Given {
    /// It has taken over, with so many events.
    Taken(u64),
    Refused,
}

impl Agents {
    /// So many agents die in the end.
    pub fn new(plan: &Plan, world: World, (luck, mortal): (Seed, u64)) -> Self {
        let names = || plan.services.iter().map(|service| service.name.clone());
        let steps = plan.tests.iter().flat_map(|test| test.steps.iter().map(|step| (test.id.clone(), step)));
        let repeatable = steps.filter(|(_, step)| step.idempotent).map(|(test, step)| (test, step.key.clone()));
        Self {
            world,
            disks: names().map(|name| (name, Vec::new())).collect(),
            promised: names().map(|name| (name, Term(1))).collect(),
            events: names().map(|name| (name, BTreeMap::new())).collect(),
            lives: names().map(|name| (name, Life { number: 1, course: Hold::Holds })).collect(),
            luck,
            mortal,
            executed: BTreeSet::new(),
            cut_short: BTreeSet::new(),
            repeatable: repeatable.collect(),
            cancelled: BTreeSet::new(),
            ended: BTreeMap::new(),
            ahead: Vec::new(),
            turns: 0,
            faults: BTreeSet::new(),
            faults_gone: 0,
            starts: BTreeMap::new(),
            keeper: Term(1),
            torn_down: false,
            refused: 0,
            told: 0,
        }
    }

    pub fn names(&self) -> Vec<Name> {
        self.disks.keys().cloned().collect()
    }

    pub fn extent(&self, name: &Name) -> Extent {
        let pieces = &self.disks[name];
        pieces.last().map_or(Extent::default(), |last| Extent { term: last.term, pieces: pieces.len() as u64 })
    }

    pub fn has_executed_anything(&self) -> bool {
        !self.executed.is_empty() || !self.starts.is_empty()
    }

    /// Who answers for that name.
    pub fn present(&self, name: &Name) -> Present {
        let Life { number, course } = &self.lives[name];
        Present { origin: PeerId([1; 32]), instance: PeerId([*number; 32]), holds: *course == Hold::Holds }
    }

    /// One of them dies between its steps, if any still may.
    pub fn may_die(&mut self, name: &Name) {
        if self.mortal > 0 && self.has_executed_anything() && !self.torn_down && self.luck.below(150) == 0 {
            self.die(name);
        }
    }

    fn die(&mut self, name: &Name) {
        self.mortal -= 1;
        let life = self.lives.get_mut(name).expect("an agent");
        *life = Life { number: life.number + 1, course: Hold::StandsBy };
        self.ahead.retain(|(agent, _)| agent != name);
        let faults = self.faults.len();
        self.faults.retain(|(agent, _)| agent != name);
        self.faults_gone += (faults - self.faults.len()) as u64;
    }

    /// The instance that stands by gets the name from whoever commands at that term.
    pub fn give(&mut self, name: &Name, term: Term) -> Given {
        if !self.obeys(name, term) {
            self.refused += 1;
            return Given::Refused;
        }
        self.lives.get_mut(name).expect("an agent").course = Hold::Holds;
        Given::Taken(self.events[name].len() as u64)
    }

    /// From now on it obeys that term only.
    pub fn promise(&mut self, name: &Name, term: Term) -> Result<(), Broken> {
        let promised = self.promised.get_mut(name).expect("a name");
        if *promised >= term {
            return Err(("a term is promised once", format!("{name} has promised {promised:?}, then {term:?}")));
        }
        *promised = term;
        Ok(())
    }

    /// The keeper obeys that term from now on.
    pub fn keeper_obeys(&mut self, term: Term) {
        self.keeper = self.keeper.max(term);
    }

    fn obeys(&self, name: &Name, term: Term) -> bool {
        self.promised[name] == term
    }

    /// Stores pieces behind what stands before them; gives how many there are then.
    pub fn store(&mut self, (name, term): (&Name, Term), from: u64, pieces: Vec<Piece>) -> Option<u64> {
        if !self.obeys(name, term) {
            self.refused += 1;
            return None;
        }
        let disk = self.disks.get_mut(name).expect("a name");
        let before = usize::try_from(from - 1).expect("few");
        assert!(before <= disk.len(), "piece {from} does not follow on {}", disk.len());
        disk.truncate(before);
        disk.extend(pieces);
        Some(disk.len() as u64)
    }

    fn tell(&mut self, agent: &Name, fact: Fact) {
        self.told += 1;
        let events = self.events.get_mut(agent).expect("an agent");
        let seq = events.len() as u64 + 1;
        events.insert(seq, Event { run: RunId("r1".to_owned()), seq, at_ms: self.told, fact });
    }

    /// Does what is asked for by whoever commands at that term, and has lost these.
    pub fn perform(&mut self, output: &Output, (term, lost): (Term, &BTreeSet<Name>)) -> Result<Taken, Broken> {
        let is_refused = match asked(output) {
            // Nobody calls those.
            Asked::Agent(name) if lost.contains(name) => return Ok(Taken::Yes(Vec::new())),
            Asked::Agent(name) => !self.obeys(name, term),
            Asked::Keeper => self.keeper > term,
            Asked::Nobody => false,
        };
        if is_refused {
            self.refused += 1;
            return Ok(Taken::Refused);
        }
        if agent(output).is_some_and(|name| !self.present(name).holds) {
            return Ok(Taken::Waits);
        }
        match output {
            Output::Order { agent, order, .. } | Output::OrderAgain { agent, order } => {
                self.order(output, agent, order)?
            }
            Output::Together(orders) if !self.executed.contains(&orders.order.key) => {
                let answers = self.world.answers(output);
                self.execute((&orders.leader, &orders.order.key), answers)?;
            }
            Output::BeginFault { agent, order, .. } => {
                if self.faults.insert((agent.clone(), order.fault.clone())) {
                    self.tell(agent, Fact::FaultBegan { fault: order.fault.clone() });
                }
                return Ok(Taken::Yes(self.world.answers(output)));
            }
            Output::HealFault { agent, serial, fault } => {
                return Ok(Taken::Yes(self.heal((agent, *serial), fault, output)));
            }
            Output::Launch(launch) => {
                *self.starts.entry(launch.service.clone()).or_default() += 1;
                return Ok(Taken::Yes(self.world.answers(output)));
            }
            Output::Change { service, what, .. } => {
                if matches!(what, ProcessOrder::Restart(_)) {
                    *self.starts.entry(service.clone()).or_default() += 1;
                }
                return Ok(Taken::Yes(self.world.answers(output)));
            }
            Output::TearDown => {
                self.torn_down = true;
                return Ok(Taken::Yes(self.world.answers(output)));
            }
            Output::BeginTest { .. } | Output::KillZone { .. } | Output::Pause { .. } | Output::Collect { .. } => {
                return Ok(Taken::Yes(self.world.answers(output)));
            }
            Output::Cancel { key, .. } => {
                self.ahead.retain(|(_, order)| order.key != *key);
                self.cancelled.insert(key.clone());
            }
            Output::RenewFault { agent, order, .. } => drop(self.faults.insert((agent.clone(), order.fault.clone()))),
            Output::Together(_) | Output::Answer { .. } | Output::Record(_) | Output::Finished { .. } => {}
        }
        Ok(Taken::Yes(Vec::new()))
    }

    fn heal(&mut self, (agent, serial): (&Name, u64), fault: &str, output: &Output) -> Vec<Input> {
        if !self.faults.remove(&(agent.clone(), fault.to_owned())) {
            let (agent, reason) = (agent.clone(), "there is no such fault".to_owned());
            return vec![Input::HealRefused { agent, serial, reason }];
        }
        let mut answers = Vec::new();
        for answer in self.world.answers(output) {
            match answer {
                Input::Fact { agent, fact } => self.tell(&agent, fact),
                other => answers.push(other),
            }
        }
        answers
    }

    /// An agent takes each key once, when its turn has come.
    fn order(&mut self, output: &Output, agent: &Name, order: &StepOrder) -> Result<(), Broken> {
        let again = matches!(output, Output::OrderAgain { .. });
        if again && self.cut_short.contains(&order.key) && !self.ended.contains_key(&order.key) {
            let (test, step) = (order.key.test.clone(), order.key.step.clone());
            // Whether a service is ready may be asked twice.
            if !test.is_empty() && !self.repeatable.contains(&(test, step)) {
                return Err(("each step is executed once", format!("{} was asked for again", order.key)));
            }
            self.executed.remove(&order.key);
        }
        if self.executed.contains(&order.key) || self.cancelled.contains(&order.key) {
            return Ok(());
        }
        match order.after.as_ref().map(|before| self.ended.get(before)) {
            Some(None) => {
                self.ahead.push((agent.clone(), order.clone()));
                Ok(())
            }
            Some(Some(outcome)) if *outcome != Outcome::Ok => Ok(()),
            Some(Some(_)) | None => self.execute((agent, &order.key), self.world.answers(output)),
        }
    }

    fn execute(&mut self, (at, key): (&Name, &StepKey), answers: Vec<Input>) -> Result<(), Broken> {
        if !self.executed.insert(key.clone()) {
            return Err(("each step is executed once", format!("{key} was begun again")));
        }
        if self.mortal > 0 && self.luck.below(20) == 0 {
            self.tell(at, Fact::StepStarted { key: key.clone() });
            self.cut_short.insert(key.clone());
            self.die(at);
            return Ok(());
        }
        for answer in answers {
            let Input::Fact { agent, fact } = answer else { panic!("steps are answered by facts") };
            if let Fact::StepEnded { key, result } = &fact {
                self.ended.insert(key.clone(), result.outcome.clone());
            }
            self.tell(&agent, fact);
        }
        let waiting = std::mem::take(&mut self.ahead);
        waiting.into_iter().try_for_each(|(agent, order)| {
            if order.after.as_ref() == Some(key) && agent != *at {
                self.turns += 1;
                if self.turns.is_multiple_of(3) {
                    return Ok(());
                }
            }
            let output = Output::Order { agent: agent.clone(), order: Box::new(order.clone()), turn: Turn::default() };
            self.order(&output, &agent, &order)
        })
    }
}

/// The agent that is asked, if one is.
pub fn agent(output: &Output) -> Option<&Name> {
    match asked(output) {
        Asked::Agent(name) => Some(name),
        Asked::Keeper | Asked::Nobody => None,
    }
}

/// Who is asked.
enum Asked<'o> {
    Agent(&'o Name),
    Keeper,
    Nobody,
}

fn asked(output: &Output) -> Asked<'_> {
    match output {
        Output::Order { agent, .. }
        | Output::OrderAgain { agent, .. }
        | Output::Cancel { agent, .. }
        | Output::BeginTest { agent, .. }
        | Output::BeginFault { agent, .. }
        | Output::RenewFault { agent, .. }
        | Output::HealFault { agent, .. }
        | Output::Answer { agent, .. } => Asked::Agent(agent),
        Output::Together(orders) => Asked::Agent(&orders.leader),
        Output::Launch(_) | Output::Change { .. } | Output::KillZone { .. } | Output::TearDown => Asked::Keeper,
        Output::Record(_) | Output::Pause { .. } | Output::Collect { .. } | Output::Finished { .. } => Asked::Nobody,
    }
}
