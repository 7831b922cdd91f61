//! `stubs`: pretend upstreams.

use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{RequestPart, Unmatched};

use super::super::code::Code;
use super::super::diagnostic::Diagnostic;
use super::super::model::{Content, Reply, Route, Stub, Word};
use super::super::read::{self, Fields, Reading};
use super::super::source::Spanned;
use super::super::tree::{Kind, Node};
use super::matchers::{self, Subject};
use super::services::port_number;
use super::{named, verbs};

/// Methods of HTTP as stubs and steps name them.
const METHODS: &[(&str, &str)] = &[
    ("GET", "GET"),
    ("HEAD", "HEAD"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
    ("OPTIONS", "OPTIONS"),
];

pub(super) fn stubs<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Stub>> {
    Some(named(node, "stubs", cx).into_iter().filter_map(|(name, node)| stub(name, node, cx)).collect())
}

fn stub<'n>(name: Word, node: &'n Node, cx: &'n Reading<'n>) -> Option<Stub> {
    let Some(mut fields) = Fields::open(node, "a stub", cx) else {
        let (at, unmatched) = (Spanned::new(String::new(), name.span), Spanned::new(Unmatched::Fail, name.span));
        return Some(Stub { name, at, port: None, unmatched, routes: Vec::new() });
    };
    let at = fields.required("at", read::name);
    fields.optional("protocol", protocol);
    let port = fields.optional("port", |node, cx| match node.as_text() {
        Some("dynamic") => None,
        Some(_) | None => port_number(node, cx),
    });
    let words = [("fail", Unmatched::Fail), ("allow", Unmatched::Allow)];
    let unmatched = fields.optional("unmatched", |node, cx| read::choice(node, &words, cx));
    let routes = fields.required("routes", routes).unwrap_or_default();
    fields.later(&["keep", "journal", "tls", "upstreams"]);
    let unmatched = unmatched.unwrap_or_else(|| Spanned::new(Unmatched::Fail, name.span));
    fields.finish();
    // Without a good `at` the stub is still known by name; the empty service is reported once, here.
    let at = at.unwrap_or_else(|| Spanned::new(String::new(), name.span));
    Some(Stub { name, at, port, unmatched, routes })
}

fn protocol(node: &Node, cx: &Reading<'_>) -> Option<()> {
    let found = read::choice(node, &[("http", true), ("grpc", false), ("tcp", false)], cx)?;
    if !found.value {
        cx.report(read::not_yet(node.span, "a stub of this protocol"));
    }
    Some(())
}

fn routes<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Route>> {
    let items = read::list(node, cx)?;
    let routes: Vec<Route> = items.iter().enumerate().filter_map(|(at, item)| route(at, item, cx)).collect();
    for (at, route) in routes.iter().enumerate() {
        if let Some(first) = routes[..at].iter().find(|other| other.id.value == route.id.value) {
            let message = format!("two routes have the id `{}`", route.id.value);
            cx.report(Diagnostic::new(Code::DuplicateName, route.id.span, message).label(first.id.span, "first here"));
        }
    }
    Some(routes)
}

fn route<'n>(at: usize, node: &'n Node, cx: &'n Reading<'n>) -> Option<Route> {
    let mut fields = Fields::open(node, "a route", cx)?;
    let id = fields.optional("id", read::name);
    let when = fields.optional("when", when).unwrap_or_default();
    let replies = fields.required("reply", replies).unwrap_or_default();
    let id = id.unwrap_or_else(|| Spanned::new(format!("route-{}", at + 1), fields.span()));
    fields.finish();
    Some(Route { span: node.span, id, method: when.method, path: when.path, when: when.parts, replies })
}

#[derive(Default)]
struct When {
    method: Option<String>,
    path: Option<Word>,
    parts: Vec<(RequestPart, Matcher)>,
}

fn when<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<When> {
    let mut fields = Fields::open(node, "when", cx)?;
    let method = fields.optional("method", |node, cx| read::choice(node, METHODS, cx));
    let path = fields.optional("path", glob);
    let mut parts = Vec::new();
    let each = |node: &'n Node, part: fn(String) -> RequestPart| {
        let entries = read::map(node, "names, each with what it must be", cx).unwrap_or_default();
        let read = move |(key, node): &'n (super::super::tree::Key, Node)| {
            Some((part(key.name.clone()), matchers::matcher(node, Subject::Text, cx)?))
        };
        entries.iter().filter_map(read).collect::<Vec<_>>()
    };
    parts.extend(fields.take("query").map(|node| each(node, RequestPart::Query)).unwrap_or_default());
    let header = |name: String| RequestPart::Header(name.to_ascii_lowercase());
    parts.extend(fields.take("headers").map(|node| each(node, header)).unwrap_or_default());
    let json = fields.optional("json", |node, cx| matchers::matcher(node, Subject::Json, cx));
    parts.extend(json.map(|matcher| (RequestPart::Json, matcher)));
    let body = fields.optional("body", |node, cx| matchers::matcher(node, Subject::Text, cx));
    parts.extend(body.map(|matcher| (RequestPart::Body, matcher)));
    fields.later(&["tls-name"]);
    fields.finish();
    Some(When { method: method.map(|method| method.value.to_owned()), path, parts })
}

/// A path with `*`. It begins with a slash; `/re/` is a path here and no regular expression.
fn glob(node: &Node, cx: &Reading<'_>) -> Option<Word> {
    let found = read::some_text(node, cx)?;
    if found.value.starts_with(['/', '*']) {
        return Some(found);
    }
    let problem = Diagnostic::new(Code::Path, node.span, "a path begins with `/`");
    cx.report(problem.expected("a path, in which `*` stands for anything"));
    None
}

/// One reply, or several in turn.
fn replies<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Reply>> {
    match &node.kind {
        Kind::List(items) if items.is_empty() => {
            cx.report(Diagnostic::new(Code::Empty, node.span, "there is no reply here").expected("a reply"));
            None
        }
        Kind::List(items) => Some(items.iter().filter_map(|item| reply(item, cx)).collect()),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Map(_) => Some(vec![reply(node, cx)?]),
    }
}

fn reply<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Reply> {
    let mut fields = Fields::open(node, "a reply", cx)?;
    let status = fields.optional("status", |node, cx| read::integer(node, 100..=599, cx));
    let headers = fields.optional("headers", verbs::headers).unwrap_or_default();
    let body: Content = verbs::content(&mut fields);
    let delay = fields.optional("delay", read::duration);
    let times = fields.optional("times", |node, cx| read::integer(node, 1..=1_000_000, cx));
    fields.later(&["reset"]);
    let span = fields.whole();
    fields.finish();
    let status = status.and_then(|status| u16::try_from(status.value).ok()).unwrap_or(200);
    Some(Reply { span, status, headers, body, delay, times: times.map_or(1, |times| times.value) })
}
