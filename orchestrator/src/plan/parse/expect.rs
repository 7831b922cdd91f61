//! `expect`: beside a verb it checks what came back, alone it checks the world.

use meshproof_proto::expr::{Template, ValueTemplate};

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::model::{Check, Conduct, SyncVerb, Verb, World};
use super::super::read::{self, Fields, Reading};
use super::super::source::Spanned;
use super::super::tree::{Key, Kind, Node};
use super::matchers::{self, Subject};
use super::{metrics, verbs};

/// A field that can be checked, and how.
enum How {
    Match(Subject),
    /// A map of names to matchers: `headers`, with any names.
    Headers,
    /// A map of these names to matchers.
    Shares(&'static [&'static str]),
    /// The fields of what a stream applies.
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
        Verb::Expect(_) | Verb::Fault(_) | Verb::Heal(_) | Verb::Collect(_) | Verb::Say(_) | Verb::Stub(_) => None,
        Verb::Conduct(Conduct::Sync(SyncVerb::Subscribe { .. })) => {
            Some(Outcome { what: "what subscribe gives", fields: SUBSCRIBE })
        }
        Verb::Conduct(_) => None,
    }
}

/// Reads the `expect` beside a verb.
pub(super) fn beside(verb: &Verb, key: &Key, node: &Node, cx: &Reading<'_>) -> Vec<Check> {
    let Some(outcome) = outcome(verb) else {
        let problem = Diagnostic::new(Code::Modifier, key.span, "there is nothing to expect of this verb");
        cx.report(problem.help("write a step of its own with `expect` alone"));
        return Vec::new();
    };
    let entries = read::map(node, "fields of the result, each with what it must be", cx).unwrap_or_default();
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
fn paths(node: &Node) -> Vec<(String, super::super::source::Span)> {
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

/// Checks of every answer in a stream: fields of what `apply` does.
fn answers(verb: &Verb, node: &Node, cx: &Reading<'_>) -> Vec<Check> {
    let Verb::Stream(stream) = verb else { return Vec::new() };
    let Some(outcome) = outcome(&stream.apply.value) else { return Vec::new() };
    let entries = read::map(node, "fields of each answer, each with what it must be", cx).unwrap_or_default();
    let mut checks = Vec::new();
    for entry in entries {
        checks.extend(field(&stream.apply.value, &outcome, entry, cx));
    }
    for check in &mut checks {
        check.field = format!("each.{}", check.field);
    }
    checks
}

const SUBJECTS: &[&str] = &["log", "stub", "value", "process", "metric", "fault"];
const SUBJECTS_LATER: &[&str] = &["link"];

/// What can be expected of some of them.
const CHECKS: &[&str] =
    &["contains", "matches", "count", "calls", "health", "order", "is", "code", "min", "max", "p50", "p95", "p99"];

/// Reads an `expect` that stands alone.
pub(super) fn alone<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<(World, Vec<Check>)> {
    let mut fields = Fields::open(node, "expect", cx)?;
    let all = || SUBJECTS.iter().chain(SUBJECTS_LATER).copied();
    if all().filter(|subject| fields.has(subject)).count() != 1 {
        let message = "an `expect` that stands alone looks at exactly one thing";
        cx.report(Diagnostic::new(Code::Check, fields.span(), message).expected(one_of(all())));
        return None;
    }
    fields.later(SUBJECTS_LATER);
    let mut checks = Vec::new();
    // A check that is wrong is told as such, and is one all the same.
    let asks = CHECKS.iter().any(|check| fields.has(check));
    let world = if let Some(node) = fields.take("log") {
        let contains =
            |node, cx: &_| matchers::scalar(node, Subject::Text, cx).map(meshproof_proto::matcher::Matcher::Contains);
        checks.extend(keyed(&mut fields, "contains", contains));
        checks.extend(keyed(&mut fields, "matches", matchers::matches));
        checks.extend(keyed(&mut fields, "count", |node, cx| matchers::matcher(node, Subject::Number, cx)));
        read::some_text(node, cx).map(World::Log)
    } else if let Some(node) = fields.take("stub") {
        checks.extend(keyed(&mut fields, "calls", |node, cx| matchers::matcher(node, Subject::Number, cx)));
        checks.extend(keyed(&mut fields, "health", health));
        let stub = read::text(node, cx);
        let order = order(&mut fields, stub.as_ref(), &mut checks);
        stub.map(|stub| World::Stub(stub, order))
    } else if let Some(node) = fields.take("value") {
        checks.extend(keyed(&mut fields, "is", |node, cx| matchers::matcher(node, Subject::Json, cx)));
        read::value_template(node, cx).map(World::Value)
    } else if let Some(node) = fields.take("process") {
        checks.extend(keyed(&mut fields, "is", state));
        checks.extend(keyed(&mut fields, "code", |node, cx| matchers::matcher(node, Subject::Number, cx)));
        read::name(node, cx).map(World::Process)
    } else if let Some(node) = fields.take("fault") {
        checks.extend(keyed(&mut fields, "is", course));
        read::name(node, cx).map(World::Fault)
    } else if let Some(node) = fields.take("metric") {
        for stat in metrics::STATS {
            checks.extend(keyed(&mut fields, stat, |node, cx| matchers::matcher(node, Subject::Metric, cx)));
        }
        let labels = fields.optional("labels", metrics::labels).unwrap_or_default();
        read::some_text(node, cx).map(|metric| World::Metric(metric, labels))
    } else {
        return None;
    };
    let nothing = !asks && checks.is_empty() && fields.rest_is_empty();
    let span = fields.span();
    fields.finish();
    if nothing {
        let message = "this looks at something and expects nothing of it";
        cx.report(
            Diagnostic::new(Code::Empty, span, message)
                .expected("a check beside it: `contains`, `count`, `calls`, `is`"),
        );
    }
    Some((world?, checks))
}

/// How a service's processes are.
fn state(node: &Node, cx: &Reading<'_>) -> Option<meshproof_proto::matcher::Matcher> {
    if !matches!(node.kind, Kind::Map(_)) {
        read::choice(node, &[("running", ()), ("frozen", ()), ("ended", ())], cx)?;
    }
    matchers::matcher(node, Subject::Text, cx)
}

/// How far a fault is.
fn course(node: &Node, cx: &Reading<'_>) -> Option<meshproof_proto::matcher::Matcher> {
    if !matches!(node.kind, Kind::Map(_)) {
        read::choice(node, &[("active", ()), ("ended", ())], cx)?;
    }
    matchers::matcher(node, Subject::Text, cx)
}

/// Whether a stub answers.
fn health(node: &Node, cx: &Reading<'_>) -> Option<meshproof_proto::matcher::Matcher> {
    read::choice(node, &[("ok", ()), ("silent", ())], cx)?;
    matchers::matcher(node, Subject::Text, cx)
}

/// `order: [authorise, capture]`: the routes of a stub that were called one after the other.
fn order(fields: &mut Fields<'_>, stub: Option<&Spanned<String>>, checks: &mut Vec<Check>) -> Vec<Spanned<String>> {
    let cx = fields.reading();
    let Some((key, node)) = fields.entry("order") else { return Vec::new() };
    if let Some(stub) = stub.filter(|stub| stub.value.contains('.')) {
        let problem = Diagnostic::new(Code::Check, stub.span, "one route has no order");
        cx.report(problem.expected("the stub alone, and its routes in `order`"));
    }
    let routes = read::each(node, cx, read::name).unwrap_or_default();
    if routes.is_empty() {
        cx.report(Diagnostic::new(Code::Empty, node.span, "there is no order here").expected("ids of routes"));
    }
    let list = routes.iter().map(|route| ValueTemplate::Text(Template::text(&route.value))).collect();
    let matcher = meshproof_proto::matcher::Matcher::Equals(ValueTemplate::List(list));
    checks.push(Check { span: key.span.to(node.span), field: key.name.clone(), matcher, paths: Vec::new() });
    routes
}

fn keyed<'n>(
    fields: &mut Fields<'n>,
    name: &'static str,
    reader: impl FnOnce(&'n Node, &'n Reading<'n>) -> Option<meshproof_proto::matcher::Matcher>,
) -> Option<Check> {
    let cx = fields.reading();
    let (key, node) = fields.entry(name)?;
    let matcher = reader(node, cx)?;
    Some(Check { span: key.span.to(node.span), field: name.to_owned(), matcher, paths: paths(node) })
}
