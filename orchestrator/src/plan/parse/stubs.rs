//! `stubs`: pretend upstreams.

mod replies;
mod routes;
mod upstreams;

use meshproof_proto::order::{Keep, Protocol, Unmatched};

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, one_of};
use super::super::limits::MAX_STUB_JOURNAL;
use super::super::model::{Reply, ReplySays, Route, Stub, StubUse, Word};
use super::super::read::{self, Fields, Reading};
use super::super::source::Spanned;
use super::super::tree::{Kind, Node};
use super::services::port_wish;
use super::{calls, named, tls};

pub(super) fn stubs<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Stub>> {
    Some(named(node, "stubs", cx).into_iter().map(|(name, node)| stub(name, node, cx)).collect())
}

fn stub<'n>(name: Word, node: &'n Node, cx: &'n Reading<'n>) -> Stub {
    // Without a good `at` the stub is still known by name; the empty service is reported once, here.
    let mut stub = Stub::named(name);
    let Some(mut fields) = Fields::open(node, "a stub", cx) else { return stub };
    stub.at = fields.required("at", read::name).unwrap_or(stub.at);
    stub.protocol = fields.optional("protocol", protocol).unwrap_or(Protocol::Http);
    stub.port = fields.optional("port", |node, cx| Some(Spanned::new(port_wish(node, cx)??, node.span)));
    let protocol = stub.protocol;
    let found = fields.optional("unmatched", |node, cx| unmatched(node, &protocol, cx));
    stub.unmatched = found.unwrap_or(stub.unmatched);
    let words = [("test", Keep::Test), ("run", Keep::Run), ("mesh", Keep::Mesh)];
    let keep = fields.optional("keep", |node, cx| read::choice(node, &words, cx));
    stub.keep = keep.map_or(Keep::Test, |keep| keep.value);
    let journal = fields.optional("journal", |node, cx| read::integer(node, 0..=MAX_STUB_JOURNAL, cx));
    stub.journal = journal.map_or(stub.journal, |journal| journal.value);
    if protocol == Protocol::Grpc {
        stub.protos = fields.required("proto", calls::protos).unwrap_or_default();
    }
    let upstreams = fields.entry("upstreams").map(|(key, node)| (key.span, node));
    stub.upstreams = upstreams.and_then(|(_, node)| upstreams::upstreams(node, cx));
    let read = |node: &'n Node, cx: &'n Reading<'n>| routes::routes(node, &protocol, cx);
    // A proxy may have none: it rewrites and refuses.
    let routes = match upstreams {
        Some(_) => fields.optional("routes", read),
        None => fields.required("routes", read),
    };
    stub.routes = routes.unwrap_or_default();
    let with_tls = fields.has("tls");
    stub.tls = fields.optional("tls", tls::of_stub);
    if let Some((span, _)) = upstreams
        && (with_tls || protocol != Protocol::Http)
    {
        let message = "unsupported: `upstreams` of a stub that is not spoken to over plain HTTP, as proxies are";
        let problem = Diagnostic::new(Code::Unsupported, span, message);
        cx.report(problem.help("what goes through it may be TLS: it shows a certificate for each host"));
    }
    unsupported(&mut fields);
    fields.finish();
    stub
}

/// What other tools have and a stub does not: refused by name, so that nobody takes a stub for a cache or a database.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("collapse", "request collapsing: a stub answers every call by itself, so it cannot show that calls were joined"),
    ("cache", "caching in a stub: every call is answered by its route"),
    ("record", "recording: a stub answers what the plan says and asks nobody"),
    ("forward", "passing calls on from a route: a route answers, and `upstreams` rewrite hosts"),
];

fn unsupported(fields: &mut Fields<'_>) {
    for (name, why) in UNSUPPORTED {
        if let Some((key, _)) = fields.entry_quietly(name) {
            let problem = Diagnostic::new(Code::Unsupported, key.span, format!("unsupported: {why}"));
            fields.reading().report(problem);
        }
    }
}

fn protocol(node: &Node, cx: &Reading<'_>) -> Option<Protocol> {
    let words = [("http", Protocol::Http), ("tcp", Protocol::Tcp), ("grpc", Protocol::Grpc)];
    read::choice(node, &words, cx).map(|found| found.value)
}

/// `fail`, or what such a call is answered with.
fn unmatched(node: &Node, protocol: &Protocol, cx: &Reading<'_>) -> Option<Spanned<Unmatched>> {
    const ALLOWED: Unmatched = Unmatched::Answer(404);
    if *protocol == Protocol::Http && matches!(node.kind, Kind::Number(_)) {
        let status = read::integer(node, 200..=599, cx)?;
        let status = u16::try_from(status.value).ok()?;
        return Some(Spanned::new(Unmatched::Answer(status), node.span));
    }
    read::choice(node, &[("fail", Unmatched::Fail), ("allow", ALLOWED)], cx)
}

/// `stub: { payments: purge }` or `stub: { payments: { routes: […] } }`.
pub(super) fn stub_use<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<StubUse> {
    let entries = read::map(node, "a stub's name with `purge` or its new `routes`", cx)?;
    let [(key, value)] = entries else {
        let message = "this changes one stub";
        cx.report(Diagnostic::new(Code::Choice, node.span, message).expected("`{ STUB: purge }`"));
        return None;
    };
    let stub = super::word(key);
    match &value.kind {
        Kind::Text(text) if text.value == "purge" => Some(StubUse { stub, routes: None }),
        Kind::Map(_) => {
            let mut fields = Fields::open(value, "a change of a stub", cx)?;
            let routes = fields.required("routes", routes::routes_of_any);
            fields.finish();
            Some(StubUse { stub, routes: Some(routes?) })
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => {
            read::wrong_type(value, &one_of(["purge", "routes"]), cx);
            None
        }
    }
}

/// Routes with the protocol that they are written for.
pub fn speaks(routes: &[Route]) -> Protocol {
    use meshproof_proto::order::Takes;
    let raw = |route: &Route| !matches!(route.takes, Takes::Request { .. });
    let grpc = |reply: &Reply| matches!(reply.says, ReplySays::Grpc { .. });
    match () {
        () if routes.iter().any(raw) => Protocol::Tcp,
        () if routes.iter().flat_map(|route| &route.replies).any(grpc) => Protocol::Grpc,
        () => Protocol::Http,
    }
}
