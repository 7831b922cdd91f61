//! Readers for texts and values with expressions inside, whose mistakes are pointed at inside the text.

use meshproof_proto::expr::{ExprError, Template, ValueTemplate};

use super::Reading;
use super::values::text;
use crate::plan::code::Code;
use crate::plan::diagnostic::{Diagnostic, quote};
use crate::plan::source::{Span, Spanned};
use crate::plan::tree::{Kind, Node};

/// A text that may hold expressions.
pub fn template(node: &Node, cx: &Reading<'_>) -> Option<Spanned<Template>> {
    let found = text(node, cx)?;
    parse_at(&found.value, found.span, cx).map(|template| Spanned::new(template, found.span))
}

/// Any value, with expressions in its texts.
pub fn value_template(node: &Node, cx: &Reading<'_>) -> Option<Spanned<ValueTemplate>> {
    json(node, cx).map(|value| Spanned::new(value, node.span))
}

/// Any value, with expressions in its texts; for where the place is known anyway.
pub fn json(node: &Node, cx: &Reading<'_>) -> Option<ValueTemplate> {
    Some(match &node.kind {
        Kind::Null => ValueTemplate::Null,
        Kind::Bool(value) => ValueTemplate::Bool(*value),
        Kind::Number(text) => ValueTemplate::Number(json_number(text, node.span, cx)?),
        Kind::Text(text) => ValueTemplate::Text(parse_at(&text.value, node.span, cx)?),
        Kind::List(items) => {
            // Each item is read before any is given up, so that all their mistakes are found.
            let items: Vec<Option<ValueTemplate>> = items.iter().map(|item| json(item, cx)).collect();
            ValueTemplate::List(items.into_iter().collect::<Option<_>>()?)
        }
        Kind::Map(entries) => {
            let entries: Vec<_> = entries.iter().map(|(key, value)| (key, json(value, cx))).collect();
            let entries = entries.into_iter().map(|(key, value)| Some((key.name.clone(), value?)));
            ValueTemplate::Map(entries.collect::<Option<_>>()?)
        }
    })
}

/// Parses a text that stands at `span`.
pub fn parse_at(text: &str, span: Span, cx: &Reading<'_>) -> Option<Template> {
    match Template::parse(text) {
        Ok(template) => Some(template),
        Err(error) => {
            let span = place_inside(text, &error, span, cx);
            cx.report(Diagnostic::new(Code::Expression, span, error.message));
            None
        }
    }
}

/// Where in the file a mistake inside a text stands. Escapes and folding change texts, so the expression is looked up as
/// it is written; if it cannot be found, the whole text is blamed.
fn place_inside(text: &str, error: &ExprError, span: Span, cx: &Reading<'_>) -> Span {
    let written = cx.source.slice(span);
    let at = error.offset.min(text.len());
    let Some(open) = text.get(..(at + 3).min(text.len())).and_then(|before| before.rfind("${{")) else { return span };
    let close = text[open..].find("}}").map_or(text.len(), |close| open + close + 2);
    let expression = &text[open..close];
    let before = text[..open].matches(expression).count();
    match written.match_indices(expression).nth(before) {
        Some((found, _)) => {
            let start = span.start + found + (at - open);
            Span::new(start, (start + error.length).min(span.end))
        }
        None => span,
    }
}

/// A number as JSON spells it. Those that JSON or a double cannot hold are refused instead of changed.
fn json_number(text: &str, span: Span, cx: &Reading<'_>) -> Option<String> {
    let lost = |help: &str| {
        cx.report(
            Diagnostic::new(
                Code::NumberLosesDigits,
                span,
                format!("the number {} would change when read", quote(text)),
            )
            .help(help),
        );
        None
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).map(|value| value.to_string()).ok().or_else(|| lost("it is too large"));
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).map(|value| value.to_string()).ok().or_else(|| lost("it is too large"));
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.len() > 1 && digits.starts_with('0') && digits[1..].starts_with(|next: char| next.is_ascii_digit()) {
        return lost("its leading zero would be lost; quotes make text of it");
    }
    let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
    let spelled = if digits.starts_with('.') { format!("{sign}0{digits}") } else { format!("{sign}{digits}") };
    let spelled = spelled.replace(".e", ".0e").replace(".E", ".0E");
    let spelled = if spelled.ends_with('.') { spelled + "0" } else { spelled };
    let fits = if whole { spelled.parse::<i64>().is_ok() || spelled.parse::<u64>().is_ok() } else { true };
    if fits && serde_json::from_str::<serde_json::Number>(&spelled).is_ok() {
        Some(spelled)
    } else {
        lost("it has more digits than a number can keep; quotes make text of it")
    }
}
