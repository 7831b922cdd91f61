//! `faults`, and faults written in place.

use super::super::code::Code;
use super::super::diagnostic::{Diagnostic, one_of, quote};
use super::super::model::{Disturbed, Fault, FaultUse, Heal, Ways, Word};
use super::super::read::{self, Fields, Given, Reading};
use super::super::source::{Span, Spanned};
use super::super::tree::{Kind, Node};
use super::super::units::Percent;
use super::named;

const TARGETS: &[&str] = &["traffic", "stub", "service", "link", "partition"];
const TARGETS_LATER: &[&str] = &["service", "link", "partition"];
const EFFECTS: &[&str] = &["latency", "jitter", "loss", "bandwidth"];
const EFFECTS_LATER: &[&str] =
    &["refuse", "duplicate", "corrupt", "reorder", "reset", "slice", "slow-close", "status", "first", "percent"];

pub(super) fn faults<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Vec<(Word, Option<Fault>)>> {
    Some(named(node, "faults", cx).into_iter().map(|(name, node)| (name, fault(node, cx))).collect())
}

/// A fault's name, or the fault itself.
pub(super) fn fault_use<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<FaultUse> {
    match &node.kind {
        Kind::Map(_) => Some(FaultUse::Inline(Box::new(fault(node, cx)?))),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => {
            Some(FaultUse::Named(read::name(node, cx)?))
        }
    }
}

/// `all`, a name, or a list of names.
pub(super) fn heal(node: &Node, cx: &Reading<'_>) -> Option<Heal> {
    match &node.kind {
        Kind::List(items) => {
            let names: Vec<Word> = items.iter().filter_map(|item| read::name(item, cx)).collect();
            if items.is_empty() {
                cx.report(
                    Diagnostic::new(Code::Empty, node.span, "there is nothing to heal here")
                        .expected("`all` or names of faults"),
                );
            }
            Some(Heal::Named(names))
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Map(_) => {
            let name = read::name(node, cx)?;
            Some(if name.value == "all" { Heal::All } else { Heal::Named(vec![name]) })
        }
    }
}

fn fault<'n>(node: &'n Node, cx: &'n Reading<'n>) -> Option<Fault> {
    let mut fields = Fields::open(node, "a fault", cx)?;
    let is_clear = one_target(&fields, cx);
    let traffic = fields.optional("traffic", traffic);
    let stub = fields.optional("stub", read::name).map(Disturbed::Stub);
    let latency = fields.optional("latency", read::duration);
    let jitter = fields.optional("jitter", read::duration);
    let loss = fields.optional("loss", loss);
    let bandwidth = fields.optional("bandwidth", read::bandwidth);
    // A partition is target and effect in one.
    if !EFFECTS.iter().chain(EFFECTS_LATER).chain(&["partition"]).any(|effect| fields.has(effect)) {
        let message = "this fault has no effect";
        cx.report(Diagnostic::new(Code::FaultEffect, fields.span(), message).expected(one_of(EFFECTS.iter().copied())));
    }
    if let (None, Some(jitter)) = (&latency, &jitter)
        && !fields.has("latency")
    {
        let message = "jitter varies a latency, and there is none";
        cx.report(Diagnostic::new(Code::FaultEffect, jitter.span, message).expected("`latency` beside it"));
    }
    fields.later(TARGETS_LATER);
    fields.later(EFFECTS_LATER);
    let span = fields.whole();
    fields.finish_with(|key, problem| match key.name.as_str() {
        "for" | "prove" => {
            Diagnostic { help: Some(format!("`{}` stands on the step, beside `fault`", key.name)), ..problem }
        }
        _ => problem,
    });
    is_clear.then_some(Fault { span, target: traffic.or(stub)?, latency, jitter, loss, bandwidth })
}

fn one_target(fields: &Fields<'_>, cx: &Reading<'_>) -> bool {
    let found: Vec<&str> = TARGETS.iter().copied().filter(|target| fields.has(target)).collect();
    let message = match found.as_slice() {
        [_] => return true,
        [] => "this fault has no target".to_owned(),
        several => format!("this fault has several targets: {}", several.join(", ")),
    };
    cx.report(
        Diagnostic::new(Code::FaultTarget, fields.span(), message)
            .expected(format!("one of {}", one_of(TARGETS.iter().copied()))),
    );
    false
}

/// Traffic is made of byte streams, from which single bytes cannot go missing.
fn loss(node: &Node, cx: &Reading<'_>) -> Option<Spanned<Given<Percent>>> {
    let found = read::percent(node, cx)?;
    if let Given::Value(share) = found.value
        && share.value() > 0.0
        && share.value() < 100.0
    {
        cx.report(
            Diagnostic::new(Code::OutOfRange, node.span, "a byte stream loses everything or nothing")
                .expected("0% or 100%")
                .help("for a slow and shaky connection use latency, jitter and bandwidth"),
        );
        return None;
    }
    Some(found)
}

/// `a -> b` or `a <-> b`.
fn traffic(node: &Node, cx: &Reading<'_>) -> Option<Disturbed> {
    let found = read::text(node, cx)?;
    let (arrow, ways) = if found.value.contains("<->") { ("<->", Ways::Both) } else { ("->", Ways::One) };
    let parts = found.value.split_once(arrow);
    let Some((from, to)) =
        parts.map(|(from, to)| (from.trim(), to.trim())).filter(|(from, to)| !from.is_empty() && !to.is_empty())
    else {
        let message = format!("{} does not say which traffic", quote(&found.value));
        cx.report(Diagnostic::new(Code::FaultTarget, node.span, message).expected("`a -> b` or `a <-> b`"));
        return None;
    };
    let place = |name: &str, last: bool| {
        let written = cx.source.slice(node.span);
        let at = if last { written.rfind(name) } else { written.find(name) };
        at.map_or(node.span, |at| Span::new(node.span.start + at, node.span.start + at + name.len()))
    };
    let (from, to) = (Spanned::new(from.to_owned(), place(from, false)), Spanned::new(to.to_owned(), place(to, true)));
    if from.value == to.value {
        cx.report(
            Diagnostic::new(Code::FaultTarget, node.span, "a service's traffic to itself is not on the mesh")
                .expected("two services"),
        );
        return None;
    }
    let good = [&from, &to].map(|name| read::check_name(&name.value, name.span, cx));
    good.iter().all(|good| *good).then_some(Disturbed::Traffic { from, to, ways })
}
