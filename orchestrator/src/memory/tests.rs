//! Runs whose orchestrators die, again and again, and others go on: agents, their disks and the keeper live on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::event::{Event, Fact, Outcome};
use meshproof_proto::id::{Digest, Name, RunId, Term};
use meshproof_proto::memory::{Extent, Piece};
use meshproof_proto::order::{Authority, StepKey, StepOrder, millis};
use meshproof_proto::seed::Seed;
use meshproof_proto::verdict::{Exit, Verdict};
use proptest::prelude::*;

use super::*;
use crate::plan::{Inputs, Plan, Source, check};
use crate::record::Happening;
use crate::run::tests::world::{PLAN, World, name};
use crate::run::{FirstFailure, Flaky, Input, Output, ProcessOrder, Run, Setting, Setup};

/// With steps that are ordered before their turn, a barrier, something that the orchestrator does itself, and steps side by side.
const ROWS: &str = r#"meshproof: 1
plan: p
services:
  shop: { exec: { argv: [shop] }, ports: { http: dynamic } }
  ledger: { exec: { argv: [ledger] }, ports: { tcp: dynamic } }
tests:
  - id: rows
    steps:
      - { to: shop, http: { get: /1 } }
      - { to: shop, http: { get: /2 } }
      - { to: shop, http: { get: /3 } }
      - restart: ledger
      - parallel:
          - [{ to: shop, http: { get: /4 } }, { to: ledger, tcp: { send: "5" } }]
          - [{ to: ledger, tcp: { send: "6" } }, { to: shop, http: { get: /7 } }]
      - { to: ledger, tcp: { send: "8" } }
    after:
      - { to: ledger, tcp: { send: "9" } }
"#;

/// What outlives an orchestrator.
struct Outliving {
    plan: Arc<Plan>,
    source: Arc<Source>,
    world: World,
    setting: Setting,
    disks: BTreeMap<Name, Vec<Piece>>,
    events: Events,
    executed: BTreeMap<StepKey, u32>,
    ended: BTreeMap<StepKey, Outcome>,
    /// Orders that wait for their turn.
    ahead: Vec<(Name, StepOrder)>,
    faults: BTreeSet<(Name, String)>,
    starts: BTreeMap<Name, u64>,
    finished: Option<(Verdict, Exit)>,
    journal: Vec<Happening>,
    /// When it all began, and what the wall clock said of what was told again.
    began: Instant,
    times: Vec<u64>,
}

/// One orchestrator, and what is on its way to it.
struct Orchestrator {
    conducted: Conducted,
    inbox: Vec<Input>,
    /// How many events of each agent it has heard.
    heard: BTreeMap<Name, u64>,
    /// Agents that have stored something and whose answer is on its way.
    answers: Vec<(Name, u64)>,
}

impl Outliving {
    fn new(text: &str) -> Self {
        let checked = check("plan.yaml", text.as_bytes(), &Inputs { dir: "/plans".to_owned(), ..Inputs::default() });
        let plan = checked.plan.unwrap_or_else(|mistakes| {
            panic!("{}", mistakes.render(&checked.source, crate::plan::Look::Plain));
        });
        let (plan, source) = (Arc::new(plan), Arc::new(checked.source));
        let mut world = World::of(Arc::clone(&plan), Arc::clone(&source));
        let Some(Input::Begin(setting)) = world.inbox.pop_front() else { panic!("it begins") };
        let names = || plan.services.iter().map(|service| service.name.clone());
        Self {
            disks: names().map(|name| (name, Vec::new())).collect(),
            events: names().map(|name| (name, BTreeMap::new())).collect(),
            plan,
            source,
            world,
            setting: *setting,
            executed: BTreeMap::new(),
            ended: BTreeMap::new(),
            ahead: Vec::new(),
            faults: BTreeSet::new(),
            starts: BTreeMap::new(),
            finished: None,
            journal: Vec::new(),
            began: Instant::now(),
            times: Vec::new(),
        }
    }

    fn moment(&self, now: Instant) -> Moment {
        Moment { now, at_unix_ms: millis(now.saturating_duration_since(self.began)) }
    }

    fn run(&self, term: u64, now: Instant) -> Run {
        let authority = Authority { run: RunId("r1".to_owned()), term: Term(term), plan: Digest::of(b"") };
        let (flaky, first_failure) = (Flaky::Fail, FirstFailure::GoOn);
        let setup = Setup { authority, seed: 1, plan_dir: "/plans".to_owned(), flaky, first_failure };
        Run::new(Arc::clone(&self.plan), Arc::clone(&self.source), setup, now)
    }

    fn first(&self, now: Instant) -> Orchestrator {
        let mut conducted = Conducted::new(self.run(1, now), now);
        let began = Began {
            at_unix_ms: 0,
            file: "plan.yaml".to_owned(),
            text: self.source.text().to_owned(),
            plan_dir: "/plans".into(),
            given: Given::default(),
            seed: 1,
            flaky: Flaky::Fail,
            first_failure: FirstFailure::GoOn,
            deadline_ms: None,
            arguments: Vec::new(),
        };
        let ready = Ready { ports: BTreeMap::new(), initialized: BTreeMap::new(), held: BTreeMap::new() };
        let log = Log::new(Term(1), self.disks.keys().cloned());
        conducted.begin((self.setting.clone(), now), (Some((log, began, ready)), Vec::new()));
        Orchestrator { conducted, inbox: Vec::new(), heard: BTreeMap::new(), answers: Vec::new() }
    }

    /// The next one, with the promises of these names.
    fn next(&mut self, (term, of): (u64, &[Name]), now: Instant) -> Result<Orchestrator, NotRebuilt> {
        let extent = |pieces: &Vec<Piece>| match pieces.last() {
            Some(piece) => Extent { term: piece.term, pieces: pieces.len() as u64 },
            None => Extent::default(),
        };
        let extents: BTreeMap<Name, Extent> =
            self.disks.iter().map(|(name, pieces)| (name.clone(), extent(pieces))).collect();
        let best = of.iter().max_by_key(|name| extents[*name]).expect("somebody promised");
        let pieces = self.disks[best].clone();
        let recollected = Recollected { term: Term(term), pieces, extents, events: self.events.clone() };
        let setting = self.setting.clone();
        let rebuilt = rebuild(recollected.read()?, |began| self.run(term, began), (setting, self.moment(now)))?;
        self.times = rebuilt.told.iter().filter_map(told_at).collect();
        self.journal = rebuilt.told.iter().filter_map(own).collect();
        let heard = self.events.iter().map(|(name, events)| (name.clone(), events.len() as u64)).collect();
        let (inbox, answers) = (Vec::new(), Vec::new());
        let mut orchestrator = Orchestrator { conducted: rebuilt.conducted, inbox, heard, answers };
        let mut deeds = rebuilt.deeds;
        for output in rebuilt.outstanding {
            match self.done(&output, &mut deeds) {
                Some(input) => orchestrator.conducted.handle(input, now),
                None => orchestrator.conducted.again(output),
            }
        }
        for late in rebuilt.late {
            match late {
                Late::Fact { agent, seq, fact } => orchestrator.conducted.hear((&agent, seq), fact, now),
                Late::Answer(input) => orchestrator.conducted.handle(input, now),
            }
        }
        Ok(orchestrator)
    }

    /// Whether the keeper has done that already.
    fn done(&self, output: &Output, deeds: &mut Deeds) -> Option<Input> {
        let (service, input) = match output {
            Output::Launch(launch) => (&launch.service, Input::ServiceStarted { service: launch.service.clone() }),
            Output::Change { key, service, what: ProcessOrder::Restart(_) } => {
                (service, Input::ProcessesChanged { key: key.clone(), result: Ok(()) })
            }
            _ => return None,
        };
        let known = deeds.starts.entry(service.clone()).or_default();
        let is_done = self.starts.get(service).copied().unwrap_or_default() > *known;
        is_done.then(|| {
            *known += 1;
            input
        })
    }

    fn tell(&mut self, agent: &Name, fact: Fact) {
        let events = self.events.get_mut(agent).expect("an agent");
        let seq = events.len() as u64 + 1;
        let at_ms = self.executed.len() as u64;
        events.insert(seq, Event { run: RunId("r1".to_owned()), seq, at_ms, fact });
    }

    /// An agent executes each key once, when its turn has come.
    fn order(&mut self, output: &Output, agent: &Name, order: &StepOrder) {
        if self.executed.contains_key(&order.key) {
            return;
        }
        match order.after.as_ref().map(|before| self.ended.get(before)) {
            Some(None) => return self.ahead.push((agent.clone(), order.clone())),
            Some(Some(outcome)) if *outcome != Outcome::Ok => return,
            Some(Some(_)) | None => {}
        }
        self.execute(&order.key, self.world.answers(output));
    }

    fn execute(&mut self, key: &StepKey, answers: Vec<Input>) {
        *self.executed.entry(key.clone()).or_default() += 1;
        for answer in answers {
            let Input::Fact { agent, fact } = answer else { panic!("steps are answered by facts") };
            if let Fact::StepEnded { key, result } = &fact {
                self.ended.insert(key.clone(), result.outcome.clone());
            }
            self.tell(&agent, fact);
        }
        let waiting = std::mem::take(&mut self.ahead);
        for (agent, order) in waiting {
            let output = Output::Order { agent: agent.clone(), order: Box::new(order.clone()) };
            self.order(&output, &agent, &order);
        }
    }

    /// Does what is asked for; what is no fact of an agent is an answer that its orchestrator may not live to get.
    fn perform(&mut self, output: Output, inbox: &mut Vec<Input>) {
        match &output {
            Output::Record(what) => self.journal.push(what.clone()),
            Output::Finished { verdict, exit } => self.finished = Some((*verdict, *exit)),
            Output::Order { agent, order } | Output::OrderAgain { agent, order } => self.order(&output, agent, order),
            Output::Stream(orders) if !self.executed.contains_key(&orders.order.key) => {
                let answers = self.world.answers(&output);
                self.execute(&orders.order.key.clone(), answers);
            }
            Output::Stream(_) | Output::Cancel { .. } | Output::RenewFault { .. } => {}
            Output::BeginFault { agent, order, .. } => {
                if self.faults.insert((agent.clone(), order.fault.clone())) {
                    self.tell(agent, Fact::FaultBegan { fault: order.fault.clone() });
                }
                inbox.extend(self.world.answers(&output));
            }
            Output::HealFault { agent, serial, fault } => {
                if !self.faults.remove(&(agent.clone(), fault.clone())) {
                    let (agent, reason) = (agent.clone(), "there is no such fault".to_owned());
                    return inbox.push(Input::HealRefused { agent, serial: *serial, reason });
                }
                for answer in self.world.answers(&output) {
                    match answer {
                        Input::Fact { agent, fact } => self.tell(&agent, fact),
                        other => inbox.push(other),
                    }
                }
            }
            Output::Launch(launch) => {
                *self.starts.entry(launch.service.clone()).or_default() += 1;
                inbox.extend(self.world.answers(&output));
            }
            Output::Change { service, what, .. } => {
                if matches!(what, ProcessOrder::Restart(_)) {
                    *self.starts.entry(service.clone()).or_default() += 1;
                }
                inbox.extend(self.world.answers(&output));
            }
            Output::BeginTest { .. } | Output::Pause { .. } | Output::Collect { .. } | Output::TearDown => {
                inbox.extend(self.world.answers(&output));
            }
        }
    }
}

fn told_at(told: &Told) -> Option<u64> {
    match told {
        Told::Own { at_unix_ms, .. } => Some(*at_unix_ms),
        Told::Event { .. } => None,
    }
}

fn own(told: &Told) -> Option<Happening> {
    match told {
        Told::Own { what, .. } => Some(what.clone()),
        Told::Event { .. } => None,
    }
}

/// Something that happens to an orchestrator that lives, or nothing for now.
fn live(outliving: &mut Outliving, orchestrator: &mut Orchestrator, seed: &mut Seed, now: &mut Instant) {
    let pick = |seed: &mut Seed, of: usize| usize::try_from(seed.below(of.max(1) as u64)).expect("few");
    *now += Duration::from_millis(seed.below(9));
    match seed.below(5) {
        0 => {
            if let Some(output) = orchestrator.conducted.poll_output() {
                outliving.perform(output, &mut orchestrator.inbox);
            }
        }
        1 => {
            let agents: Vec<Name> = outliving.events.keys().cloned().collect();
            let agent = &agents[pick(seed, agents.len())];
            let seq = orchestrator.heard.get(agent).copied().unwrap_or_default() + 1;
            if let Some(event) = outliving.events[agent].get(&seq) {
                orchestrator.heard.insert(agent.clone(), seq);
                orchestrator.conducted.hear((agent, seq), event.fact.clone(), *now);
            }
        }
        2 if !orchestrator.inbox.is_empty() => {
            let input = orchestrator.inbox.remove(pick(seed, orchestrator.inbox.len()));
            orchestrator.conducted.handle(input, *now);
        }
        3 => {
            let names: Vec<Name> = outliving.disks.keys().cloned().collect();
            let name = &names[pick(seed, names.len())];
            let Some(log) = orchestrator.conducted.log_mut() else { return };
            let Some((from, pieces)) = log.next_for(name, *now) else { return };
            if seed.below(4) == 0 {
                return log.failed(name, *now);
            }
            let disk = outliving.disks.get_mut(name).expect("a name");
            disk.truncate(usize::try_from(from - 1).expect("few"));
            disk.extend(pieces);
            orchestrator.answers.push((name.clone(), disk.len() as u64));
        }
        _ => {
            if let (Some((name, through)), Some(log)) = (orchestrator.answers.pop(), orchestrator.conducted.log_mut()) {
                log.stored(&name, through);
            }
        }
    }
    if orchestrator.conducted.poll_timeout().is_some_and(|due| due <= *now) {
        orchestrator.conducted.handle_timeout(*now);
    }
}

/// Plays a run whose orchestrators die at these chances in a thousand.
fn played(text: &str, seed: u64, deaths: u64) -> (Outliving, u64) {
    let (mut seed, mut now) = (Seed::new(seed), Instant::now());
    let mut outliving = Outliving::new(text);
    let mut orchestrator = outliving.first(now);
    let mut term = 1;
    for _ in 0..200_000 {
        if outliving.finished.is_some() {
            return (outliving, term);
        }
        if seed.below(1_000) < deaths {
            term += 1;
            now += Duration::from_secs(seed.below(15));
            let mut of: Vec<Name> = outliving.disks.keys().cloned().collect();
            while of.len() > majority(outliving.disks.len()) {
                of.remove(usize::try_from(seed.below(of.len() as u64)).expect("few"));
            }
            orchestrator = match outliving.next((term, &of), now) {
                Ok(next) => next,
                // Nothing had been decided yet that anybody acted upon.
                Err(NotRebuilt::NotBegun) => {
                    assert!(outliving.executed.is_empty() && outliving.starts.is_empty());
                    outliving.journal.clear();
                    outliving.first(now)
                }
                Err(error) => panic!("{error}"),
            };
        }
        live(&mut outliving, &mut orchestrator, &mut seed, &mut now);
    }
    panic!("the run does not end: {:?}", outliving.journal.last());
}

fn is_whole(outliving: &Outliving) -> Result<(), TestCaseError> {
    prop_assert_eq!(outliving.finished, Some((Verdict::Pass, Exit::Passed)), "{:?}", outliving.journal);
    for (key, times) in &outliving.executed {
        prop_assert_eq!(*times, 1, "{} was executed {} times", key, times);
    }
    let Some(Happening::Expected { steps, .. }) = outliving.journal.get(1) else { panic!("nothing expected") };
    for key in steps {
        let ended = |what: &&Happening| matches!(what, Happening::StepEnded { step, .. } if step.key == *key);
        prop_assert_eq!(outliving.journal.iter().filter(ended).count(), 1, "{} in {:?}", key, outliving.journal);
    }
    let ends = outliving.journal.iter().filter(|what| matches!(what, Happening::RunEnded { .. })).count();
    prop_assert_eq!(ends, 1);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whenever_orchestrators_die_the_run_passes_and_every_step_is_executed_once(seed: u64, deaths in 0_u64..12) {
        is_whole(&played(PLAN, seed, deaths).0)?;
    }

    #[test]
    fn so_it_does_with_orders_ahead_steps_side_by_side_and_restarts_which_are_done_once(seed: u64, deaths in 0_u64..12) {
        let (outliving, _) = played(ROWS, seed, deaths);
        is_whole(&outliving)?;
        let starts = [("ledger", 2), ("shop", 1)].map(|(service, times)| (name(service), times));
        prop_assert_eq!(&outliving.starts, &BTreeMap::from(starts));
    }
}

/// One is gone for a minute after each tenth of a second; what is told again keeps the time at which it was told first.
#[test]
fn what_is_told_again_has_the_time_at_which_it_was_told() {
    let (mut seed, mut now) = (Seed::new(7), Instant::now());
    let mut outliving = Outliving::new(PLAN);
    outliving.began = now;
    let mut orchestrator = outliving.first(now);
    for term in 2..6 {
        let until = now + Duration::from_millis(100);
        while now < until {
            live(&mut outliving, &mut orchestrator, &mut seed, &mut now);
        }
        now += Duration::from_secs(60);
        let of: Vec<Name> = outliving.disks.keys().cloned().collect();
        orchestrator = outliving.next((term, &of), now).expect("everybody remembers");
        let minute = 60_100 * (term - 1);
        let last = outliving.times.last().copied().unwrap_or_default();
        assert!(outliving.times.is_sorted(), "{:?}", outliving.times);
        assert!((minute..=minute + 150).contains(&(last + 60_110)), "term {term}: {last} of {minute}");
    }
}

#[test]
fn orchestrators_do_die_in_these_tests() {
    let terms: u64 = (0..20).map(|seed| played(PLAN, seed, 6).1).sum();
    assert!(terms > 40, "{terms}");
}
