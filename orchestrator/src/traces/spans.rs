//! Records to spans. Pure: times are those of the records.

use std::time::{Duration, SystemTime};

use meshproof_proto::event::{Fact, Outcome};
use meshproof_proto::id::RunId;
use meshproof_proto::order::StepKey;
use meshproof_proto::trace::{Span, trace_of};
use meshproof_proto::verdict::Verdict;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::record::{Ending, Entry, Happening, StepInfo};

/// Whose span it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Teller {
    Orchestrator,
    Agent,
}

/// The run so far, as far as its spans need it.
#[derive(Debug, Default)]
pub(super) struct Spans {
    began: Option<Began>,
}

#[derive(Debug)]
struct Began {
    run: RunId,
    plan: String,
    at_ms: u64,
}

/// What is known of a span beside its place.
struct Told {
    name: String,
    kind: SpanKind,
    status: Status,
    duration_ms: f64,
    attributes: Vec<KeyValue>,
}

impl Spans {
    /// The span that this record ends, if it ends one.
    pub(super) fn take(&mut self, entry: &Entry) -> Option<(Teller, SpanData)> {
        if let Happening::RunBegan { run, plan, .. } = &entry.what {
            self.began = Some(Began { run: run.clone(), plan: plan.clone(), at_ms: entry.at_ms });
        }
        let began = self.began.as_ref()?;
        let (teller, span, parent, told) = match &entry.what {
            Happening::StepEnded { step, ending, duration_ms, tries, why } => {
                let told = step_told(step, (*ending, why.as_deref()), *duration_ms, *tries);
                (Teller::Orchestrator, Span::Step(&step.key), parent_of(&step.key), told)
            }
            Happening::TestEnded { test, verdict, duration_ms } => {
                (Teller::Orchestrator, Span::Test(test), Some(Span::Run), test_told(test, *verdict, *duration_ms))
            }
            Happening::RunEnded { verdict, .. } => {
                (Teller::Orchestrator, Span::Run, None, run_told(began, *verdict, entry.at_ms))
            }
            Happening::Fact(Fact::StepEnded { key, result }) => {
                let told = action_told((&entry.from, &key.step), &result.outcome, result.duration_ms, result.tries);
                (Teller::Agent, Span::Action(key), Some(Span::Step(key)), told)
            }
            Happening::Fact(Fact::Answered { by, id, outcome, duration_ms }) => {
                // a line of a chat: no step of the plan is above it
                let key = StepKey { test: by.to_string(), step: id.clone(), attempt: 1 };
                let mut told = action_told((&entry.from, id), outcome, *duration_ms, 1);
                told.attributes.push(KeyValue::new("meshproof.by", by.to_string()));
                let data = data(began, (&Span::Action(&key), Some(&Span::Run)), entry.at_ms, told);
                return Some((Teller::Agent, data));
            }
            _ => return None,
        };
        Some((teller, data(began, (&span, parent.as_ref()), entry.at_ms, told)))
    }
}

/// What happens outside of tests, as readiness, is the run's.
fn parent_of(key: &StepKey) -> Option<Span<'_>> {
    Some(if key.test.is_empty() { Span::Run } else { Span::Test(&key.test) })
}

fn run_told(began: &Began, verdict: Verdict, now_ms: u64) -> Told {
    Told {
        name: format!("run {}", began.plan),
        kind: SpanKind::Internal,
        status: status(verdict, None),
        duration_ms: now_ms.saturating_sub(began.at_ms) as f64,
        attributes: vec![KeyValue::new("meshproof.verdict", verdict.to_string())],
    }
}

fn test_told(test: &str, verdict: Verdict, duration_ms: f64) -> Told {
    let attributes =
        vec![KeyValue::new("meshproof.test", test.to_owned()), KeyValue::new("meshproof.verdict", verdict.to_string())];
    let status = status(verdict, None);
    Told { name: format!("test {test}"), kind: SpanKind::Internal, status, duration_ms, attributes }
}

fn step_told(step: &StepInfo, (ending, why): (Ending, Option<&str>), duration_ms: f64, tries: u32) -> Told {
    let mut attributes = vec![
        KeyValue::new("meshproof.test", step.key.test.clone()),
        KeyValue::new("meshproof.step", step.key.step.clone()),
        KeyValue::new("meshproof.line", i64::try_from(step.line).unwrap_or(i64::MAX)),
        KeyValue::new("meshproof.tries", i64::from(tries)),
        KeyValue::new("meshproof.verdict", crate::report::word(ending)),
    ];
    attributes.extend(step.id.clone().map(|id| KeyValue::new("meshproof.step.id", id)));
    let status = match ending.verdict() {
        Some(verdict) => status(verdict, why),
        None => Status::Unset,
    };
    Told { name: step.title.clone(), kind: SpanKind::Internal, status, duration_ms, attributes }
}

/// What an agent did for a step: it called the service.
fn action_told((agent, step): (&str, &str), outcome: &Outcome, duration_ms: f64, tries: u32) -> Told {
    let status = match outcome {
        Outcome::Ok => Status::Ok,
        Outcome::Failed(failures) => Status::error(format!("{} checks do not hold", failures.len())),
        Outcome::CallFailed { message } | Outcome::Unknown { message } | Outcome::Error { message } => {
            Status::error(message.clone())
        }
    };
    let attributes = vec![
        KeyValue::new("meshproof.agent", agent.to_owned()),
        KeyValue::new("meshproof.step", step.to_owned()),
        KeyValue::new("meshproof.tries", i64::from(tries)),
    ];
    Told { name: format!("{agent} acts"), kind: SpanKind::Client, status, duration_ms, attributes }
}

fn status(verdict: Verdict, why: Option<&str>) -> Status {
    match verdict {
        Verdict::Pass => Status::Ok,
        Verdict::Fail | Verdict::Unknown | Verdict::Error => {
            Status::error(why.map_or_else(|| verdict.to_string(), str::to_owned))
        }
    }
}

fn data(began: &Began, (span, parent): (&Span<'_>, Option<&Span<'_>>), ended_ms: u64, told: Told) -> SpanData {
    let Told { name, kind, status, duration_ms, mut attributes } = told;
    attributes.push(KeyValue::new("meshproof.run", began.run.0.clone()));
    let id = |span: &Span<'_>| SpanId::from_bytes(span.id(&began.run).0);
    let trace = TraceId::from_bytes(trace_of(&began.run).0);
    let end_time = SystemTime::UNIX_EPOCH + Duration::from_millis(ended_ms);
    let lasted = Duration::try_from_secs_f64(duration_ms / 1e3).unwrap_or_default();
    SpanData {
        span_context: SpanContext::new(trace, id(span), TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: parent.map_or(SpanId::INVALID, id),
        // an agent is another process than the orchestrator
        parent_span_is_remote: matches!(span, Span::Action(_)),
        span_kind: kind,
        name: name.into(),
        start_time: end_time.checked_sub(lasted).unwrap_or(end_time),
        end_time,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status,
        instrumentation_scope: InstrumentationScope::builder("meshproof")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use meshproof_proto::event::StepResult;
    use meshproof_proto::id::{Digest, Term};
    use meshproof_proto::trace::Traceparent;

    use super::*;
    use crate::record::{Section, Summary};

    fn key() -> StepKey {
        StepKey { test: "t".to_owned(), step: "1".to_owned(), attempt: 1 }
    }

    fn began() -> Entry {
        let digest = Digest([0; 32]);
        let (plan, file) = ("p".to_owned(), "p.yaml".to_owned());
        let run = RunId("r-1".to_owned());
        Entry::own(1_000, Happening::RunBegan { run, plan, file, digest, seed: 1, term: Term(1) })
    }

    fn step_ended(ending: Ending, why: Option<&str>) -> Entry {
        let step = StepInfo {
            key: key(),
            section: Section::Steps,
            number: 1,
            of: 1,
            id: None,
            title: "http get /".to_owned(),
            agent: None,
            line: 7,
            optional: false,
        };
        let why = why.map(str::to_owned);
        Entry::own(1_500, Happening::StepEnded { step, ending, duration_ms: 250.5, tries: 2, why })
    }

    fn acted() -> Entry {
        let result = StepResult {
            outcome: Outcome::Ok,
            duration_ms: 200.0,
            tries: 2,
            saved: BTreeMap::new(),
            evidence: Vec::new(),
        };
        Entry { from: "shop".to_owned(), ..Entry::own(1_490, Happening::Fact(Fact::StepEnded { key: key(), result })) }
    }

    #[test]
    fn a_run_is_one_trace_whose_spans_hang_together_down_to_what_a_service_was_told() {
        let mut spans = Spans::default();
        assert!(spans.take(&began()).is_none());
        let (by, action) = spans.take(&acted()).expect("an agent's");
        assert_eq!((by, &action.span_kind), (Teller::Agent, &SpanKind::Client));
        let (_, step) = spans.take(&step_ended(Ending::Pass, None)).expect("a step's");
        let test = Happening::TestEnded { test: "t".to_owned(), verdict: Verdict::Pass, duration_ms: 400.0 };
        let (_, test) = spans.take(&Entry::own(1_600, test)).expect("a test's");
        let end = Happening::RunEnded { verdict: Verdict::Pass, exit: 0, summary: Summary::default() };
        let (_, run) = spans.take(&Entry::own(2_000, end)).expect("the run's");
        let chain = [&action, &step, &test, &run];
        for pair in chain.windows(2) {
            assert_eq!(pair[0].parent_span_id, pair[1].span_context.span_id());
            assert_eq!(pair[0].span_context.trace_id(), pair[1].span_context.trace_id());
        }
        assert_eq!(run.parent_span_id, SpanId::INVALID);
        let given = Traceparent::of(&RunId("r-1".to_owned()), &key()).to_string();
        let of_action = format!("00-{}-{}-01", action.span_context.trace_id(), action.span_context.span_id());
        assert_eq!(given, of_action);
        assert_eq!(run.end_time.duration_since(run.start_time).expect("forwards"), Duration::from_secs(1));
    }

    #[test]
    fn a_step_that_did_not_hold_is_an_error_that_says_why_and_one_that_was_skipped_is_none() {
        let mut spans = Spans::default();
        spans.take(&began());
        let (_, failed) = spans.take(&step_ended(Ending::Fail, Some("came 500"))).expect("a step's");
        assert_eq!(failed.status, Status::error("came 500"));
        let (_, skipped) = spans.take(&step_ended(Ending::Skipped, Some("no order"))).expect("a step's");
        assert_eq!(skipped.status, Status::Unset);
    }
}
