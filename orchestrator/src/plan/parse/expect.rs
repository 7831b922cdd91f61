//! `expect` beside a verb: it checks what came back.

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::model::{Check, Conduct, OF_EACH, SyncVerb, Verb};
use super::super::read::{self, Reading};
use super::super::tree::{Key, Kind, Node};
use super::matchers::{self, Subject};
use super::verbs;

/// A field that can be checked, and how.
enum How {
    Match(Subject),
    /// A map of names to matchers: `headers`, with any names.
    Headers,
    /// A map of these names to matchers.
    Shares(&'static [&'static str]),
    /// The fields of what a stream applies, or a load calls.
    Answers,
}

const HTTP: &[(&str, How)] = &[
    ("status", How::Match(Subject::Number)),
    ("headers", How::Headers),
    ("json", How::Match(Subject::Json)),
    ("body", How::Match(Subject::Text)),
    ("size", How::Match(Subject::Bytes)),
    ("duration", How::Match(Subject::Duration)),
    ("error", How::Match(Subject::Failure)),
];

const TCP: &[(&str, How)] = &[
    ("line", How::Match(Subject::Text)),
    ("body", How::Match(Subject::Text)),
    ("duration", How::Match(Subject::Duration)),
    ("error", How::Match(Subject::Failure)),
];

const EXEC: &[(&str, How)] = &[
    ("code", How::Match(Subject::Number)),
    ("stdout", How::Match(Subject::Text)),
    ("stderr", How::Match(Subject::Text)),
    ("json", How::Match(Subject::Json)),
    ("duration", How::Match(Subject::Duration)),
    ("error", How::Match(Subject::Text)),
];

const GRPC: &[(&str, How)] = &[
    ("code", How::Match(Subject::Text)),
    ("message", How::Match(Subject::Text)),
    ("json", How::Match(Subject::Json)),
    ("duration", How::Match(Subject::Duration)),
    ("error", How::Match(Subject::Failure)),
];

const STREAM: &[(&str, How)] = &[
    ("records", How::Match(Subject::Number)),
    ("each", How::Answers),
    ("latency", How::Shares(&["p50", "p95", "p99", "max"])),
    ("duration", How::Match(Subject::Duration)),
    ("error", How::Match(Subject::Failure)),
];

const LOAD: &[(&str, How)] = &[
    ("calls", How::Match(Subject::Number)),
    ("failed", How::Match(Subject::Share)),
    ("unsent", How::Match(Subject::Number)),
    ("rate", How::Match(Subject::Rate)),
    ("p50", How::Match(Subject::Duration)),
    ("p95", How::Match(Subject::Duration)),
    ("p99", How::Match(Subject::Duration)),
    ("max", How::Match(Subject::Duration)),
    ("duration", How::Match(Subject::Duration)),
    ("each", How::Answers),
];

const SUBSCRIBE: &[(&str, How)] = &[("json", How::Match(Subject::Json))];

/// What comes back from a verb.
struct Outcome {
    what: &'static str,
    fields: &'static [(&'static str, How)],
}

/// The outcome of a verb; `None` when there is nothing to check.
fn outcome(verb: &Verb) -> Option<Outcome> {
    match verb {
        Verb::Http(_) => Some(Outcome { what: "the answer to http", fields: HTTP }),
        Verb::Tcp(_) => Some(Outcome { what: "the answer to tcp", fields: TCP }),
        Verb::Exec(_) => Some(Outcome { what: "the result of exec", fields: EXEC }),
        Verb::Grpc(_) => Some(Outcome { what: "the answer to grpc", fields: GRPC }),
        Verb::Ws(_) => Some(Outcome { what: "the answer to ws", fields: TCP }),
        Verb::Stream(_) => Some(Outcome { what: "the result of stream", fields: STREAM }),
        Verb::Load(_) => Some(Outcome { what: "the result of load", fields: LOAD }),
        Verb::Expect(_) | Verb::Fault(_) | Verb::Heal(_) | Verb::Collect(_) | Verb::Say(_) | Verb::Stub(_) => None,
        Verb::Conduct(Conduct::Sync(SyncVerb::Subscribe { .. })) => {
            Some(Outcome { what: "what subscribe gives", fields: SUBSCRIBE })
        }
        Verb::Conduct(_) => None,
    }
}

/// Whether something comes back from a verb.
pub(super) fn is_answered(verb: &Verb) -> bool {
    outcome(verb).is_some()
}

/// Reads the `expect` beside a verb.
pub(super) fn beside(verb: &Verb, key: &Key, node: &Node, cx: &Reading<'_>) -> Vec<Check> {
    let Some(outcome) = outcome(verb) else {
        let problem = Diagnostic::new(Code::Modifier, key.span, "there is nothing to expect of this verb");
        cx.report(problem.help("write a step of its own with `expect` alone"));
        return Vec::new();
    };
    let entries = read::map(node, "fields of the result, each with what it must be, such as `{ status: 200 }`", cx)
        .unwrap_or_default();
    if entries.is_empty() && matches!(node.kind, Kind::Map(_)) {
        cx.report(Diagnostic::new(Code::Empty, node.span, "this expects nothing").expected("a check"));
    }
    let mut checks = Vec::new();
    for entry in entries {
        checks.extend(field(verb, &outcome, entry, cx));
    }
    checks
}

fn field(verb: &Verb, outcome: &Outcome, entry: &(Key, Node), cx: &Reading<'_>) -> Vec<Check> {
    let (key, node) = entry;
    let Some((name, how)) = outcome.fields.iter().find(|(name, _)| *name == key.name) else {
        let names = outcome.fields.iter().map(|(name, _)| *name);
        let message = format!("{} has no {}", outcome.what, quote(&key.name));
        let problem = Diagnostic::new(Code::Check, key.span, message).expected(one_of(names.clone()));
        cx.report(problem.did_you_mean(&key.name, names));
        return Vec::new();
    };
    match how {
        How::Match(subject) => check((*name).to_owned(), entry, *subject, cx).into_iter().collect(),
        How::Headers => headers(node, cx),
        How::Shares(names) => shares(name, names, node, cx),
        How::Answers => answers(verb, node, cx),
    }
}

fn check(field: String, (key, node): &(Key, Node), subject: Subject, cx: &Reading<'_>) -> Option<Check> {
    let matcher = matchers::matcher(node, subject, cx)?;
    Some(Check { span: key.span.to(node.span), field, matcher, paths: paths(node) })
}

/// Where the JSONPaths of a matcher stand.
pub(super) fn paths(node: &Node) -> Vec<(String, super::super::source::Span)> {
    match &node.kind {
        Kind::Map(entries) => {
            let paths = entries.iter().filter(|(key, _)| key.name.starts_with('$'));
            paths.map(|(key, value)| (key.name.clone(), key.span.to(value.span))).collect()
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => Vec::new(),
    }
}

/// One check for each header: `headers.content-type`.
fn headers(node: &Node, cx: &Reading<'_>) -> Vec<Check> {
    let entries = read::map(node, "names of headers, each with what it must be", cx).unwrap_or_default();
    let one = |entry: &(Key, Node)| {
        verbs::header_name(&entry.0, cx)?;
        check(format!("headers.{}", entry.0.name.to_ascii_lowercase()), entry, Subject::Text, cx)
    };
    entries.iter().filter_map(one).collect()
}

/// One check for each percentile: `latency.p99`.
fn shares(field: &str, known: &[&str], node: &Node, cx: &Reading<'_>) -> Vec<Check> {
    let entries = read::map(node, "percentiles, each with what it must be", cx).unwrap_or_default();
    let mut checks = Vec::new();
    for entry in entries {
        let name = entry.0.name.as_str();
        if known.contains(&name) {
            checks.extend(check(format!("{field}.{name}"), entry, Subject::Duration, cx));
            continue;
        }
        let problem = Diagnostic::new(Code::Check, entry.0.span, format!("{field} has no {}", quote(name)));
        cx.report(problem.expected(one_of(known.iter().copied())).did_you_mean(name, known.iter().copied()));
    }
    checks
}

/// Checks of every answer: fields of what a stream applies, or of the call that a load makes.
fn answers(verb: &Verb, node: &Node, cx: &Reading<'_>) -> Vec<Check> {
    let inner = match verb {
        Verb::Stream(stream) => &stream.apply.value,
        Verb::Load(load) => &load.call.value,
        _ => return Vec::new(),
    };
    let Some(outcome) = outcome(inner) else { return Vec::new() };
    let entries = read::map(node, "fields of each answer, each with what it must be", cx).unwrap_or_default();
    let mut checks = Vec::new();
    for entry in entries {
        checks.extend(field(inner, &outcome, entry, cx));
    }
    for check in &mut checks {
        check.field = format!("{OF_EACH}{}", check.field);
    }
    checks
}
