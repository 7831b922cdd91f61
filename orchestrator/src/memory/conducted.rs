//! A run whose inputs are remembered, and whose wishes wait until they are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use meshproof_proto::event::Fact;
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::order::StepKey;
use meshproof_proto::sync::Told;

use super::log::Log;
use super::outstanding;
use super::record::{Began, Ready, Remembered};
use crate::record::Happening;
use crate::run::{Input, Output, Run, Setting, heeds};

/// The machine of a run, and the log of its inputs.
#[derive(Debug)]
pub struct Conducted {
    run: Run,
    began: Instant,
    memory: Memory,
    /// What is to be done, each with the number of the last piece that must be kept first.
    outputs: VecDeque<(u64, Output)>,
    /// That number, for what comes next.
    floor: u64,
    /// What programs are told, which nothing else waits for.
    answers: Answers,
    /// Facts that came before the orders that led to them; only in a run that was taken over.
    early: Option<Early>,
    /// Of names that changed hands: the last instance that the machine knows.
    holders: BTreeMap<Name, PeerId>,
}

/// Answers to programs, each behind the same number as other outputs.
#[derive(Debug, Default)]
struct Answers {
    /// That a point is open, which it stays for whoever goes on: operations come again from their agents, and their order is nothing to it.
    open: VecDeque<(u64, Output)>,
    /// Numbers and values, which are in the order in which operations were heard: that has to be kept first.
    ordered: VecDeque<(u64, Output)>,
}

/// What becomes of inputs.
#[derive(Debug)]
enum Memory {
    /// Nobody could go on with this run, so nothing waits.
    None,
    /// Nothing waits any more, as it is ending, and the agents with it.
    Ending(Log),
    Kept(Log),
}

#[derive(Debug, Default)]
struct Early {
    ordered: BTreeSet<StepKey>,
    waiting: BTreeMap<StepKey, Vec<(Name, u64, Fact)>>,
}

impl Conducted {
    /// A run that began at that time.
    #[must_use]
    pub fn new(run: Run, began: Instant) -> Self {
        let mut conducted = Self::of((run, began), (Memory::None, BTreeMap::new()));
        conducted.drain();
        conducted
    }

    /// As [`Self::new`], of a run that another orchestrator has brought so far; these steps were ordered, and these have the names that
    /// changed hands.
    pub(super) fn taken_over(
        began: (Run, Instant),
        log: Log,
        (ordered, holders): (BTreeSet<StepKey>, BTreeMap<Name, PeerId>),
    ) -> Self {
        let early = Some(Early { ordered, waiting: BTreeMap::new() });
        Self { early, ..Self::of(began, (Memory::Kept(log), holders)) }
    }

    fn of((run, began): (Run, Instant), (memory, holders): (Memory, BTreeMap<Name, PeerId>)) -> Self {
        let (outputs, answers) = (VecDeque::new(), Answers::default());
        Self { run, began, memory, outputs, floor: 0, answers, early: None, holders }
    }

    /// The environment is ready: from now on everything is remembered in this log, and decisions wait for that.
    pub fn begin(
        &mut self,
        (setting, now): (Setting, Instant),
        (remembered, early): (Option<(Log, Began, Ready)>, Vec<Happening>),
    ) {
        if let Some((log, began, ready)) = remembered {
            self.memory = Memory::Kept(log);
            self.note(&Remembered::Began(Box::new(began)), now);
            early.iter().for_each(|what| self.said(what, now));
            let ready = Remembered::Ready { at_us: self.at_us(now), ready: Box::new(ready) };
            self.note_and_wait(&ready, now);
        }
        self.run.handle(Input::Begin(Box::new(setting)), now);
        self.drain();
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Something happened that is no fact of an agent.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match &input {
            // A person wants the end, and everything ends: nobody is to go on.
            Input::Abort(_) => self.end(&input, now),
            // The agents are gone.
            Input::TornDown { .. } => {}
            Input::AgentDown { agent, .. } => {
                self.forget_steps(agent);
                self.took(&input, now);
            }
            Input::AgentLost { agent, .. } => {
                if let Some(log) = self.log_mut() {
                    log.lose(agent);
                }
                self.took(&input, now);
            }
            _ => self.took(&input, now),
        }
        self.run.handle(input, now);
        self.drain();
        self.hear_early(now);
    }

    fn end(&mut self, input: &Input, now: Instant) {
        self.took(input, now);
        self.open();
    }

    fn took(&mut self, input: &Input, now: Instant) {
        let record = Remembered::Took { at_us: self.at_us(now), input: Box::new(input.clone()) };
        match input {
            // An order that has no such answer is given again, and does no harm.
            Input::TestBegun { .. } | Input::FaultActive { .. } | Input::FaultHealed { .. } => self.note(&record, now),
            _ => self.note_and_wait(&record, now),
        }
    }

    /// This instance has taken the name over, and everything that the one before it had told was handled.
    pub fn back(&mut self, (agent, instance): (&Name, PeerId), now: Instant) {
        self.note_and_wait(&Remembered::Back { at_us: self.at_us(now), agent: agent.clone(), instance }, now);
        self.holders.insert(agent.clone(), instance);
        self.forget_steps(agent);
        self.run.handle(Input::AgentBack { agent: agent.clone() }, now);
        self.drain();
        self.hear_early(now);
    }

    /// An agent's fact of that number, the first time it is seen and after the journal has it.
    pub fn hear(&mut self, (agent, seq): (&Name, u64), fact: Fact, now: Instant) {
        if !heeds(&fact) {
            return;
        }
        if let (Some(early), Some(key)) = (&mut self.early, key(&fact))
            && !early.ordered.contains(key)
        {
            early.waiting.entry(key.clone()).or_default().push((agent.clone(), seq, fact));
            return;
        }
        self.note(&Remembered::Heard { at_us: self.at_us(now), agent: agent.clone(), seq }, now);
        self.run.handle(Input::Fact { agent: agent.clone(), fact }, now);
        self.drain();
        self.hear_early(now);
    }

    /// Orders were given: what agents have told of them counts now.
    fn hear_early(&mut self, now: Instant) {
        while let Some(told) = self.early.as_mut().and_then(Early::next) {
            for (agent, seq, fact) in told {
                self.hear((&agent, seq), fact, now);
            }
        }
    }

    /// The time of [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.run.handle_timeout(now);
        let mut outputs = Vec::new();
        while let Some(output) = self.run.poll_output() {
            outputs.push(output);
        }
        let record = Remembered::Time { at_us: self.at_us(now) };
        // A lease is renewed whoever remembers that.
        if outputs.iter().all(|output| matches!(output, Output::RenewFault { .. })) {
            self.note(&record, now);
        } else {
            self.note_and_wait(&record, now);
        }
        outputs.into_iter().for_each(|output| self.push(output));
        self.hear_early(now);
    }

    /// Something stands in the journal that does not come from the machine.
    pub fn said(&mut self, what: &Happening, now: Instant) {
        let said = Remembered::Said { at_us: self.at_us(now), what: Box::new(what.clone()) };
        self.note(&said, now);
    }

    /// This is to be done once more, for it has no answer.
    pub fn again(&mut self, output: Output) {
        self.push(output);
    }

    /// Leases are renewed at once, after a time in which nobody did.
    pub(super) fn go_on(&mut self, now: Instant) {
        self.run.go_on(now);
        self.handle_timeout(now);
    }

    /// What is to be done next, of what may be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        let kept = match &self.memory {
            Memory::Kept(log) => log.kept(),
            Memory::None | Memory::Ending(_) => u64::MAX,
        };
        let may_go = |(needs, _): &mut (u64, Output)| *needs <= kept;
        let output = self.outputs.pop_front_if(may_go).or_else(|| self.answers.open.pop_front_if(may_go));
        let (_, output) = output.or_else(|| self.answers.ordered.pop_front_if(may_go))?;
        if output == Output::TearDown {
            self.open();
        }
        Some(output)
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.run.poll_timeout()
    }

    /// What agents are to store, if anything is remembered.
    pub fn log_mut(&mut self) -> Option<&mut Log> {
        match &mut self.memory {
            Memory::Kept(log) | Memory::Ending(log) => Some(log),
            Memory::None => None,
        }
    }

    /// Whether the machine waits for another instance of that agent.
    pub(super) fn is_down(&self, agent: &Name) -> bool {
        self.run.is_down(agent)
    }

    /// What an agent was to do that is gone is ordered anew once another instance is there: by then more is known of it.
    fn forget_steps(&mut self, agent: &Name) {
        self.outputs.retain(|(_, output)| outstanding::step(output).is_none_or(|(at, _)| at != agent));
    }

    /// Who has the name, as far as the machine knows; none: whoever had it first.
    pub(super) fn holder(&self, agent: &Name) -> Option<PeerId> {
        self.holders.get(agent).copied()
    }

    fn open(&mut self) {
        self.memory = match std::mem::replace(&mut self.memory, Memory::None) {
            Memory::Kept(log) | Memory::Ending(log) => Memory::Ending(log),
            Memory::None => Memory::None,
        };
    }

    fn at_us(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn note(&mut self, record: &Remembered, now: Instant) {
        if let Some(log) = self.log_mut() {
            log.append(record, now);
        }
    }

    pub(super) fn note_and_wait(&mut self, record: &Remembered, now: Instant) {
        let Some(log) = self.log_mut() else { return };
        let number = log.append(record, now);
        log.want(number);
        self.floor = number;
    }

    fn drain(&mut self) {
        while let Some(output) = self.run.poll_output() {
            self.push(output);
        }
    }

    fn push(&mut self, output: Output) {
        if let (Some(early), Some((_, key))) = (&mut self.early, outstanding::step(&output)) {
            early.ordered.insert(key.clone());
        }
        if let Output::Answer { answers, .. } = &output {
            let is_open = answers.iter().all(|answer| answer.told == Told::Open);
            return if is_open { self.tell_open(output) } else { self.tell_in_order(output) };
        }
        if !is_done_once_anyway(&output)
            && let Some(log) = self.log_mut()
        {
            let last = log.last();
            log.want(last);
            self.floor = last;
        }
        self.outputs.push_back((self.floor, output));
    }

    fn tell_open(&mut self, answer: Output) {
        self.answers.open.push_back((self.floor, answer));
    }

    fn tell_in_order(&mut self, answer: Output) {
        let mut needs = self.floor;
        if let Some(log) = self.log_mut() {
            needs = log.last();
            log.want(needs);
        }
        self.answers.ordered.push_back((needs, answer));
    }
}

impl Early {
    /// What was told of a step that has been ordered by now.
    fn next(&mut self) -> Option<Vec<(Name, u64, Fact)>> {
        let key = self.waiting.keys().find(|key| self.ordered.contains(*key))?.clone();
        self.waiting.remove(&key)
    }
}

/// Whether it does no harm to do it before everything is kept that it was decided from: agents execute a key once, and whoever goes on
/// sees the same facts, and orders the same.
fn is_done_once_anyway(output: &Output) -> bool {
    match output {
        Output::Record(_)
        | Output::BeginTest { .. }
        | Output::Order { .. }
        | Output::OrderAgain { .. }
        | Output::Together(_)
        | Output::RenewFault { .. }
        | Output::Finished { .. } => true,
        Output::Launch(_)
        | Output::Cancel { .. }
        | Output::BeginFault { .. }
        | Output::HealFault { .. }
        | Output::Change { .. }
        | Output::KillZone { .. }
        | Output::Pause { .. }
        | Output::Collect { .. }
        | Output::Answer { .. }
        | Output::TearDown => false,
    }
}

/// The step that a fact is about.
fn key(fact: &Fact) -> Option<&StepKey> {
    match fact {
        Fact::StepStarted { key } | Fact::StepEnded { key, .. } => Some(key),
        _ => None,
    }
}
