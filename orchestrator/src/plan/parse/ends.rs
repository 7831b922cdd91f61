//! The two ends of something between services: `a -> b`, `a <-> b`.

use super::super::model::Word;
use super::super::read::Reading;
use super::super::source::{Span, Spanned};

/// What stands on each side of the arrow, and where; none if a side is empty or there is no such arrow.
pub(super) fn of(between: &Word, arrow: &str, cx: &Reading<'_>) -> Option<(Word, Word)> {
    let (left, right) = between.value.split_once(arrow)?;
    let (left, right) = (left.trim(), right.trim());
    if left.is_empty() || right.is_empty() {
        return None;
    }
    let written = cx.source.slice(between.span);
    let place = |name: &str, at: Option<usize>| {
        let span = |at| Span::new(between.span.start + at, between.span.start + at + name.len());
        Spanned::new(name.to_owned(), at.map_or(between.span, span))
    };
    Some((place(left, written.find(left)), place(right, written.rfind(right))))
}
