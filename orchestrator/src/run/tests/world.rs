//! A world that answers what the machine asks, well unless a test says otherwise.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::event::{Evidence, Fact, Outcome, StepResult};
use meshproof_proto::id::{Digest, Name, RunId, Term};
use meshproof_proto::order::{ACTIVITY, Action, Authority, COUNTED, FaultReport, StepKey, StepOrder};
use meshproof_proto::verdict::{Exit, Verdict};

use crate::plan::compiled::Tunnel;
use crate::plan::{Inputs, Plan, Source, check};
use crate::record::{Ending, FailureRecord, Happening};
use crate::run::{FirstFailure, Flaky, Input, Output, Place, ProcessOrder, Run, Setting, Setup};

/// Two services; a stub beside the first, a fault on it and one between both.
pub(crate) const PLAN: &str = r#"meshproof: 1
plan: p
services:
  shop:
    exec: { argv: [shop, "${{ services.ledger.tcp }}", "${{ self.http.port }}", "${{ stubs.pay.url }}"] }
    ports: { http: dynamic }
    ready: { http: { get: /healthz } }
  ledger:
    exec: { argv: [ledger] }
    ports: { tcp: dynamic }
stubs:
  pay: { at: shop, protocol: http, unmatched: fail, routes: [{ id: c, when: { path: /c }, reply: { status: 200 } }] }
faults:
  slow: { stub: pay, latency: 800ms }
  cut: { traffic: shop <-> ledger, loss: 100% }
tests:
  - id: one
    timeout: 90s
    steps:
      - fault: slow
        prove: 15%
      - id: order
        to: shop
        http: { post: /orders }
        expect: { status: 202, json: { $.state: pending } }
        save: { order: $.id }
      - fault: cut
        for: 5s
      - to: ledger
        tcp: { send: "STATUS ${{ order }}\n" }
        expect: { line: /^OK/ }
    after:
      - heal: all
      - to: ledger
        tcp: { send: "DROP ${{ order }}\n" }
      - say: "over"
  - id: two
    steps:
      - at: shop
        to: ledger
        stream: { data: { generate: { count: 3, json: { id: "${{ index }}" } } }, apply: { tcp: { send: "${{ record.id }}\n" } } }
        expect: { records: 3 }
"#;

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// The machine, what it gave, and how the world answers.
pub(crate) struct World {
    pub(crate) run: Run,
    pub(crate) now: Instant,
    pub(crate) records: Vec<Happening>,
    /// Everything but records, in order.
    pub(crate) outputs: Vec<Output>,
    pub(crate) inbox: VecDeque<Input>,
    /// Other outcomes than ok, by `test/step`.
    pub(crate) outcomes: BTreeMap<String, Outcome>,
    /// Other reports than good ones, by fault.
    pub(crate) reports: BTreeMap<String, FaultReport>,
    /// Outputs for which this says so are not answered.
    pub(crate) silent: fn(&Output) -> bool,
    pub(crate) finished: Option<(Verdict, Exit)>,
    /// What agents saw of steps that are not ok.
    pub(crate) evidence: Vec<Evidence>,
    /// What agents count in each round of settling.
    pub(crate) activity: BTreeMap<u32, u64>,
    /// What an agent counts in the logs beside it, each time that it is asked; then it waits.
    pub(crate) lines: BTreeMap<(Name, u32), u64>,
    /// Exit codes of programs that end as soon as they have started.
    pub(crate) exits: BTreeMap<Name, i32>,
    source: Arc<Source>,
    /// How steps ended at their agents, for those behind them.
    ended: BTreeMap<StepKey, Outcome>,
}

impl World {
    pub(crate) fn new(text: &str) -> Self {
        let checked = check("plan.yaml", text.as_bytes(), &Inputs { dir: "/plans".to_owned(), ..Inputs::default() });
        let plan = checked.plan.unwrap_or_else(|mistakes| {
            panic!("{}", mistakes.render(&checked.source, crate::plan::Look::Plain));
        });
        Self::of(Arc::new(plan), Arc::new(checked.source))
    }

    pub(crate) fn of(plan: Arc<Plan>, source: Arc<Source>) -> Self {
        let now = Instant::now();
        let authority = Authority { run: RunId("r1".to_owned()), term: Term(1), plan: Digest::of(b"") };
        let setup = Setup {
            authority,
            seed: 1,
            plan_dir: "/plans".to_owned(),
            flaky: Flaky::Fail,
            first_failure: FirstFailure::GoOn,
        };
        let begin = Input::Begin(Box::new(setting(&plan)));
        Self {
            run: Run::new(plan, Arc::clone(&source), setup, now),
            now,
            records: Vec::new(),
            outputs: Vec::new(),
            inbox: VecDeque::from([begin]),
            outcomes: BTreeMap::new(),
            reports: BTreeMap::new(),
            silent: |_| false,
            finished: None,
            evidence: Vec::new(),
            activity: BTreeMap::new(),
            exits: BTreeMap::new(),
            lines: BTreeMap::new(),
            ended: BTreeMap::new(),
            source,
        }
    }

    pub(crate) fn source(&self) -> Arc<Source> {
        Arc::clone(&self.source)
    }

    /// Runs to the end, letting time pass only when there is nothing else.
    pub(crate) fn play(mut self) -> Self {
        while self.finished.is_none() {
            self.step();
        }
        assert!(self.run.is_over() && self.run.poll_timeout().is_none());
        self
    }

    /// Runs until the machine has given this, which the world has not answered yet.
    pub(crate) fn play_until(mut self, found: impl Fn(&Output) -> bool) -> Self {
        while !self.outputs.iter().any(&found) {
            assert!(self.finished.is_none(), "the run ended before that: {:?}", self.records.last());
            self.step();
        }
        self
    }

    /// One input or one timeout.
    pub(crate) fn step(&mut self) {
        self.collect();
        match self.inbox.pop_front() {
            Some(input) => self.run.handle(input, self.now),
            None if self.finished.is_none() => {
                let next = self.run.poll_timeout().expect("whoever waits has a bound");
                self.now = self.now.max(next);
                self.run.handle_timeout(self.now);
            }
            None => {}
        }
        self.collect();
    }

    pub(crate) fn collect(&mut self) {
        while let Some(output) = self.run.poll_output() {
            match output {
                Output::Record(what) => self.records.push(what),
                Output::Finished { verdict, exit } => self.finished = Some((verdict, exit)),
                other => {
                    if !(self.silent)(&other) {
                        self.answer(&other);
                    }
                    self.outputs.push(other);
                }
            }
        }
    }

    /// As agents do: a step that is ordered before its turn begins once the one before it has ended well.
    fn answer(&mut self, output: &Output) {
        if let Output::Order { order, .. } = output
            && let Some(before) = &order.after
            && self.ended.get(before) != Some(&Outcome::Ok)
        {
            return;
        }
        let answers = self.answers(output);
        for answer in &answers {
            if let Input::Fact { fact: Fact::StepEnded { key, result }, .. } = answer {
                self.ended.insert(key.clone(), result.outcome.clone());
            }
        }
        self.inbox.extend(answers);
    }

    pub(crate) fn answers(&self, output: &Output) -> Vec<Input> {
        match output {
            Output::Launch(launch) => vec![Input::ServiceStarted { service: launch.service.clone() }],
            Output::BeginTest { agent, test } => vec![Input::TestBegun { agent: agent.clone(), test: test.clone() }],
            Output::Order { agent, order, .. } | Output::OrderAgain { agent, order } => self.ordered(agent, order),
            Output::Cancel { agent, key } if key.step.starts_with("always.") => vec![self.ended(agent, key, None)],
            Output::Together(orders) => vec![self.ended(&orders.leader, &orders.order.key, None)],
            Output::BeginFault { agent, serial, order } => {
                vec![Input::FaultActive { agent: agent.clone(), fault: order.fault.clone(), serial: *serial }]
            }
            Output::HealFault { agent, serial, fault } => {
                let report = self.report(fault);
                let event = Fact::FaultEnded(report.clone());
                vec![
                    Input::FaultHealed { agent: agent.clone(), serial: *serial, report },
                    Input::Fact { agent: agent.clone(), fact: event },
                ]
            }
            Output::Change { key, service, what } => {
                let changed = Input::ProcessesChanged { key: key.clone(), result: Ok(()) };
                let code = self.exits.get(service).filter(|_| matches!(what, ProcessOrder::Restart(_)));
                [changed].into_iter().chain(code.into_iter().flat_map(|code| left(service, *code))).collect()
            }
            Output::KillZone { key, zone } => {
                let (services, result) = (Vec::new(), Ok(()));
                vec![Input::ZoneKilled { key: key.clone(), zone: zone.clone(), services, result }]
            }
            Output::Pause { key, .. } => vec![Input::Resumed { key: key.clone(), result: Ok(()) }],
            Output::Collect { key, .. } => vec![Input::Collected { key: key.clone(), files: Ok(Vec::new()) }],
            Output::TearDown => vec![Input::TornDown { problems: Vec::new() }],
            Output::Record(_)
            | Output::Cancel { .. }
            | Output::RenewFault { .. }
            | Output::Answer { .. }
            | Output::Finished { .. } => Vec::new(),
        }
    }

    fn ordered(&self, agent: &Name, order: &StepOrder) -> Vec<Input> {
        let started = Input::Fact { agent: agent.clone(), fact: Fact::StepStarted { key: order.key.clone() } };
        match &order.action {
            Action::WatchLog { .. } | Action::WatchStub { .. } | Action::WatchMetric { .. } => vec![started],
            Action::CountLog { .. } => {
                let lines = self.lines.get(&(agent.clone(), order.key.attempt));
                let counted = lines.map(|lines| self.counted(agent, &order.key, *lines));
                [started].into_iter().chain(counted).collect()
            }
            Action::Settle { .. } => {
                let mut ended = self.ended(agent, &order.key, None);
                if let Input::Fact { fact: Fact::StepEnded { result, .. }, .. } = &mut ended
                    && result.outcome == Outcome::Ok
                {
                    let counted = self.activity.get(&order.key.attempt).copied().unwrap_or_default();
                    result.saved.insert(ACTIVITY.to_owned(), counted.to_string());
                }
                vec![started, ended]
            }
            _ => vec![started, self.ended(agent, &order.key, order.saves.first())],
        }
    }

    pub(crate) fn counted(&self, agent: &Name, key: &StepKey, lines: u64) -> Input {
        self.answered(agent, key, &lines.to_string())
    }

    /// It counted, and says this of the number.
    pub(crate) fn answered(&self, agent: &Name, key: &StepKey, number: &str) -> Input {
        let mut ended = self.ended(agent, key, None);
        if let Input::Fact { fact: Fact::StepEnded { result, .. }, .. } = &mut ended {
            result.saved.insert(COUNTED.to_owned(), number.to_owned());
        }
        ended
    }

    fn ended(&self, agent: &Name, key: &StepKey, save: Option<&meshproof_proto::order::Save>) -> Input {
        let outcome = self.outcomes.get(&format!("{}/{}", key.test, key.step)).cloned().unwrap_or(Outcome::Ok);
        let saved = save.filter(|_| outcome == Outcome::Ok).map(|save| (save.name.clone(), "\"o-1\"".to_owned()));
        let evidence = if outcome == Outcome::Ok { Vec::new() } else { self.evidence.clone() };
        let saved = saved.into_iter().collect();
        let result = StepResult { outcome, duration_ms: 1.0, tries: 1, saved, evidence };
        Input::Fact { agent: agent.clone(), fact: Fact::StepEnded { key: key.clone(), result } }
    }

    pub(crate) fn report(&self, fault: &str) -> FaultReport {
        self.reports.get(fault).cloned().unwrap_or_else(|| good_report(fault))
    }

    pub(crate) fn ending(&self, test: &str, step: &str) -> Option<Ending> {
        self.records.iter().find_map(|record| match record {
            Happening::StepEnded { step: info, ending, .. } if info.key.test == test && info.key.step == step => {
                Some(*ending)
            }
            _ => None,
        })
    }

    pub(crate) fn failures(&self) -> Vec<&FailureRecord> {
        let failures = self.records.iter().filter_map(|record| match record {
            Happening::Failure(failure) => Some(failure.as_ref()),
            _ => None,
        });
        failures.collect()
    }

    /// `line: title` of every failure.
    pub(crate) fn blamed(&self) -> Vec<(usize, &str)> {
        let failures = self.failures().into_iter();
        failures.map(|failure| (failure.place.as_ref().map_or(0, |place| place.line), failure.title.as_str())).collect()
    }

    pub(crate) fn verdict_of(&self, test: &str) -> Option<Verdict> {
        self.records.iter().find_map(|record| match record {
            Happening::TestEnded { test: id, verdict, .. } if id == test => Some(*verdict),
            _ => None,
        })
    }
}

/// A program ended by itself.
pub(crate) fn left(service: &Name, code: i32) -> [Input; 2] {
    let how = format!("exit code {code}");
    [
        Input::ServiceEnded { service: service.clone(), how, evidence: Vec::new() },
        Input::ServiceLeft { service: service.clone(), code },
    ]
}

pub(crate) fn good_report(fault: &str) -> FaultReport {
    FaultReport {
        fault: fault.to_owned(),
        asked: "latency 800ms".to_owned(),
        measured: "latency 812ms (3 replies)".to_owned(),
        deviation_percent: Some(1.5),
        effective: true,
        healed: true,
    }
}

/// The line of the plan that has this text, from 1.
pub(crate) fn line(text: &str) -> usize {
    PLAN.lines().position(|line| line.contains(text)).expect("a line of the plan") + 1
}

fn setting(plan: &Plan) -> Setting {
    let place = |(index, service): (usize, &crate::plan::compiled::Service)| {
        let ports = service.ports.iter().map(|port| (port.name.clone(), format!("127.0.0.1:{}", 7000 + index)));
        (service.name.clone(), Place { dir: format!("/run/{}", service.name), ports: ports.collect() })
    };
    let way = |(index, way): (usize, &Tunnel)| (way.clone(), format!("127.0.0.1:{}", 8000 + index));
    Setting {
        places: plan.services.iter().enumerate().map(place).collect(),
        addresses: plan.tunnels.iter().enumerate().map(way).collect(),
        stubs: plan.stubs.iter().map(|stub| (stub.order.name.clone(), "127.0.0.1:9000".to_owned())).collect(),
        held: BTreeMap::new(),
        files: BTreeMap::new(),
        endpoints: BTreeMap::new(),
        apis: BTreeMap::new(),
        hosts: BTreeMap::new(),
    }
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
