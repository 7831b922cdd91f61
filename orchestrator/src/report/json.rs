//! A run as one JSON document, for programs that want what it came to and not each event of it. Keys are stable; new ones may come.

use meshproof_proto::event::Usage;
use serde_json::{Value, json};

use super::failure::headline;
use super::story::{Agent, Failure, Fault, Story, Test, word};
use crate::record::Ending;

/// The document, with a line break at its end.
#[must_use]
pub fn json(story: &Story) -> String {
    let ending = story.ending.as_ref();
    let document = json!({
        "meshproof-report": 1,
        "run": story.run,
        "plan": story.plan,
        "file": story.file,
        "digest": story.digest,
        "seed": story.seed,
        "began_ms": story.began_ms,
        "ended": ending.is_some(),
        "goes_on": story.goes_on,
        "ended_by": story.ended_by(),
        "verdict": (!story.goes_on).then(|| story.verdict()),
        "exit": ending.map(|ending| ending.exit),
        "duration_ms": story.duration_ms(),
        "events": story.events,
        "lost_events": story.lost_events,
        "tests": story.tests.iter().map(test).collect::<Vec<_>>(),
        "steps": { "required": story.expected_steps, "ended": story.steps.by_ending },
        "failures": story.failures.iter().map(failure).collect::<Vec<_>>(),
        "failures_untold": story.failures_untold,
        "faults": story.faults.iter().map(fault).collect::<Vec<_>>(),
        "failovers": story.failovers.iter().map(|failover| json!({
            "agent": failover.agent,
            "how": failover.how,
            "detected_ms": failover.detected,
            "decided_ms": failover.decided.as_ref().map(|(at, _)| at),
            "term": failover.decided.as_ref().map(|(_, term)| term),
            "complete_ms": failover.complete.map(|(at, _)| at),
            "replayed": failover.complete.map(|(_, replayed)| replayed),
        })).collect::<Vec<_>>(),
        "services": used_by(story, |agent| agent.usage),
        "agents": used_by(story, |agent| agent.own),
        "links": story.links.iter().map(|((from, to), link)| json!({
            "from": from, "to": to, "bytes": link.bytes, "suspected": link.suspected,
        })).collect::<Vec<_>>(),
        "stubs": story.stubs.iter().map(|((stub, route), calls)| json!({
            "stub": stub, "route": route, "calls": calls.calls + calls.untold, "unexpected": calls.unexpected, "errors": calls.errors,
            "statuses": calls.statuses, "longest_ms": calls.longest_ms,
        })).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn test(test: &Test) -> Value {
    let verdict = test.verdict.map_or("not-run", |verdict| word(Ending::from(verdict)));
    json!({ "id": test.id, "verdict": verdict, "duration_ms": test.duration_ms, "not_run": test.not_run })
}

fn failure(failure: &Failure) -> Value {
    let record = &failure.record;
    json!({
        "at_ms": failure.at,
        "verdict": record.verdict,
        "test": record.test,
        "step": record.step.as_ref().map(|step| step.id.clone().unwrap_or_else(|| step.title.clone())),
        "agent": record.step.as_ref().and_then(|step| step.agent.as_ref()),
        "place": record.place.as_ref().map(|place| json!({ "file": place.file, "line": place.line, "column": place.column })),
        "headline": headline(record),
        "expected": record.expected,
        "actual": record.actual,
    })
}

fn fault(fault: &Fault) -> Value {
    let report = fault.ended.as_ref().map(|(_, report)| report);
    json!({
        "name": fault.name,
        "target": fault.target,
        "asked": fault.asked,
        "by": fault.by,
        "measured": report.map(|report| &report.measured),
        "deviation_percent": report.and_then(|report| report.deviation_percent),
        "effective": report.map(|report| report.effective),
        "healed": report.map(|report| report.healed),
        "began_ms": fault.began,
        "ended_ms": fault.ended.as_ref().map(|(at, _)| at),
    })
}

fn used_by(story: &Story, of: fn(&Agent) -> Option<Usage>) -> Value {
    let used = |agent: &Agent| {
        of(agent).map(|usage| {
            json!({ "cpu_ms": usage.cpu_ms, "memory_most_bytes": usage.memory_most_bytes, "descriptors_most": usage.descriptors_most })
        })
    };
    story
        .agents
        .iter()
        .map(|(name, agent)| (name.clone(), used(agent).unwrap_or(Value::Null)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
