//! One record after the other becomes part of the story.

use meshproof_proto::event::{Fact, StubCall, Usage};
use meshproof_proto::order::FaultReport;

use super::steps::Ended;
use super::{Failover, Failure, Fault, Moment, RunEnding, Story, Stub, Test};
use crate::record::{Happening, Record};
use crate::report::limits::{BLOWS, FAILURES_NAMED, FAULTS, LINKS, ROUTES, SAMPLES};

impl Story {
    /// The next record of the journal.
    pub fn take(&mut self, record: Record) {
        self.events += 1;
        if self.began_ms == 0 {
            self.began_ms = record.entry.at_ms;
        }
        let at = record.entry.at_ms as f64 - self.began_ms as f64;
        self.last = self.last.max(at);
        self.log.take(at, &record.entry);
        let from = &record.entry.from;
        match &record.entry.what {
            Happening::Fact(fact) => self.fact(at, from, fact),
            what => {
                self.run(what);
                self.course(at, what);
                self.trouble(at, what);
            }
        }
        self.around.take(&mut self.failures, at, record);
    }

    /// There is no more.
    pub fn finish(&mut self) {
        self.log.finish();
    }

    /// What the run is.
    fn run(&mut self, what: &Happening) {
        match what {
            Happening::RunBegan { run, plan, file, digest, seed, term } => {
                (self.run, self.plan, self.file) = (run.0.clone(), plan.clone(), file.clone());
                (self.digest, self.seed, self.term) = (digest.to_string(), *seed, term.0);
            }
            Happening::Invoked(how) => self.invocation = Some((**how).clone()),
            Happening::Expected { steps, tests } => {
                self.expected_steps = steps.len();
                self.tests = tests.iter().map(|test| Test { id: test.clone(), ..Test::default() }).collect();
            }
            Happening::RunEnded { verdict, exit, summary } => {
                self.ending = Some(RunEnding { verdict: *verdict, exit: *exit, summary: summary.clone() });
            }
            _ => {}
        }
    }

    /// Tests, steps and faults as they come and go.
    fn course(&mut self, at: Moment, what: &Happening) {
        match what {
            Happening::TestBegan { test } => self.test(test).began = Some(at),
            Happening::TestEnded { test, verdict, duration_ms } => {
                let test = self.test(test);
                (test.ended, test.verdict, test.duration_ms) = (Some(at), Some(*verdict), *duration_ms);
            }
            Happening::TestNotRun { test, why } => self.test(test).not_run = Some(why.clone()),
            Happening::StepEnded { step, ending, duration_ms, tries, why } => {
                let why = why.as_deref();
                self.steps.take(step, &Ended { at, ending: *ending, duration_ms: *duration_ms, tries: *tries, why });
            }
            Happening::FaultBegan { fault, target, asked, agents, .. } if self.faults.len() < FAULTS => {
                let agents = agents.iter().map(ToString::to_string).collect();
                let (name, target, asked) = (fault.clone(), target.clone(), asked.clone());
                self.faults.push(Fault { name, target, asked, agents, by: None, began: at, ended: None });
            }
            Happening::FaultEnded(report) => self.fault_ended(at, report),
            Happening::AgentJoined { name, path, rtt_us } => {
                let agent = self.agents.entry(name.to_string()).or_default();
                (agent.path, agent.rtt_us) = (path.clone(), *rtt_us);
            }
            _ => {}
        }
    }

    /// What went wrong, and what was done about it.
    fn trouble(&mut self, at: Moment, what: &Happening) {
        match what {
            Happening::Failure(record) => {
                let record = (**record).clone();
                if self.failures.len() < FAILURES_NAMED {
                    let failure = Failure { at, record, around: Vec::new(), around_untold: 0 };
                    self.around.begin(&mut self.failures, failure);
                } else {
                    self.failures_untold += 1;
                }
            }
            Happening::AgentLost { name, reason } => self.blow(name.as_str(), at, format!("agent lost: {reason}")),
            Happening::ServiceEnded { service, how } => {
                self.blow(service.as_str(), at, format!("service ended: {how}"))
            }
            Happening::FailoverDetected { agent, how, .. } if self.failovers.len() < FAULTS => {
                let (agent, how) = (agent.to_string(), how.clone());
                self.failovers.push(Failover { agent, how, detected: at, decided: None, complete: None });
            }
            Happening::FailoverDecided { agent, term, .. } => {
                self.failover(agent.as_str(), |failover| failover.decided = Some((at, term.clone())));
            }
            Happening::FailoverComplete { agent, replayed, .. } => {
                self.failover(agent.as_str(), |failover| failover.complete = Some((at, *replayed)));
            }
            _ => {}
        }
    }

    /// A person's fault is begun by the agent that was asked.
    fn wished(&mut self, at: Moment, from: &str, name: &str) {
        let Some((by, words)) = self.wished.get(name).filter(|_| self.faults.len() < FAULTS) else { return };
        let agents = vec![from.to_owned()];
        let (target, asked, by) = (words.clone(), format!("by {by}"), Some(by.clone()));
        self.faults.push(Fault { name: name.to_owned(), target, asked, agents, by, began: at, ended: None });
    }

    fn fault_ended(&mut self, at: Moment, report: &FaultReport) {
        let is_it = |fault: &&mut Fault| fault.name == report.fault && fault.ended.is_none();
        if let Some(fault) = self.faults.iter_mut().rev().find(is_it) {
            fault.ended = Some((at, report.clone()));
        }
    }

    fn fact(&mut self, at: Moment, from: &str, fact: &Fact) {
        match fact {
            Fact::Asked { by, id, line } if self.wished.len() < FAULTS => {
                if let Some(words) = line.trim_start().strip_prefix("/fault ") {
                    self.wished.insert(id.clone(), (by.to_string(), words.trim().to_owned()));
                }
            }
            Fact::FaultBegan { fault } => self.wished(at, from, fault),
            // what the plan asked for is told as a whole by the orchestrator
            Fact::FaultEnded(report) if self.wished.contains_key(&report.fault) => self.fault_ended(at, report),
            Fact::LinkAcknowledged { from: peer } => self.link(peer.as_str(), from, |link| link.acknowledged += 1),
            Fact::LinkSuspect { peer, .. } => self.link(from, peer.as_str(), |link| link.suspected += 1),
            Fact::LinkBytes { sent, .. } => {
                for (peer, bytes) in sent {
                    self.link(from, peer.as_str(), |link| link.bytes = link.bytes.max(*bytes));
                }
            }
            Fact::Gap { lost } => self.lost_events += lost,
            Fact::StubCalled(call) => self.called(call, |_| {}),
            Fact::StubErred { call, .. } => self.called(call, |stub| stub.errors += 1),
            Fact::StubCallsUntold { stub, calls } => {
                self.stubs.entry((stub.clone(), None)).or_default().untold += calls;
            }
            Fact::Sampled(usage) | Fact::Used(usage) => self.used(at, from, *usage),
            // one instance after the other, each with what it used itself
            Fact::AgentUsed(usage) => self.agents.entry(from.to_owned()).or_default().own = Some(*usage),
            Fact::LinkOffered { .. }
            | Fact::StepStarted { .. }
            | Fact::StepEnded { .. }
            | Fact::FaultEnded(_)
            | Fact::Printed { .. }
            | Fact::StubPurged { .. }
            | Fact::Asked { .. }
            | Fact::Answered { .. }
            | Fact::Told { .. }
            | Fact::Stalled { .. }
            | Fact::GoesOn { .. }
            | Fact::Steered { .. }
            | Fact::FileHeld { .. }
            | Fact::Mirrored { .. }
            | Fact::ProgramAsked { .. }
            | Fact::ProgramsAsked { .. } => {}
        }
    }

    /// One that was not expected is told all the same.
    fn test(&mut self, id: &str) -> &mut Test {
        let at = self.tests.iter().position(|test| test.id == id).unwrap_or_else(|| {
            self.tests.push(Test { id: id.to_owned(), ..Test::default() });
            self.tests.len() - 1
        });
        &mut self.tests[at]
    }

    fn failover(&mut self, agent: &str, change: impl FnOnce(&mut Failover)) {
        if let Some(failover) = self.failovers.iter_mut().rev().find(|failover| failover.agent == agent) {
            change(failover);
        }
    }

    fn blow(&mut self, agent: &str, at: Moment, what: String) {
        let blows = &mut self.agents.entry(agent.to_owned()).or_default().blows;
        if blows.len() < BLOWS {
            blows.push((at, what));
        }
    }

    fn link(&mut self, from: &str, to: &str, change: impl FnOnce(&mut super::Link)) {
        let key = (from.to_owned(), to.to_owned());
        if self.links.len() < LINKS || self.links.contains_key(&key) {
            change(self.links.entry(key).or_default());
        }
    }

    fn called(&mut self, call: &StubCall, change: impl FnOnce(&mut Stub)) {
        let key = (call.stub.clone(), call.route.clone());
        if self.stubs.len() >= ROUTES && !self.stubs.contains_key(&key) {
            return;
        }
        let stub = self.stubs.entry(key).or_default();
        stub.calls += 1;
        stub.unexpected += u64::from(call.unexpected);
        *stub.statuses.entry(call.status).or_default() += 1;
        stub.longest_ms = stub.longest_ms.max(call.took_ms);
        change(stub);
    }

    fn used(&mut self, at: Moment, from: &str, usage: Usage) {
        let agent = self.agents.entry(from.to_owned()).or_default();
        agent.usage = Some(usage);
        agent.samples += 1;
        agent.memory.push((at, usage.memory_bytes));
        if agent.memory.len() > SAMPLES {
            let mut keep = false;
            agent.memory.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }
}
