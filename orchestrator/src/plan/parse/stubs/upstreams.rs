//! Hosts that a service picks at run time, and what becomes of them.

use super::super::super::code::Code;
use super::super::super::diagnostic::{Diagnostic, quote};
use super::super::super::model::{Becomes, Upstream, Word};
use super::super::super::read::{self, Fields, Reading};
use super::super::super::source::Spanned;
use super::super::super::tree::Node;
use super::super::tls;

pub(super) fn upstreams<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<Upstream>> {
    let items = read::list(node, cx)?;
    if items.is_empty() {
        let problem = Diagnostic::new(Code::Empty, node.span, "there are no upstreams here, so every host is refused");
        cx.report(problem.expected("`{ intercept: HOST }`, `rewrite` or `refuse`"));
    }
    Some(items.iter().enumerate().filter_map(|(at, item)| upstream(at, item, cx)).collect())
}

fn upstream<'n>(at: usize, node: &'n Node, cx: &'n Reading<'n>) -> Option<Upstream> {
    let mut fields = Fields::open(node, "an upstream", cx)?;
    let span = fields.span();
    let given = ["intercept", "rewrite", "refuse"].into_iter().filter(|name| fields.has(name)).count();
    let id = fields.optional("id", read::name);
    let intercept = fields.optional("intercept", host);
    let refuse = fields.optional("refuse", host);
    let rewrite = fields.optional("rewrite", host);
    let rewritten = fields.has("rewrite").then(|| {
        let to = fields.required("to", read::some_text);
        let tls = fields.optional("tls", tls::tls).map(Box::new);
        Some(Becomes::Rewritten { to: to?, tls })
    });
    fields.finish();
    if given != 1 {
        let message = "an upstream is exactly one of three things";
        let problem = Diagnostic::new(Code::Choice, span, message);
        cx.report(problem.expected("one of `intercept`, `rewrite` and `refuse`"));
        return None;
    }
    let id = id.unwrap_or_else(|| Spanned::new(format!("upstream-{}", at + 1), span));
    let intercepted = intercept.map(|host| (host, Some(Becomes::Intercepted)));
    let refused = refuse.map(|host| (host, Some(Becomes::Refused)));
    let (host, becomes) = intercepted.or(refused).or_else(|| Some((rewrite?, rewritten?)))?;
    Some(Upstream { id, host, becomes: becomes? })
}

/// `api.example`, `*.example`, `api.example:8443`.
fn host(node: &Node, cx: &Reading<'_>) -> Option<Word> {
    let found = read::some_text(node, cx)?;
    let good = |found: char| found.is_ascii_alphanumeric() || matches!(found, '.' | '-' | '_' | '*' | ':');
    if found.value.chars().all(good) {
        return Some(Spanned::new(found.value.to_ascii_lowercase(), found.span));
    }
    let message = format!("{} names no host", quote(&found.value));
    let problem = Diagnostic::new(Code::Name, found.span, message);
    cx.report(problem.expected("a host with or without a port, `*` for anything, without a scheme and a path"));
    None
}
