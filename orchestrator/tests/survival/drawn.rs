//! A schedule of faults that was drawn goes on at whoever takes the run over, as it would have gone on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use meshproof_proto::event::{Event, Fact};
use meshproof_proto::id::{Digest, Name, RunId, Term};
use meshproof_proto::memory::{Extent, Piece};
use meshproof_proto::order::{Authority, millis};

use crate::memory::{Conducted, Log, Moment, Ready, Recollected, rebuild};
use crate::plan::{Inputs, check};
use crate::run::{FirstFailure, Flaky, Input, Output, Run, Setting, Setup};
use crate::sim::began;
use crate::world::{World, good_report, name};

const PLAN: &str = r#"meshproof: 1
plan: p
services:
  a: { exec: { argv: [a] } }
  b: { exec: { argv: [b] } }
  c: { exec: { argv: [c] } }
stubs:
  pay: { at: a, routes: [{ id: c, when: { path: /c }, reply: { status: 200 } }] }
  ship: { at: a, routes: [{ id: c, when: { path: /c }, reply: { status: 200 } }] }
faults:
  slow: { stub: pay, latency: 800ms }
  late: { stub: ship, latency: 800ms }
tests:
  - id: t
    steps:
      - id: weather
        fault: { draw: [slow, late], times: 6, lasting: [1s, 2s] }
        for: 30s
      - expect: { fault: weather, is: ended }
        eventually: 60s
"#;

const AGENTS: [&str; 3] = ["a", "b", "c"];

fn machine(began: Instant) -> Run {
    let checked = check("plan.yaml", PLAN.as_bytes(), &Inputs { dir: "/plans".to_owned(), ..Inputs::default() });
    let plan = checked.plan.expect("a good plan");
    let authority = Authority { run: RunId("r1".to_owned()), term: Term(1), plan: Digest::of(b"") };
    let setup = Setup {
        authority,
        seed: 1,
        plan_dir: "/plans".to_owned(),
        flaky: Flaky::Fail,
        first_failure: FirstFailure::GoOn,
    };
    Run::new(Arc::new(plan), Arc::new(checked.source), setup, began)
}

fn setting() -> Setting {
    let Some(Input::Begin(setting)) = World::new(PLAN).inbox.pop_front() else { panic!("it begins") };
    *setting
}

/// A run whose agents do what they are asked for at once.
struct Course {
    run: Conducted,
    start: Instant,
    now: Instant,
    /// What agents remember.
    pieces: Vec<Piece>,
    events: BTreeMap<u64, Event>,
    /// Faults, and how many milliseconds after the run's beginning each began.
    begun: Vec<(String, u64)>,
}

impl Course {
    fn new() -> Self {
        let start = Instant::now();
        let (began, ready) = (began(PLAN), Ready::default());
        let mut run = Conducted::new(machine(start), start);
        let log = Log::new(Term(1), AGENTS.map(name));
        run.begin((setting(), start), (Some((log, began, ready)), Vec::new()));
        Self { run, start, now: start, pieces: Vec::new(), events: BTreeMap::new(), begun: Vec::new() }
    }

    /// Until so many faults have begun, and each of them has ended.
    fn until(mut self, count: usize) -> Self {
        loop {
            self.store();
            match self.run.poll_output() {
                Some(output) => self.answer(output),
                None if self.begun.len() >= count => return self,
                None => {
                    let stores = self.run.log_mut().and_then(|log| log.poll_timeout());
                    let next = self.run.poll_timeout().into_iter().chain(stores).min();
                    self.now = self.now.max(next.expect("whoever waits has a bound"));
                    self.run.handle_timeout(self.now);
                }
            }
        }
    }

    fn store(&mut self) {
        let Some(log) = self.run.log_mut() else { return };
        for agent in AGENTS.map(name) {
            while let Some((from, pieces)) = log.next_for(&agent, self.now) {
                log.stored(&agent, from + pieces.len() as u64 - 1);
                if agent == name("a") {
                    self.pieces.truncate(usize::try_from(from).expect("few") - 1);
                    self.pieces.extend(pieces);
                }
            }
        }
    }

    fn answer(&mut self, output: Output) {
        match output {
            Output::Launch(launch) => self.run.handle(Input::ServiceStarted { service: launch.service }, self.now),
            Output::BeginTest { agent, test } => self.run.handle(Input::TestBegun { agent, test }, self.now),
            Output::BeginFault { agent, serial, order } => {
                let fault = order.fault.clone();
                self.begun.push((fault.clone(), millis(self.now - self.start)));
                let active = Input::FaultActive { agent: agent.clone(), fault: fault.clone(), serial };
                self.run.handle(active, self.now);
                self.hear(&agent, Fact::FaultEnded(good_report(&fault)));
            }
            _ => {}
        }
    }

    fn hear(&mut self, agent: &Name, fact: Fact) {
        let seq = self.events.len() as u64 + 1;
        self.events.insert(seq, Event { run: RunId("r1".to_owned()), seq, at_ms: 0, fact: fact.clone() });
        self.run.hear((agent, seq), fact, self.now);
    }

    /// Another orchestrator goes on with what is remembered.
    fn taken_over(mut self) -> Self {
        // what is remembered is gathered for some milliseconds
        while let Some(at) = self.run.log_mut().and_then(|log| log.poll_timeout()) {
            self.now = self.now.max(at);
            self.store();
        }
        let extent = Extent { term: Term(1), pieces: self.pieces.len() as u64 };
        let recollected = Recollected {
            term: Term(2),
            pieces: self.pieces.clone(),
            extents: AGENTS.map(|agent| (name(agent), extent)).into(),
            events: [(name("a"), self.events.clone())].into(),
        };
        let moment = Moment { now: self.now, at_unix_ms: 0 };
        let recollection = recollected.read().expect("all of it");
        let rebuilt = rebuild(recollection, machine, (setting(), moment)).expect("it goes on");
        assert!(rebuilt.outstanding.iter().all(|output| !matches!(output, Output::BeginFault { .. })));
        Self { run: rebuilt.conducted, ..self }
    }
}

#[test]
fn a_schedule_goes_on_at_whoever_takes_the_run_over_with_the_same_faults_at_the_same_times() {
    let alone = Course::new().until(6).begun;
    for handed_over_after in 1..6 {
        let taken_over = Course::new().until(handed_over_after).taken_over().until(6).begun;
        let names = |begun: &[(String, u64)]| begun.iter().map(|(fault, _)| fault.clone()).collect::<Vec<_>>();
        assert_eq!(names(&taken_over), names(&alone));
        for ((_, then), (fault, now)) in alone.iter().zip(&taken_over) {
            // the time without an orchestrator is not the run's
            assert!((*then..then + 100).contains(now), "{fault} begins at {now} ms instead of {then} ms");
        }
    }
}
