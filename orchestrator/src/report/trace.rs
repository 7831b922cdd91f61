//! A run as a trace in the format of Chrome's `about:tracing`, which <https://ui.perfetto.dev> opens: a track for each agent with the
//! steps it did, tracks for tests and faults, marks for what went wrong, memory as counters.
//!
//! The format: <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>. Times are microseconds.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::sanitise::line as clean;
use super::story::{Story, word};
use crate::record::ORCHESTRATOR;

/// The process that all tracks belong to.
const RUN: u32 = 1;

/// Tracks that are no agent's.
const TESTS: u32 = 1;
const FAULTS: u32 = 2;
const FIRST_AGENT: u32 = 3;

/// The document, an event a line.
#[must_use]
pub fn trace(story: &Story) -> String {
    let mut events = vec![named("process_name", 0, &format!("{} {}", story.plan, story.run))];
    events.extend([named("thread_name", TESTS, "tests"), named("thread_name", FAULTS, "faults")]);
    let agents = std::iter::once(ORCHESTRATOR)
        .chain(story.agents.keys().map(String::as_str).filter(|name| *name != ORCHESTRATOR));
    let tracks: BTreeMap<&str, u32> = agents.zip(FIRST_AGENT..).collect();
    for (name, track) in &tracks {
        events.push(named("thread_name", *track, name));
        events.push(json!({ "ph": "M", "name": "thread_sort_index", "pid": RUN, "tid": track, "args": { "sort_index": track } }));
    }
    tests(story, &mut events);
    steps(story, &tracks, &mut events);
    faults(story, &mut events);
    marks(story, &tracks, &mut events);
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    format!("{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{}\n]}}\n", lines.join(",\n"))
}

fn named(what: &str, track: u32, name: &str) -> Value {
    json!({ "ph": "M", "name": what, "pid": RUN, "tid": track, "args": { "name": clean(name) } })
}

fn microseconds(milliseconds: f64) -> f64 {
    (milliseconds * 1_000.0).round().max(0.0)
}

fn tests(story: &Story, events: &mut Vec<Value>) {
    for test in &story.tests {
        let Some(began) = test.began else { continue };
        let lasted = test.ended.unwrap_or(story.last) - began;
        let verdict = test.verdict.map(|verdict| verdict.to_string());
        events.push(json!({
            "ph": "X", "name": clean(&test.id), "cat": "test", "pid": RUN, "tid": TESTS, "ts": microseconds(began),
            "dur": microseconds(lasted), "args": { "verdict": verdict },
        }));
    }
}

/// Steps of one agent may overlap, which a track cannot show: they are pairs of begin and end with an id of their own.
fn steps(story: &Story, tracks: &BTreeMap<&str, u32>, events: &mut Vec<Value>) {
    for (number, step) in story.steps.all.iter().enumerate() {
        let kind = story.steps.kind(step);
        let track = tracks.get(kind.who()).copied().unwrap_or(FIRST_AGENT);
        let name = clean(&kind.title);
        let args = json!({ "test": clean(&kind.test), "id": kind.id.as_deref().map(clean), "ending": word(step.ending), "tries": step.tries, "why": step.why.as_deref().map(clean) });
        let began = microseconds(step.began());
        if is_alone(story, number) {
            events.push(json!({
                "ph": "X", "name": name, "cat": "step", "pid": RUN, "tid": track, "ts": began,
                "dur": microseconds(f64::from(step.duration_ms)), "args": args,
            }));
            continue;
        }
        events.push(json!({ "ph": "b", "name": name, "cat": "step", "id": number, "pid": RUN, "tid": track, "ts": began, "args": args }));
        events.push(json!({ "ph": "e", "name": name, "cat": "step", "id": number, "pid": RUN, "tid": track, "ts": microseconds(step.ended) }));
    }
}

/// Whether nothing of the same agent that ended before goes on when it begins. Steps stand in the order of their ends.
fn is_alone(story: &Story, number: usize) -> bool {
    let step = &story.steps.all[number];
    let who = story.steps.kind(step).who();
    let same = |other: &&super::story::Step| story.steps.kind(other).who() == who;
    let before = story.steps.all[..number].iter().rev().take(64).find(same);
    let after = story.steps.all[number + 1..].iter().take(64).find(same);
    // clocks are cut to milliseconds
    before.is_none_or(|before| before.ended <= step.began() + 1.0)
        && after.is_none_or(|after| after.began() + 1.0 >= step.ended)
}

fn faults(story: &Story, events: &mut Vec<Value>) {
    for (number, fault) in story.faults.iter().enumerate() {
        let (ended, report) = fault.ended.as_ref().map_or((story.last, None), |(at, report)| (*at, Some(report)));
        let args = json!({
            "on": clean(&fault.target), "asked": clean(&fault.asked), "measured": report.map(|report| clean(&report.measured)),
            "healed": report.map(|report| report.healed),
        });
        let name = clean(&fault.name);
        let id = format!("fault{number}");
        events.push(json!({ "ph": "b", "name": name, "cat": "fault", "id": id, "pid": RUN, "tid": FAULTS, "ts": microseconds(fault.began), "args": args }));
        events.push(json!({ "ph": "e", "name": name, "cat": "fault", "id": id, "pid": RUN, "tid": FAULTS, "ts": microseconds(ended) }));
    }
}

fn marks(story: &Story, tracks: &BTreeMap<&str, u32>, events: &mut Vec<Value>) {
    let track = |name: &str| tracks.get(name).copied().unwrap_or(FIRST_AGENT);
    let mut mark = |name: String, tid: u32, at: f64| {
        events.push(json!({ "ph": "i", "s": "t", "name": name, "cat": "trouble", "pid": RUN, "tid": tid, "ts": microseconds(at) }));
    };
    for failure in &story.failures {
        let agent = failure
            .record
            .step
            .as_ref()
            .and_then(|step| step.agent.as_ref())
            .map_or(ORCHESTRATOR, |agent| agent.as_str());
        mark(format!("failure: {}", super::failure::headline(&failure.record)), track(agent), failure.at);
    }
    for (name, agent) in &story.agents {
        agent.blows.iter().for_each(|(at, what)| mark(clean(what), track(name), *at));
    }
    for failover in &story.failovers {
        mark(format!("gone: {}", clean(&failover.how)), track(&failover.agent), failover.detected);
        if let Some((at, _)) = failover.complete {
            mark("another instance goes on".to_owned(), track(&failover.agent), at);
        }
    }
    for (name, agent) in &story.agents {
        let memory = |(at, bytes): &(f64, u64)| json!({ "ph": "C", "name": format!("memory of {}", clean(name)), "pid": RUN, "ts": microseconds(*at), "args": { "bytes": bytes } });
        events.extend(agent.memory.iter().map(memory));
    }
}
