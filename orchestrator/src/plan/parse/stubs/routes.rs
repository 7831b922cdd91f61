//! Routes of a stub: what each takes.

use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{Protocol, RequestPart, Takes};

use super::super::super::code::Code;
use super::super::super::diagnostic::{Diagnostic, quote};
use super::super::super::model::{Route, Word};
use super::super::super::read::{self, Fields, Reading};
use super::super::super::source::Spanned;
use super::super::super::tree::{Key, Kind, Node};
use super::super::matchers::{self, Subject};
use super::replies;

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

/// The routes of a stub that speaks this.
pub(super) fn routes<'n>(node: &'n Node, protocol: &Protocol, cx: &'n Reading<'n>) -> Option<Vec<Route>> {
    let items = read::list(node, cx)?;
    let read = items.iter().enumerate().filter_map(|(at, item)| route(at, item, protocol, cx));
    let routes: Vec<Route> = read.collect();
    for (at, route) in routes.iter().enumerate() {
        if let Some(first) = routes[..at].iter().find(|other| other.id.value == route.id.value) {
            let message = format!("two routes have the id `{}`", route.id.value);
            cx.report(Diagnostic::new(Code::DuplicateName, route.id.span, message).label(first.id.span, "first here"));
        }
    }
    Some(routes)
}

/// Routes of a stub that is named elsewhere: how they are written says what they speak.
pub(super) fn routes_of_any<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Route>> {
    let key = |node: &'n Node, name: &str| match &node.kind {
        Kind::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => None,
    };
    let any_has = |names: &[&str]| {
        let has = |when| names.iter().any(|name| key(when, name).is_some());
        node.items().unwrap_or_default().iter().any(|route| key(route, "when").is_some_and(has))
    };
    let protocol = match () {
        () if any_has(&["line", "bytes", "connect"]) => Protocol::Tcp,
        () if any_has(&["call"]) => Protocol::Grpc,
        () => Protocol::Http,
    };
    routes(node, &protocol, cx)
}

fn route<'n>(at: usize, node: &'n Node, protocol: &Protocol, cx: &'n Reading<'n>) -> Option<Route> {
    let mut fields = Fields::open(node, "a route", cx)?;
    let id = fields.optional("id", read::name);
    let when = match protocol {
        Protocol::Http => Some(fields.optional("when", request).unwrap_or_else(anything)),
        Protocol::Tcp => fields.required("when", message),
        Protocol::Grpc => fields.required("when", call),
    };
    let replies = fields.required("reply", |node, cx| replies::replies(node, protocol, cx)).unwrap_or_default();
    let id = id.unwrap_or_else(|| Spanned::new(format!("route-{}", at + 1), fields.span()));
    super::unsupported(&mut fields);
    fields.finish();
    let When { takes, parts } = when.unwrap_or_else(anything);
    Some(Route { span: node.span, id, takes, when: parts, replies })
}

struct When {
    takes: Takes,
    parts: Vec<(RequestPart, Matcher)>,
}

fn anything() -> When {
    When { takes: Takes::Request { method: None, path: None }, parts: Vec::new() }
}

/// What a request must be.
fn request<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<When> {
    let mut fields = Fields::open(node, "when", cx)?;
    let method = fields.optional("method", |node, cx| read::choice(node, METHODS, cx));
    let path = fields.optional("path", glob);
    let host = fields.optional("host", |node, cx| matchers::matcher(node, Subject::Text, cx));
    let mut parts: Vec<_> = host.map(|matcher| (RequestPart::Host, matcher)).into_iter().collect();
    let each = |node: &'n Node, part: fn(String) -> RequestPart| {
        let entries = read::map(node, "names, each with what it must be", cx).unwrap_or_default();
        let read = move |(key, node): &'n (Key, Node)| {
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
    parts.extend(fields.optional("tls-name", tls_name));
    fields.finish();
    let method = method.map(|method| method.value.to_owned());
    Some(When { takes: Takes::Request { method, path: path.map(|path| path.value) }, parts })
}

/// What a gRPC call must be. Its path is the method's.
fn call<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<When> {
    let mut fields = Fields::open(node, "when", cx)?;
    let method = fields.required("call", method_glob);
    let metadata = fields.optional("metadata", |node, cx| {
        let entries = read::map(node, "names, each with what it must be", cx)?;
        let read = |(key, node): &(Key, Node)| {
            let part = RequestPart::Header(key.name.to_ascii_lowercase());
            Some((part, matchers::matcher(node, Subject::Text, cx)?))
        };
        Some(entries.iter().filter_map(read).collect::<Vec<_>>())
    });
    let json = fields.optional("json", |node, cx| matchers::matcher(node, Subject::Json, cx));
    let name = fields.optional("tls-name", tls_name);
    fields.finish();
    let json = json.map(|matcher| (RequestPart::Json, matcher));
    let parts = metadata.into_iter().flatten().chain(json).chain(name).collect();
    let path = method?.value;
    Some(When { takes: Takes::Request { method: Some("POST".to_owned()), path: Some(format!("/{path}")) }, parts })
}

fn tls_name(node: &Node, cx: &Reading<'_>) -> Option<(RequestPart, Matcher)> {
    Some((RequestPart::TlsName, matchers::matcher(node, Subject::Text, cx)?))
}

/// `acme.Stock/Get`, or with `*` for anything.
fn method_glob(node: &Node, cx: &Reading<'_>) -> Option<Word> {
    let found = read::some_text(node, cx)?;
    let good = |part: &str| {
        let is_good = |found: char| found.is_ascii_alphanumeric() || matches!(found, '_' | '.' | '*');
        !part.is_empty() && part.chars().all(is_good)
    };
    if found.value.split_once('/').is_some_and(|(service, method)| good(service) && good(method)) {
        return Some(found);
    }
    let message = format!("{} names no method", quote(&found.value));
    cx.report(Diagnostic::new(Code::Name, found.span, message).expected("package.Service/Method, `*` for anything"));
    None
}

/// What must come on a raw connection: exactly one of three things.
fn message<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<When> {
    let mut fields = Fields::open(node, "when", cx)?;
    let span = fields.span();
    let given = ["line", "bytes", "connect"].into_iter().filter(|name| fields.has(name)).count();
    let line = fields.optional("line", |node, cx| matchers::matcher(node, Subject::Text, cx));
    let bytes = fields.optional("bytes", hex);
    let connect = fields.optional("connect", |node, cx| read::choice(node, &[("true", ())], cx));
    fields.finish();
    if given != 1 {
        let message = "a route of a raw connection takes exactly one kind of message";
        cx.report(Diagnostic::new(Code::Choice, span, message).expected("one of `line`, `bytes` and `connect`"));
        return None;
    }
    let takes = |takes| When { takes, parts: Vec::new() };
    let line = line.map(|matcher| When { takes: Takes::Line, parts: vec![(RequestPart::Line, matcher)] });
    line.or(bytes.map(|bytes| takes(Takes::Bytes(bytes)))).or(connect.map(|_| takes(Takes::Connection)))
}

/// Bytes as hex digits, blanks between them or not: `00 01 ff`.
pub(super) fn hex(node: &Node, cx: &Reading<'_>) -> Option<Vec<u8>> {
    let found = read::some_text(node, cx)?;
    let digits: String = found.value.chars().filter(|found| !found.is_whitespace()).collect();
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| match pair {
        [high, low] => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
        }
        _ => None,
    };
    let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
    if bytes.is_none() {
        let message = format!("{} is not hexadecimal", quote(&found.value));
        let problem = Diagnostic::new(Code::WrongType, node.span, message);
        cx.report(problem.expected("pairs of hex digits, as in quotes \"00 01 ff\""));
    }
    bytes
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
