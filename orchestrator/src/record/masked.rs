//! Records without secrets. Whatever people and files get to see of a run is a record, so this is the one place where what
//! services said, and what steps saved, loses them. Names that the plan gives stay: they stand in the plan.

use meshproof_proto::event::{Evidence, Fact, StepResult, StubCall};
use meshproof_proto::mask::Masker;
use meshproof_proto::sync::{Ask, MemberAsked, MemberEnd};

use super::{Entry, FailureRecord, Happening, Invocation, StepInfo};

impl Entry {
    /// As it may be written and shown.
    #[must_use]
    pub fn masked(self, masker: &Masker) -> Self {
        if masker.is_empty() {
            return self;
        }
        let mask = Mask(masker);
        Self { what: mask.happening(self.what), ..self }
    }
}

struct Mask<'m>(&'m Masker);

impl Mask<'_> {
    fn text(&self, text: String) -> String {
        self.0.mask(&text).into_owned()
    }

    fn some(&self, text: Option<String>) -> Option<String> {
        text.map(|text| self.text(text))
    }

    fn happening(&self, what: Happening) -> Happening {
        match what {
            Happening::BuildBegan { command } => Happening::BuildBegan { command: self.text(command) },
            Happening::BuildEnded { command, duration_ms, problem } => {
                Happening::BuildEnded { command: self.text(command), duration_ms, problem: self.some(problem) }
            }
            Happening::AgentLost { name, reason } => Happening::AgentLost { name, reason: self.text(reason) },
            Happening::FailoverDetected { agent, how, after_ms } => {
                Happening::FailoverDetected { agent, how: self.text(how), after_ms }
            }
            Happening::ServiceEnded { service, how } => Happening::ServiceEnded { service, how: self.text(how) },
            Happening::MemberEnded { member, why } => Happening::MemberEnded { member, why: self.some(why) },
            Happening::Fact(fact) => Happening::Fact(self.fact(fact)),
            Happening::StepBegan(step) => Happening::StepBegan(self.step(step)),
            Happening::StepEnded { step, ending, duration_ms, tries, why } => {
                Happening::StepEnded { step: self.step(step), ending, duration_ms, tries, why: self.some(why) }
            }
            Happening::TestNotRun { test, why } => Happening::TestNotRun { test, why: self.text(why) },
            Happening::Failure(failure) => Happening::Failure(Box::new(self.failure(*failure))),
            Happening::Said { text } => Happening::Said { text: self.text(text) },
            Happening::Noted { text } => Happening::Noted { text: self.text(text) },
            Happening::Invoked(how) => Happening::Invoked(Box::new(self.invocation(*how))),
            what @ (Happening::RunBegan { .. }
            | Happening::Expected { .. }
            | Happening::AgentJoined { .. }
            | Happening::MeshFormed { .. }
            | Happening::FailoverDecided { .. }
            | Happening::FailoverComplete { .. }
            | Happening::TakenOver { .. }
            | Happening::Initialized { .. }
            | Happening::ServiceStarted { .. }
            | Happening::ServiceReady { .. }
            | Happening::TestBegan { .. }
            | Happening::TestEnded { .. }
            | Happening::FaultBegan { .. }
            | Happening::FaultsDrawn { .. }
            | Happening::FaultEnded(_)
            | Happening::Collected { .. }
            | Happening::RunEnded { .. }) => what,
        }
    }

    /// Its plan is covered already, in a way that places in it stay the same.
    fn invocation(&self, how: Invocation) -> Invocation {
        let arguments = how.arguments.into_iter().map(|argument| self.text(argument)).collect();
        Invocation {
            directory: self.text(how.directory),
            arguments,
            plan: self.0.covered(&how.plan).into_owned(),
            ..how
        }
    }

    fn step(&self, step: StepInfo) -> StepInfo {
        StepInfo { title: self.text(step.title), ..step }
    }

    fn failure(&self, failure: FailureRecord) -> FailureRecord {
        FailureRecord {
            step: failure.step.map(|step| self.step(step)),
            title: self.text(failure.title),
            expected: self.some(failure.expected),
            actual: self.some(failure.actual),
            evidence: self.evidence(failure.evidence),
            ..failure
        }
    }

    fn evidence(&self, all: Vec<Evidence>) -> Vec<Evidence> {
        let one = |Evidence { title, text }| Evidence { title: self.text(title), text: self.text(text) };
        all.into_iter().map(one).collect()
    }

    fn fact(&self, fact: Fact) -> Fact {
        match fact {
            Fact::LinkSuspect { peer, reason } => Fact::LinkSuspect { peer, reason: self.text(reason) },
            Fact::StepEnded { key, result } => Fact::StepEnded { key, result: self.result(result) },
            Fact::StubCalled(call) => Fact::StubCalled(StubCall { request: self.text(call.request), ..call }),
            Fact::StubErred { call, error } => {
                Fact::StubErred { call: StubCall { request: self.text(call.request), ..call }, error }
            }
            Fact::Asked { by, id, line } => Fact::Asked { by, id: self.text(id), line: self.text(line) },
            Fact::Answered { by, id, outcome, duration_ms } => {
                let outcome = outcome.with_texts(|text| self.text(text));
                Fact::Answered { by, id: self.text(id), outcome, duration_ms }
            }
            Fact::Told { by, text } => Fact::Told { by, text: self.text(text) },
            Fact::Printed { key, pipe, text } => Fact::Printed { key, pipe, text: self.text(text) },
            fact @ (Fact::LinkOffered { .. }
            | Fact::LinkAcknowledged { .. }
            | Fact::StepStarted { .. }
            | Fact::FaultBegan { .. }
            | Fact::FaultEnded(_)
            | Fact::LinkBytes { .. }
            | Fact::Gap { .. }
            | Fact::StubCallsUntold { .. }
            | Fact::StubPurged { .. }
            | Fact::Stalled { .. }
            | Fact::GoesOn { .. }
            | Fact::Steered { .. }
            | Fact::AgentUsed(_)
            | Fact::FileHeld { .. }
            | Fact::Mirrored { .. }
            | Fact::Sampled(_)
            | Fact::Used(_)) => fact,
            Fact::ProgramAsked { number, ask } => Fact::ProgramAsked { number, ask: self.ask(ask) },
            Fact::ProgramsAsked { asked } => {
                let asked = asked.into_iter().map(|asked| MemberAsked { ask: self.ask(asked.ask), ..asked });
                Fact::ProgramsAsked { asked: asked.collect() }
            }
        }
    }

    fn ask(&self, ask: Ask) -> Ask {
        match ask {
            Ask::Publish { topic, value } => Ask::Publish { topic, value: self.text(value) },
            Ask::Ended(MemberEnd::Failure { why }) => Ask::Ended(MemberEnd::Failure { why: self.text(why) }),
            Ask::Ended(MemberEnd::Crash { why }) => Ask::Ended(MemberEnd::Crash { why: self.text(why) }),
            Ask::Said { text } => Ask::Said { text: self.text(text) },
            ask @ (Ask::Signal { .. }
            | Ask::Entries { .. }
            | Ask::Barrier { .. }
            | Ask::Subscribe { .. }
            | Ask::GiveUp { .. }
            | Ask::Ended(MemberEnd::Success)
            | Ask::Measured { .. }
            | Ask::Network { .. }) => ask,
        }
    }

    fn result(&self, result: StepResult) -> StepResult {
        StepResult {
            outcome: result.outcome.with_texts(|text| self.text(text)),
            saved: result.saved.into_iter().map(|(name, value)| (name, self.text(value))).collect(),
            evidence: self.evidence(result.evidence),
            ..result
        }
    }
}
