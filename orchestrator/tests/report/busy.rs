//! A run in which very much happens, made up: agents that call, stubs that answer, faults that come and go.

use meshproof::record::{Ending, Entry, FailureRecord, Happening, Record, Section, StepInfo, Summary};
use meshproof_proto::event::{Event, Evidence, Fact, Outcome, StepResult, StubCall, Usage};
use meshproof_proto::id::{Digest, Name, PeerId, RunId, Term};
use meshproof_proto::order::{FaultReport, StepKey};
use meshproof_proto::verdict::Verdict;

/// Records of four steps' worth of events, over and over, at least so many. Every hundredth step fails.
pub fn records(events: usize, agents: usize) -> Vec<Record> {
    let mut busy = Busy {
        agents: (0..agents).map(|at| format!("agent-{at}").parse().expect("a name")).collect(),
        entries: Vec::new(),
        seq: 0,
    };
    busy.begin();
    let mut step = 0;
    while busy.entries.len() < events {
        busy.step(step);
        step += 1;
    }
    busy.end(step);
    (1..).zip(busy.entries).map(|(n, entry)| Record { n, entry }).collect()
}

struct Busy {
    agents: Vec<Name>,
    entries: Vec<Entry>,
    seq: u64,
}

const BEGAN_MS: u64 = 1_795_936_443_000;

impl Busy {
    fn own(&mut self, at_ms: u64, what: Happening) {
        self.entries.push(Entry::own(BEGAN_MS + at_ms, what));
    }

    fn fact(&mut self, at_ms: u64, agent: usize, fact: Fact) {
        self.seq += 1;
        let event = Event { run: RunId("r-busy".to_owned()), seq: self.seq, at_ms: BEGAN_MS + at_ms, fact };
        let instance = PeerId([u8::try_from(agent % 250).unwrap_or_default(); 32]);
        self.entries.push(Entry::event(&self.agents[agent], instance, event));
    }

    fn begin(&mut self) {
        let run = RunId("r-busy".to_owned());
        self.own(
            0,
            Happening::RunBegan {
                run,
                plan: "busy".to_owned(),
                file: "busy.yaml".to_owned(),
                digest: Digest([7; 32]),
                seed: 1,
                term: Term(1),
            },
        );
        self.own(0, Happening::Expected { steps: Vec::new(), tests: vec!["load".to_owned()] });
        for name in self.agents.clone() {
            self.own(1, Happening::AgentJoined { name, path: "direct".to_owned(), rtt_us: 200 });
        }
        self.own(2, Happening::TestBegan { test: "load".to_owned() });
    }

    fn step(&mut self, number: usize) {
        let at_ms = 10 + number as u64;
        let agent = number % self.agents.len();
        let duration_ms = 1.0 + (number * 7_919 % 1_000) as f64 / 40.0;
        let fails = number % 100 == 99;
        let key = StepKey { test: "load".to_owned(), step: number.to_string(), attempt: 1 };
        self.fact(at_ms, agent, Fact::StepStarted { key: key.clone() });
        self.fact(
            at_ms,
            agent,
            Fact::StubCalled(StubCall {
                stub: "payments".to_owned(),
                route: Some("charge".to_owned()),
                number: number as u64,
                request: format!("POST /charges {{\"order\":{number}}}"),
                status: 201,
                took_ms: duration_ms / 2.0,
                unexpected: false,
            }),
        );
        let outcome = if fails { Outcome::CallFailed { message: "status 500".to_owned() } } else { Outcome::Ok };
        let evidence =
            vec![Evidence { title: "phases".to_owned(), text: "connect 0.1 ms, wait 0.8 ms, read 0.1 ms".to_owned() }];
        self.fact(
            at_ms,
            agent,
            Fact::StepEnded {
                key: key.clone(),
                result: StepResult {
                    outcome,
                    duration_ms,
                    tries: 1,
                    saved: std::collections::BTreeMap::new(),
                    evidence: evidence.clone(),
                },
            },
        );
        let step = StepInfo {
            key,
            section: Section::Steps,
            number: number + 1,
            of: number + 1,
            id: None,
            title: format!("POST /orders/{} to agent-{agent}", number % 40),
            agent: Some(self.agents[agent].clone()),
            line: 12,
            optional: false,
        };
        let ending = if fails { Ending::Fail } else { Ending::Pass };
        if fails {
            self.failure(at_ms, step.clone(), evidence);
        }
        self.own(
            at_ms + 1,
            Happening::StepEnded { step, ending, duration_ms, tries: 1, why: fails.then(|| "status 500".to_owned()) },
        );
        if number.is_multiple_of(50) {
            self.fact(
                at_ms,
                agent,
                Fact::Sampled(Usage {
                    samples: number as u64,
                    memory_bytes: 1_000_000 + number as u64,
                    memory_most_bytes: 2_000_000,
                    ..Usage::default()
                }),
            );
        }
        if number.is_multiple_of(500) {
            self.fault(at_ms, number);
        }
    }

    /// The first have more to show than there is room for, and every character of it takes nine on a page.
    fn failure(&mut self, at_ms: u64, step: StepInfo, evidence: Vec<Evidence>) {
        let much = Evidence { text: "\u{e0001}".repeat(6_100), ..evidence[0].clone() };
        let evidence = if step.number < 3_000 { vec![much; 4] } else { evidence };
        let record = FailureRecord {
            verdict: Verdict::Fail,
            test: Some("load".to_owned()),
            step: Some(step),
            place: None,
            title: "the call failed: status 500".to_owned(),
            expected: Some("201".to_owned()),
            actual: Some("500".to_owned()),
            evidence,
        };
        self.own(at_ms + 1, Happening::Failure(Box::new(record)));
    }

    fn fault(&mut self, at_ms: u64, number: usize) {
        let fault = format!("slow-{number}");
        let began = Happening::FaultBegan {
            fault: fault.clone(),
            target: "stub payments".to_owned(),
            asked: "latency 20ms".to_owned(),
            agents: vec![self.agents[0].clone()],
            lasts_ms: Some(100),
        };
        self.own(at_ms, began);
        let report = FaultReport {
            fault,
            asked: "latency 20ms".to_owned(),
            measured: "latency 21ms".to_owned(),
            deviation_percent: Some(5.0),
            effective: true,
            healed: true,
        };
        self.own(at_ms + 100, Happening::FaultEnded(report));
    }

    fn end(&mut self, steps: usize) {
        let at_ms = 20 + steps as u64;
        self.own(
            at_ms,
            Happening::TestEnded { test: "load".to_owned(), verdict: Verdict::Fail, duration_ms: at_ms as f64 },
        );
        let by_verdict = std::collections::BTreeMap::from([("fail".to_owned(), 1)]);
        let summary = Summary { tests: 1, by_verdict, steps, skipped: 0, duration_ms: at_ms as f64 };
        self.own(at_ms, Happening::RunEnded { verdict: Verdict::Fail, exit: 1, summary });
    }
}
