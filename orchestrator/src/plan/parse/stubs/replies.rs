//! Replies of a route.

use meshproof_proto::expr::Template;
use meshproof_proto::grpc::CODES;
use meshproof_proto::order::{Ends, Protocol};

use super::super::super::code::Code;
use super::super::super::diagnostic::{Diagnostic, quote};
use super::super::super::limits::{DEFAULT_PIECES, MAX_PIECES};
use super::super::super::model::{Reply, ReplySays, Time};
use super::super::super::read::{self, Fields, Reading};
use super::super::super::tree::{Kind, Node};
use super::super::verbs;
use super::routes::hex;

/// One reply, or several in turn.
pub(super) fn replies<'n>(node: &'n Node, protocol: &Protocol, cx: &'n Reading<'n>) -> Option<Vec<Reply>> {
    match &node.kind {
        Kind::List(items) if items.is_empty() => {
            cx.report(Diagnostic::new(Code::Empty, node.span, "there is no reply here").expected("a reply"));
            None
        }
        Kind::List(items) => Some(items.iter().filter_map(|item| reply(item, protocol, cx)).collect()),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Map(_) => {
            Some(vec![reply(node, protocol, cx)?])
        }
    }
}

fn reply<'n>(node: &'n Node, protocol: &Protocol, cx: &'n Reading<'n>) -> Option<Reply> {
    let mut fields = Fields::open(node, "a reply", cx)?;
    let says = match protocol {
        Protocol::Http => http(&mut fields),
        Protocol::Tcp => raw(&mut fields),
        Protocol::Grpc => grpc(&mut fields),
    };
    let delay = fields.optional("delay", read::duration);
    let slow = fields.optional("slow", slow);
    let times = fields.optional("times", |node, cx| read::integer(node, 1..=1_000_000, cx));
    let resets = [("true", Ends::Reset), ("false", Ends::Stays), ("body", Ends::ResetInBody)];
    let reset = fields.optional("reset", |node, cx| read::choice(node, &resets, cx));
    let close = fields.optional("close", read::boolean);
    if let Some(close) = close.as_ref().filter(|close| close.value && *protocol == Protocol::Grpc) {
        let message = "unsupported: the end of a connection after a gRPC reply; other calls may be on it";
        cx.report(Diagnostic::new(Code::Unsupported, close.span, message));
    }
    super::unsupported(&mut fields);
    let span = fields.whole();
    fields.finish();
    let closes = if close.is_some_and(|close| close.value) { Ends::Closed } else { Ends::Stays };
    let ends = reset.map_or(closes, |reset| reset.value);
    Some(Reply { span, says: says?, delay, slow, ends, times: times.map_or(1, |times| times.value) })
}

fn http(fields: &mut Fields<'_>) -> Option<ReplySays> {
    let status = fields.optional("status", |node, cx| read::integer(node, 100..=599, cx));
    if let Some(status) = status.as_ref().filter(|status| status.value < 200) {
        let message = "unsupported: a status below 200 from a stub; it would not be the answer";
        fields.reading().report(Diagnostic::new(Code::Unsupported, status.span, message));
    }
    let framing = |name: &str| ["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str());
    let headers = fields.optional("headers", |node, cx| {
        let headers = verbs::headers(node, cx)?;
        for (name, _) in headers.iter().filter(|(name, _)| framing(name)) {
            let message = format!("unsupported: a `{name}` of one's own; the stub says how long its body is");
            cx.report(Diagnostic::new(Code::Unsupported, node.span, message));
        }
        Some(headers)
    });
    let body = verbs::content(fields);
    let status = status.and_then(|status| u16::try_from(status.value).ok()).unwrap_or(200);
    Some(ReplySays::Http { status, headers: headers.unwrap_or_default(), body })
}

/// How a call over gRPC ends, and what it gives.
fn grpc(fields: &mut Fields<'_>) -> Option<ReplySays> {
    let words = CODES.map(|code| (code, code));
    let code = fields.optional("code", |node, cx| read::choice(node, &words, cx));
    let message = fields.optional("message", read::template);
    let metadata = fields.optional("metadata", verbs::headers);
    let json = fields.optional("json", read::json);
    let message = message.map_or_else(|| Template::text(""), |message| message.value);
    let code = code.map_or("OK", |code| code.value);
    Some(ReplySays::Grpc { code, message, metadata: metadata.unwrap_or_default(), json })
}

/// What goes out on a raw connection; nothing is a reply too, as before a reset.
fn raw(fields: &mut Fields<'_>) -> Option<ReplySays> {
    let bytes = fields.optional("bytes", hex);
    let send = fields.optional("send", read::template);
    match (send, bytes) {
        (Some(send), Some(_)) => {
            let message = "`send` and `bytes` exclude each other";
            fields.reading().report(Diagnostic::new(Code::Choice, send.span, message));
            None
        }
        (Some(send), None) => Some(ReplySays::Text(send.value)),
        (None, Some(bytes)) => Some(ReplySays::Bytes(bytes)),
        (None, None) => Some(ReplySays::Bytes(Vec::new())),
    }
}

/// `slow: 2s`, or `slow: { over: 2s, pieces: 10 }`.
fn slow<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<(Time, u32)> {
    let Kind::Map(_) = &node.kind else { return Some((read::duration(node, cx)?, DEFAULT_PIECES)) };
    let mut fields = Fields::open(node, "slow", cx)?;
    let over = fields.required("over", read::duration);
    let pieces = fields.optional("pieces", |node, cx| read::integer(node, 2..=u64::from(MAX_PIECES), cx));
    fields.finish_with(|key, problem| match key.name.as_str() {
        "chunks" | "numberOfChunks" => Diagnostic { help: Some("did you mean `pieces`?".to_owned()), ..problem },
        "totalDuration" => Diagnostic { help: Some("did you mean `over`?".to_owned()), ..problem },
        name => Diagnostic { message: format!("slow has no key {}", quote(name)), ..problem },
    });
    let pieces = pieces.and_then(|pieces| u32::try_from(pieces.value).ok()).unwrap_or(DEFAULT_PIECES);
    Some((over?, pieces))
}
