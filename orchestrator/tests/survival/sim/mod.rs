//! A run whose orchestrators die, or hang and come back, again and again, while others go on: agents, their disks and the keeper
//! live on. Which of them does what next is the seed's.
//!
//! Agents are what the real ones are to whoever commands: they do each key once, number what they saw, promise a term once, obey whom they
//! promised, and store pieces where they are told to. The keeper starts what it is told to by the highest term that it knows.

mod agents;
mod contest;
mod orchestrators;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meshproof_proto::id::{Name, Term};
use meshproof_proto::order::millis;
use meshproof_proto::seed::Seed;
use meshproof_proto::verdict::Verdict;

use crate::memory::{Began, Given, majority};
use crate::plan::{Inputs, Plan, Source, check};
use crate::record::Happening;
use crate::run::{FirstFailure, Flaky, Input, Setting};
use crate::world::World;
use agents::Agents;
use orchestrators::Orchestrator;

/// With a stub, faults, values that are passed on, and a stream.
const SAMPLE: &str = crate::world::PLAN;

/// With steps of one agent and of several that are ordered before their turn, a barrier, something that the orchestrator does itself, and steps side by side.
const ROWS: &str = r#"meshproof: 1
plan: p
services:
  shop: { exec: { argv: [shop] }, ports: { http: dynamic } }
  ledger: { exec: { argv: [ledger] }, ports: { tcp: dynamic } }
  store: { exec: { argv: [store] }, ports: { tcp: dynamic } }
tests:
  - id: rows
    steps:
      - { to: shop, http: { get: /1 } }
      - { to: shop, http: { get: /2 } }
      - { to: ledger, tcp: { send: "2a" } }
      - { to: shop, http: { get: /2b } }
      - { to: store, tcp: { send: "2c" } }
      - { to: shop, http: { get: /3 } }
      - restart: ledger
      - parallel:
          - [{ to: shop, http: { get: /4 } }, { to: ledger, tcp: { send: "5" } }]
          - [{ to: ledger, tcp: { send: "6" } }, { to: shop, http: { get: /7 } }]
      - { to: store, tcp: { send: "8" } }
      - restart: ledger
      - { to: store, tcp: { send: "10" }, idempotent: true }
    after:
      - { to: ledger, tcp: { send: "9" } }
"#;

/// How a run of that plan began.
pub fn began(text: &str) -> Began {
    Began {
        at_unix_ms: 0,
        file: "plan.yaml".to_owned(),
        text: text.to_owned(),
        plan_dir: "/plans".into(),
        given: Given::default(),
        seed: 1,
        flaky: Flaky::Fail,
        first_failure: FirstFailure::GoOn,
        deadline_ms: None,
        arguments: Vec::new(),
    }
}

/// At most, in a run: while nobody commands its clock stands still, so one that is for ever taken over never ends.
const TAKEOVERS: u64 = 12;

/// More than any run takes here.
const STEPS: usize = 200_000;

/// What a seed came to.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    pub takeovers: u64,
    /// Orders of one that was replaced.
    pub refused: u64,
}

/// Which invariant does not hold, and how.
#[derive(Debug)]
pub struct Failed {
    pub seed: u64,
    invariant: &'static str,
    what: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}: {}", self.seed, self.invariant, self.what)
    }
}

/// What does not hold, and how that shows.
type Broken = (&'static str, String);

/// Plays who goes on with a run, and then the run of that seed.
pub fn run(seed: u64) -> Result<Passed, Failed> {
    let mut play = Play::new(seed);
    contest::run(seed).and_then(|()| play.play_on()).map_err(|(invariant, what)| Failed { seed, invariant, what })
}

/// Each plan is the same for all seeds.
fn compiled(text: &'static str) -> (Arc<Plan>, Arc<Source>) {
    type Compiled = BTreeMap<&'static str, (Arc<Plan>, Arc<Source>)>;
    static ALL: Mutex<Compiled> = Mutex::new(BTreeMap::new());
    let mut all = ALL.lock().expect("a plan that does not compile ends everything");
    let (plan, source) = all.entry(text).or_insert_with(|| {
        let inputs = Inputs { dir: "/plans".to_owned(), ..Inputs::default() };
        let checked = check("plan.yaml", text.as_bytes(), &inputs);
        let plan = checked.plan.unwrap_or_else(|mistakes| {
            panic!("{}", mistakes.render(&checked.source, crate::plan::Look::Plain));
        });
        (Arc::new(plan), Arc::new(checked.source))
    });
    (Arc::clone(plan), Arc::clone(source))
}

/// A run, and everybody who takes part.
struct Play {
    plan: Arc<Plan>,
    source: Arc<Source>,
    setting: Setting,
    seed: Seed,
    began: Instant,
    now: Instant,
    agents: Agents,
    /// Those that live, the latest last; all others were replaced and do not know.
    orchestrators: Vec<Orchestrator>,
    term: Term,
    takeovers: u64,
    /// In a thousand.
    deaths: u64,
    /// Who took over, from which line of its own on it told, and what the wall clock said then.
    marks: Vec<(Term, usize, u64)>,
    /// Starts of each service that the plan asks for.
    starts: BTreeMap<Name, u64>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let (text, restarts) = if seed.is_multiple_of(2) { (SAMPLE, 0) } else { (ROWS, 2) };
        let mut luck = Seed::new(seed);
        // In half of the runs nobody but orchestrators dies.
        let mortal = luck.below(6).saturating_sub(2);
        let of_agents = Seed::new(luck.below(u64::MAX));
        let (plan, source) = compiled(text);
        let mut world = World::of(Arc::clone(&plan), Arc::clone(&source));
        let Some(Input::Begin(setting)) = world.inbox.pop_front() else { panic!("it begins") };
        let began = Instant::now();
        let names = plan.services.iter().map(|service| service.name.clone());
        let starts = names.map(|name| {
            let more = if name.as_str() == "ledger" { restarts } else { 0 };
            (name, 1 + more)
        });
        let starts = starts.collect();
        let mut play = Self {
            agents: Agents::new(&plan, world, (of_agents, mortal)),
            plan,
            source,
            setting: *setting,
            deaths: luck.below(12),
            seed: luck,
            began,
            now: began,
            orchestrators: Vec::new(),
            term: Term(1),
            takeovers: 0,
            marks: Vec::new(),
            starts,
        };
        play.orchestrators.push(play.first());
        play
    }

    fn play_on(&mut self) -> Result<Passed, Broken> {
        for _ in 0..STEPS {
            self.now += Duration::from_millis(self.seed.below(9));
            let may_die = self.takeovers < TAKEOVERS && !self.agents.torn_down;
            if self.seed.below(1_000) < self.deaths && may_die {
                self.replace()?;
            }
            let names = self.agents.names();
            let name = self.pick(names.len());
            self.agents.may_die(&names[name]);
            // The latest has most to do; the others wake up now and then.
            let last = self.orchestrators.len() - 1;
            let at = if self.seed.below(4) == 0 { self.pick(last + 1) } else { last };
            let mut orchestrator = self.orchestrators.remove(at);
            let lives = self.live(&mut orchestrator)?;
            let is_over = orchestrator.finished.is_some();
            self.orchestrators.insert(at, orchestrator);
            if is_over {
                return self.judge(at);
            }
            if !lives && at + 1 < self.orchestrators.len() {
                self.orchestrators.remove(at);
            }
        }
        Err(("the run ends", format!("{:?}", self.orchestrators.last())))
    }

    /// Whoever commands dies, or hangs until later, and another one takes over with the promises of some.
    fn replace(&mut self) -> Result<(), Broken> {
        if self.seed.below(2) == 0 {
            self.orchestrators.pop();
        }
        self.now += Duration::from_secs(self.seed.below(15));
        let names = self.agents.names();
        let mut of = names.clone();
        while of.len() > majority(names.len()) && self.seed.below(3) > 0 {
            let at = self.pick(of.len());
            of.remove(at);
        }
        self.term = Term(self.term.0 + 1);
        self.takeovers += 1;
        let next = self.next(&of)?;
        self.orchestrators.push(next);
        Ok(())
    }

    fn pick(&mut self, of: usize) -> usize {
        usize::try_from(self.seed.below(of.max(1) as u64)).expect("few")
    }

    fn unix_ms(&self) -> u64 {
        millis(self.now.saturating_duration_since(self.began))
    }

    /// The one at that place has ended the run.
    fn judge(&self, at: usize) -> Result<Passed, Broken> {
        let orchestrator = &self.orchestrators[at];
        let ends = |invariant, holds: bool| {
            if holds { Ok(()) } else { Err((invariant, format!("{:?}", orchestrator.journal))) }
        };
        ends("the run is ended by whoever commands it", orchestrator.term == self.term)?;
        let (verdict, _) = orchestrator.finished.expect("it is over");
        let lost = |what: &&Happening| matches!(what, Happening::AgentLost { .. });
        if orchestrator.journal.iter().find(lost).is_none() {
            let is_harmed = !self.agents.cut_short.is_empty() || self.agents.faults_gone > 0;
            ends("a run that nothing happened to passes", verdict == Verdict::Pass || is_harmed)?;
            let is_as_planned = self.agents.starts == self.starts || verdict != Verdict::Pass;
            ends("each service is started as often as the plan says", is_as_planned)?;
            ends("no fault outlives its run", self.agents.faults.is_empty())?;
        } else {
            ends("a run that lost an agent does not pass", verdict != Verdict::Pass)?;
            let is_more = |(name, times): (&Name, &u64)| *times > self.starts[name];
            ends("no service is started twice", !self.agents.starts.iter().any(is_more))?;
        }
        let count = |is_it: &dyn Fn(&Happening) -> bool| orchestrator.journal.iter().filter(|what| is_it(what)).count();
        ends(
            "the journal has one beginning and one end",
            count(&|what| matches!(what, Happening::RunEnded { .. })) == 1,
        )?;
        let mut told = BTreeSet::new();
        for what in &orchestrator.journal {
            if let Happening::StepEnded { step, .. } = what {
                ends("each step has one end in the journal", told.insert(step.key.clone()))?;
            }
            if let Happening::Failure(failure) = what {
                ends("nobody waits for an instance that is gone", !failure.title.contains("no result from"))?;
            }
        }
        if verdict == Verdict::Pass {
            let Some(Happening::Expected { steps, .. }) = orchestrator.journal.get(1) else {
                panic!("nothing expected")
            };
            ends("pass needs every result", steps.iter().all(|key| told.contains(key)))?;
        }
        Ok(Passed { takeovers: self.takeovers, refused: self.agents.refused })
    }
}
