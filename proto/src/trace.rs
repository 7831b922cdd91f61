//! Where each part of a run stands in a distributed trace, as W3C Trace Context has it (<https://www.w3.org/TR/trace-context/>).
//!
//! A run is one trace. Its ids follow from the run's own: whoever knows the run and the step knows them, so an agent gives a service the
//! parent of its spans without having asked anybody, and whoever tells of the run later, from its journal, tells of the same spans.

use std::fmt;

use crate::id::{Digest, RunId};
use crate::order::StepKey;

/// Of all spans of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

/// Of one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(pub [u8; 8]);

/// A span of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span<'s> {
    Run,
    Test(&'s str),
    /// As the run sees it: from its order to its result.
    Step(&'s StepKey),
    /// As the agent sees it that does it; what a service does for it hangs below.
    Action(&'s StepKey),
}

/// The header that tells whose span a request is of.
pub const HEADER: &str = "traceparent";

/// The trace of a run.
#[must_use]
pub fn trace_of(run: &RunId) -> TraceId {
    TraceId(first_bytes(&format!("trace\0{}", run.0)))
}

impl Span<'_> {
    /// Its id in the trace of this run.
    #[must_use]
    pub fn id(&self, run: &RunId) -> SpanId {
        let named = match self {
            Self::Run => "run".to_owned(),
            Self::Test(test) => format!("test\0{test}"),
            Self::Step(key) => format!("step\0{}\0{}\0{}", key.test, key.step, key.attempt),
            Self::Action(key) => format!("action\0{}\0{}\0{}", key.test, key.step, key.attempt),
        };
        SpanId(first_bytes(&format!("span\0{}\0{named}", run.0)))
    }
}

/// Ids of nothing but zeros are none.
fn first_bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&Digest::of(text.as_bytes()).0[..N]);
    if bytes == [0; N] {
        bytes[N - 1] = 1;
    }
    bytes
}

/// What is passed on to whoever is called, as its header `traceparent` or its variable `TRACEPARENT`: always sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    trace: TraceId,
    parent: SpanId,
}

impl Traceparent {
    /// Of what is called for this step.
    #[must_use]
    pub fn of(run: &RunId, step: &StepKey) -> Self {
        Self { trace: trace_of(run), parent: Span::Action(step).id(run) }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.trace, data_encoding::HEXLOWER.encode(&self.parent.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn key(step: &str, attempt: u32) -> StepKey {
        StepKey { test: "t".to_owned(), step: step.to_owned(), attempt }
    }

    #[test]
    fn a_parent_is_of_the_form_of_the_standard_and_the_same_for_everybody_who_knows_the_step() {
        let run = RunId("r-1".to_owned());
        let text = Traceparent::of(&run, &key("1", 1)).to_string();
        assert_eq!(text, Traceparent::of(&run, &key("1", 1)).to_string());
        let parts: Vec<&str> = text.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
        assert!(parts.concat().bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{text}");
        assert_eq!((parts[0], parts[3]), ("00", "01"));
    }

    #[test]
    fn every_run_has_a_trace_and_every_part_of_it_a_span_of_its_own() {
        let runs = [RunId("r-1".to_owned()), RunId("r-2".to_owned())];
        assert_ne!(trace_of(&runs[0]), trace_of(&runs[1]));
        let keys = [key("1", 1), key("1", 2), key("2", 1)];
        let spans = keys.iter().flat_map(|key| [Span::Step(key), Span::Action(key)]);
        let spans: Vec<Span<'_>> = spans.chain([Span::Run, Span::Test("t"), Span::Test("u")]).collect();
        let ids: BTreeSet<SpanId> = runs.iter().flat_map(|run| spans.iter().map(|span| span.id(run))).collect();
        assert_eq!(ids.len(), 2 * spans.len());
    }
}
