//! Failures: what is held against whom, and where the plan says that it must be otherwise.

use meshproof_proto::event::{CheckFailure, Evidence, Outcome, StepResult};
use meshproof_proto::id::Name;
use meshproof_proto::order::Action;
use meshproof_proto::verdict::Verdict;

use super::machine::{Phase, Run};
use crate::plan::Span;
use crate::plan::compiled::{Conduct, Does, ProcessChange, ProcessStep, Step};
use crate::plan::model::Check;
use crate::record::{Ending, FailureRecord, Happening, PlanPlace, StepInfo};

/// A failure before its place is looked up.
#[derive(Debug, Default)]
pub(super) struct Blame {
    pub(super) step: Option<StepInfo>,
    pub(super) at: Option<Span>,
    pub(super) title: String,
    pub(super) expected: Option<String>,
    pub(super) actual: Option<String>,
    pub(super) evidence: Vec<Evidence>,
    /// It is what a load came to.
    pub(super) of_load: bool,
}

impl Blame {
    pub(super) fn new(at: Option<Span>, title: impl Into<String>) -> Self {
        Self { at, title: title.into(), ..Self::default() }
    }
}

impl Run {
    /// The test that is going on.
    pub(super) fn current_test(&self) -> Option<String> {
        match &self.phase {
            Phase::Testing(testing) => Some(self.plan.tests[testing.index].id.clone()),
            Phase::Waiting | Phase::Starting(_) | Phase::Closing { .. } | Phase::Over => None,
        }
    }

    /// Holds this against the test that is going on, else against the run.
    pub(super) fn fail(&mut self, verdict: Verdict, blame: Blame) {
        let test = self.current_test();
        match test.as_deref().filter(|_| blame.of_load && verdict == Verdict::Fail) {
            Some(test) => self.tally.breach(test),
            None => self.tally.blame(test.as_deref(), verdict),
        }
        let place = blame.at.map(|span| {
            let position = self.source.position(span.start);
            PlanPlace {
                file: self.source.path().to_owned(),
                line: position.line,
                column: position.column,
                span: (span.start, span.end),
            }
        });
        self.record(Happening::Failure(Box::new(FailureRecord {
            verdict,
            test,
            step: blame.step,
            place,
            title: blame.title,
            expected: blame.expected,
            actual: blame.actual,
            evidence: blame.evidence,
        })));
    }
}

/// What the result of a step says about it.
pub(super) struct Judged {
    pub(super) ending: Ending,
    /// In a line.
    pub(super) why: Option<String>,
    verdict: Verdict,
    blames: Vec<Blame>,
}

impl Judged {
    pub(super) fn of(step: &Step, result: &StepResult) -> Self {
        let at_verb = |title: &str| Blame::new(Some(step.verb), title);
        let (verdict, mut blames) = match &result.outcome {
            Outcome::Ok => (Verdict::Pass, Vec::new()),
            Outcome::Failed(failures) if failures.is_empty() => {
                (Verdict::Error, vec![at_verb("the agent reports a failed check and not which")])
            }
            Outcome::Failed(failures) => {
                (Verdict::Fail, failures.iter().map(|failure| of_check(step, failure)).collect())
            }
            Outcome::CallFailed { message } => (Verdict::Fail, vec![at_verb(message)]),
            Outcome::Unknown { message } => (Verdict::Unknown, vec![at_verb(message)]),
            Outcome::Error { message } => (Verdict::Error, vec![at_verb(message)]),
        };
        let why = blames.first().map(Blame::line);
        if let Some(first) = blames.first_mut() {
            first.evidence.clone_from(&result.evidence);
        }
        let of_load = matches!(&step.does, Does::Ask(ask) if matches!(ask.action, Action::Load(_)));
        blames.iter_mut().for_each(|blame| blame.of_load = of_load);
        Self { ending: Ending::from(verdict), why, verdict, blames }
    }
}

impl Run {
    /// A service that nobody waits for may not listen yet when it is called first: that is said beside the refusal.
    pub(super) fn not_waited_for(&self, step: &Step, judged: &mut Judged) {
        let Does::Ask(ask) = &step.does else { return };
        let service = ask
            .target
            .as_ref()
            .and_then(|target| self.plan.services.iter().find(|service| service.name == target.service));
        let Some(service) = service.filter(|service| service.ready.is_none() && !service.processes.is_empty()) else {
            return;
        };
        let refused = |blame: &&mut Blame| blame.title.contains("Connection refused");
        if let Some(blame) = judged.blames.first_mut().filter(refused) {
            let text = format!(
                "nothing waits until `{0}` listens: say when it is ready, `{0}: {{ ready: … }}`, or repeat the step with `eventually: 10s`",
                service.name
            );
            blame.evidence.push(Evidence { title: "what may help".to_owned(), text });
        }
    }

    /// Says what a step's result has against it; of an optional step, nothing.
    pub(super) fn fail_step(&mut self, info: &StepInfo, judged: Judged) {
        if info.optional {
            return;
        }
        for blame in judged.blames {
            self.fail(judged.verdict, Blame { step: Some(info.clone()), ..blame });
        }
    }
}

impl Run {
    /// What is watched is broken: that is held against the step that brought it about.
    pub(super) fn fail_watch(&mut self, watch: &StepInfo, cause: Option<StepInfo>, judged: Judged) {
        if watch.optional {
            return;
        }
        for blame in judged.blames {
            let when = if cause.is_some() { "broken after this step" } else { "broken before the first step" };
            let title = format!("what must always hold is {when}: {}", blame.title);
            let step = cause.clone().or_else(|| Some(watch.clone()));
            self.fail(judged.verdict, Blame { step, title, ..blame });
        }
    }
}

impl Judged {
    /// Names the agent, where the step itself does not.
    pub(super) fn of_agent(&mut self, agent: &Name) {
        let named = |text: &str| format!("`{agent}` was {text}");
        self.why = self.why.as_deref().map(named);
        for blame in &mut self.blames {
            blame.title = named(&blame.title);
        }
    }
}

impl Blame {
    /// In one line, for the step's own.
    fn line(&self) -> String {
        match (&self.expected, &self.actual) {
            (Some(expected), Some(actual)) => format!("{}: expected {expected}, got {actual}", self.title),
            _ => self.title.clone(),
        }
    }
}

/// The checks as the plan has them, in the order in which agents count them.
fn checks_of(step: &Step) -> &[Check] {
    match &step.does {
        Does::Ask(ask) => &ask.checks,
        Does::Value { checks, .. } => checks,
        Does::Everywhere(everywhere) => &everywhere.checks,
        Does::Conduct(Conduct::State { checks, .. }) => checks,
        Does::Conduct(Conduct::Sync(sync)) => &sync.checks,
        Does::Conduct(Conduct::Process(ProcessStep { what: ProcessChange::Restart(Some(ready)), .. })) => {
            checks_of(ready)
        }
        Does::Conduct(Conduct::Process(_) | Conduct::KillZone(_) | Conduct::Pause(_) | Conduct::Churn(_)) => &[],
        Does::Fault(_) | Does::Draw(_) | Does::Heal(_) | Does::Collect(_) | Does::Say(_) | Does::Settle(_) => &[],
    }
}

/// A check that does not hold, with the place of the JSONPath inside of it that does not.
fn of_check(step: &Step, failure: &CheckFailure) -> Blame {
    let check = usize::try_from(failure.check).ok().and_then(|at| checks_of(step).get(at));
    let Some(check) = check else {
        return Blame::new(Some(step.verb), format!("check {}, which the plan does not have, failed", failure.check));
    };
    let at = failure.mismatch.at.as_str();
    let path = check.paths.iter().filter(|(path, _)| at.starts_with(path.as_str())).max_by_key(|(path, _)| path.len());
    let what = if at.is_empty() { format!("`{}`", check.field) } else { format!("`{}` at `{at}`", check.field) };
    Blame {
        expected: Some(failure.mismatch.expected.clone()),
        actual: Some(failure.mismatch.actual.clone()),
        ..Blame::new(Some(path.map_or(check.span, |(_, span)| *span)), format!("{what} is not as expected"))
    }
}
