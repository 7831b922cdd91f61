//! The verbs `grpc` and `ws`.

use meshproof_proto::expr::{Template, ValueTemplate};

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, quote};
use super::super::model::{Grpc, Word, Ws};
use super::super::read::{self, Fields, Reading};
use super::super::source::Spanned;
use super::super::tree::{Kind, Node};
use super::verbs::{finish, headers, target};
use super::{inner_file, tls};

pub(super) fn grpc<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Grpc> {
    let mut fields = Fields::open(node, "grpc", cx)?;
    let call = fields.required("call", method);
    let json = fields.optional("json", read::json).unwrap_or_else(|| ValueTemplate::Map(Vec::new()));
    let metadata = fields.optional("metadata", headers).unwrap_or_default();
    let protos = fields.optional("proto", protos).unwrap_or_default();
    let tls = fields.optional("tls", tls::tls).map(Box::new);
    finish(fields, "grpc");
    Some(Grpc { call: call?, json, metadata, protos, tls })
}

/// `acme.Stock/Get`
fn method(node: &Node, cx: &Reading<'_>) -> Option<Word> {
    let found = read::some_text(node, cx)?;
    let good = |part: &str| {
        !part.is_empty() && part.chars().all(|found| found.is_ascii_alphanumeric() || matches!(found, '_' | '.'))
    };
    if found.value.split_once('/').is_some_and(|(service, method)| good(service) && good(method)) {
        return Some(found);
    }
    let message = format!("{} names no method", quote(&found.value));
    cx.report(Diagnostic::new(Code::Name, found.span, message).expected("package.Service/Method"));
    None
}

/// One file beside the plan, or several.
pub(super) fn protos<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Word>> {
    match &node.kind {
        Kind::List(_) => read::each(node, cx, inner_file),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Map(_) => {
            Some(vec![inner_file(node, cx)?])
        }
    }
}

pub(super) fn ws<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Ws> {
    let mut fields = Fields::open(node, "ws", cx)?;
    let path = fields.optional("path", target);
    let send = fields.optional("send", messages).unwrap_or_default();
    let headers = fields.optional("headers", headers).unwrap_or_default();
    let tls = fields.optional("tls", tls::tls).map(Box::new);
    finish(fields, "ws");
    let path = path.unwrap_or_else(|| Spanned::new(Template::text("/"), node.span));
    Some(Ws { path, send, headers, tls })
}

/// One message, or several.
fn messages<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Template>> {
    let one = |node: &Node, cx: &Reading<'_>| read::template(node, cx).map(|text| text.value);
    match &node.kind {
        Kind::List(items) if items.is_empty() => {
            cx.report(
                Diagnostic::new(Code::Empty, node.span, "there is no message here").expected("a text, or several"),
            );
            None
        }
        Kind::List(_) => read::each(node, cx, one),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Map(_) => Some(vec![one(node, cx)?]),
    }
}
