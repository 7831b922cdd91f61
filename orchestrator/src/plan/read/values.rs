//! Readers for plain values: text, numbers, words, names, lists.

use meshproof_proto::expr::Template;

use super::Reading;
use super::templates::parse_at;
use crate::plan::code::Code;
use crate::plan::diagnostic::{Diagnostic, one_of, quote};
use crate::plan::limits::MAX_NAME_CHARS;
use crate::plan::source::{Span, Spanned};
use crate::plan::tree::{Key, Kind, Node};

/// A value written out, or an expression that gives it later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given<T> {
    Value(T),
    Template(Template),
}

/// Whether a text holds an expression.
#[must_use]
pub fn is_template(text: &str) -> bool {
    text.contains("${{")
}

/// The diagnostic for what belongs to the language but not to this version.
#[must_use]
pub fn not_yet(span: Span, what: &str) -> Diagnostic {
    Diagnostic::new(Code::NotYet, span, format!("{what} is not supported by this version yet"))
        .help("it is refused rather than ignored, so that a pass never rests on it")
}

/// Reports that a node is of another type than expected.
pub fn wrong_type(node: &Node, expected: &str, cx: &Reading<'_>) {
    let found = match &node.kind {
        Kind::Text(text) => format!("the text {}", quote(&text.value)),
        Kind::Number(text) => format!("the number {}", quote(text)),
        Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Map(_) => node.what().to_owned(),
    };
    cx.report(Diagnostic::new(Code::WrongType, node.span, format!("{found} does not fit here")).expected(expected));
}

/// The entries of a map.
pub fn map<'n>(node: &'n Node, expected: &str, cx: &Reading<'_>) -> Option<&'n [(Key, Node)]> {
    match &node.kind {
        Kind::Map(entries) => Some(entries),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => {
            wrong_type(node, &format!("a map: {expected}"), cx);
            None
        }
    }
}

/// The items of a list.
pub fn list<'n>(node: &'n Node, cx: &Reading<'_>) -> Option<&'n [Node]> {
    match &node.kind {
        Kind::List(items) => Some(items),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Map(_) => {
            wrong_type(node, "a list", cx);
            None
        }
    }
}

/// Every item of a list through one reader; those that fail are reported and left out.
pub fn each<'n, T>(
    node: &'n Node,
    cx: &'n Reading<'n>,
    reader: impl Fn(&'n Node, &'n Reading<'n>) -> Option<T>,
) -> Option<Vec<T>> {
    Some(list(node, cx)?.iter().filter_map(|item| reader(item, cx)).collect())
}

/// Text. Numbers, `true` and dates written without quotes are taken as they are spelled: an environment variable or an
/// argument is text whatever it looks like.
pub fn text(node: &Node, cx: &Reading<'_>) -> Option<Spanned<String>> {
    match &node.kind {
        Kind::Text(text) => Some(Spanned::new(text.value.clone(), node.span)),
        Kind::Number(text) => Some(Spanned::new(text.clone(), node.span)),
        Kind::Bool(value) => Some(Spanned::new(value.to_string(), node.span)),
        Kind::Null | Kind::List(_) | Kind::Map(_) => {
            wrong_type(node, "text", cx);
            None
        }
    }
}

/// Text with at least one character.
pub fn some_text(node: &Node, cx: &Reading<'_>) -> Option<Spanned<String>> {
    let text = text(node, cx)?;
    if text.value.trim().is_empty() {
        cx.report(Diagnostic::new(Code::Empty, node.span, "this text is empty").expected("text"));
        return None;
    }
    Some(text)
}

/// `true` or `false`.
pub fn boolean(node: &Node, cx: &Reading<'_>) -> Option<Spanned<bool>> {
    if let Kind::Bool(value) = node.kind {
        return Some(Spanned::new(value, node.span));
    }
    wrong_type(node, "true or false", cx);
    None
}

/// A whole number that is not negative, or an expression for one.
pub fn count(node: &Node, cx: &Reading<'_>) -> Option<Spanned<Given<u64>>> {
    match &node.kind {
        Kind::Number(text) => {
            let value = whole(text).or_else(|| {
                let message = format!("{} is not a whole number from 0 on", quote(text));
                cx.report(Diagnostic::new(Code::OutOfRange, node.span, message).expected("a whole number"));
                None
            })?;
            Some(Spanned::new(Given::Value(value), node.span))
        }
        Kind::Text(text) if is_template(&text.value) => {
            parse_at(&text.value, node.span, cx).map(|template| Spanned::new(Given::Template(template), node.span))
        }
        Kind::Null | Kind::Bool(_) | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => {
            wrong_type(node, "a whole number", cx);
            None
        }
    }
}

fn whole(text: &str) -> Option<u64> {
    match text.split_at_checked(2) {
        Some(("0x", digits)) => u64::from_str_radix(digits, 16).ok(),
        Some(("0o", digits)) => u64::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok(),
    }
}

/// A whole number between two bounds, written out.
pub fn integer(node: &Node, bounds: std::ops::RangeInclusive<u64>, cx: &Reading<'_>) -> Option<Spanned<u64>> {
    let found = count(node, cx)?;
    let expected = || format!("a number from {} to {}", bounds.start(), bounds.end());
    match found.value {
        Given::Value(value) if bounds.contains(&value) => Some(Spanned::new(value, node.span)),
        Given::Value(value) => {
            cx.report(
                Diagnostic::new(Code::OutOfRange, node.span, format!("{value} is out of range")).expected(expected()),
            );
            None
        }
        Given::Template(_) => {
            wrong_type(node, &expected(), cx);
            None
        }
    }
}

/// One of a few words.
pub fn choice<T: Copy>(node: &Node, words: &[(&'static str, T)], cx: &Reading<'_>) -> Option<Spanned<T>> {
    let found = text(node, cx)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == found.value) {
        return Some(Spanned::new(*value, node.span));
    }
    let known = words.iter().map(|(word, _)| *word);
    cx.report(
        Diagnostic::new(Code::Choice, node.span, format!("{} is not one of the choices", quote(&found.value)))
            .expected(one_of(known.clone()))
            .did_you_mean(&found.value, known),
    );
    None
}

/// A name: letters, digits, `-` and `_`, beginning with a letter.
pub fn name(node: &Node, cx: &Reading<'_>) -> Option<Spanned<String>> {
    let found = text(node, cx)?;
    check_name(&found.value, found.span, cx).then_some(found)
}

/// Whether a text can be a name; reports it if not.
pub fn check_name(name: &str, span: Span, cx: &Reading<'_>) -> bool {
    let letters = name.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '_'));
    let begins = name.starts_with(|character: char| character.is_ascii_alphabetic());
    if letters && begins && name.len() <= MAX_NAME_CHARS {
        return true;
    }
    cx.report(
        Diagnostic::new(Code::Name, span, format!("{} cannot be a name", quote(name)))
            .expected(format!("letters, digits, `-` and `_`, a letter first, at most {MAX_NAME_CHARS}")),
    );
    false
}
