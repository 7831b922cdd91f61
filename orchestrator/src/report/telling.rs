//! What is said of a record where there is room for everything that agents report, as on a page.

use meshproof_proto::event::{Fact, Outcome, StubCall};

use super::failure;
use super::lines;
pub use super::lines::Said;
use super::sanitise::line as clean;
use super::style::Tone;
use super::table::bytes;
use crate::record::{Entry, Happening};

/// What is said of it; none for what has no words.
#[must_use]
pub fn said(entry: &Entry) -> Option<Said> {
    lines::said(entry).or_else(|| match &entry.what {
        Happening::Fact(fact) => fact_said(fact),
        Happening::Failure(failed) => Some(Said::new(Tone::Bad, "failure", failure::headline(failed))),
        Happening::TestBegan { test } => Some(Said::new(Tone::Strong, "test", format!("{} begins", clean(test)))),
        Happening::Initialized { agent } => Some(Said::new(Tone::Faint, "plan", format!("{agent} has it"))),
        Happening::ServiceStarted { service } => Some(Said::new(Tone::Faint, "started", service.to_string())),
        Happening::Collected { files } => Some(Said::new(Tone::Faint, "collect", clean(&files.join(", ")))),
        Happening::RunEnded { verdict, summary, .. } => {
            Some(Said::new(Tone::from(*verdict), "end", super::summary::line(*verdict, summary)))
        }
        _ => None,
    })
}

fn fact_said(fact: &Fact) -> Option<Said> {
    let faint = |word: &'static str, text: String| Some(Said::new(Tone::Faint, word, text));
    match fact {
        Fact::LinkOffered { to } => faint("link", format!("offered to {to}")),
        Fact::StubCalled(call) if call.unexpected => Some(Said::new(Tone::Bad, "called", called(call))),
        Fact::StubCalled(call) => faint("called", called(call)),
        Fact::StubErred { call, error } => {
            let text = format!("{}: could not answer ({error:?})", called(call));
            Some(Said::new(Tone::Bad, "called", text))
        }
        // what passed has a line of the orchestrator's, with its title
        Fact::StepEnded { key, result } if result.outcome != Outcome::Ok => {
            let (tone, how) = outcome(&result.outcome);
            let text = format!("{} after {:.1} ms: {how}", clean(&key.to_string()), result.duration_ms);
            Some(Said::new(tone, "did", text))
        }
        Fact::FaultBegan { fault } => faint("fault", format!("{} is active here", clean(fault))),
        Fact::FaultEnded(report) => faint("fault", format!("{} has ended here", clean(&report.fault))),
        _ => None,
    }
}

fn called(call: &StubCall) -> String {
    let request = call.request.lines().next().unwrap_or_default();
    let route = call.route.as_deref().unwrap_or("no route");
    let (stub, request, route) = (clean(&call.stub), clean(request), clean(route));
    format!("{stub} ({route}) answered {request} with {} in {:.1} ms", call.status, call.took_ms)
}

/// How it ended, in words.
pub(super) fn outcome(outcome: &Outcome) -> (Tone, String) {
    match outcome {
        Outcome::Ok => (Tone::Faint, "ok".to_owned()),
        Outcome::Failed(failures) => (Tone::Bad, super::summary::counted(failures.len(), "check") + " did not hold"),
        Outcome::CallFailed { message } => (Tone::Bad, clean(message)),
        Outcome::Unknown { message } => (Tone::Warning, format!("unknown: {}", clean(message))),
        Outcome::Error { message } => (Tone::Bad, clean(message)),
    }
}

/// How many that stand by have what is on an agent's disk.
pub(super) fn mirrored(by: &str, count: usize) -> String {
    let who = match count {
        0 => "nobody that stands by has what is on its disk".to_owned(),
        1 => "what is on its disk is on that of one that stands by".to_owned(),
        some => format!("what is on its disk is on those of {some} that stand by"),
    };
    format!("agent {}: {who}", clean(by))
}

/// Whence an agent has a file of the run.
pub(super) fn file_held(by: &str, fact: &Fact) -> Option<String> {
    let Fact::FileHeld { name, bytes: all, from_orchestrator, from, damaged, .. } = fact else { return None };
    let agents = from.iter().map(|(agent, got)| format!("{} from {}", bytes(*got), clean(agent.as_str())));
    let orchestrator = (*from_orchestrator > 0).then(|| format!("{} from here", bytes(*from_orchestrator)));
    let refused = (*damaged > 0).then(|| format!("{damaged} damaged chunks refused"));
    let whence: Vec<String> = orchestrator.into_iter().chain(agents).chain(refused).collect();
    let whence = if whence.is_empty() { "it was there".to_owned() } else { whence.join(", ") };
    Some(format!("{} has {} ({}): {whence}", clean(by), clean(name), bytes(*all)))
}
