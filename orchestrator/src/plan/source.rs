//! The text of a plan and places in it. Everything a plan may be blamed for, now or at run time, carries a [`Span`].

use std::borrow::Cow;

use meshproof_proto::mask::Masker;
use serde::{Deserialize, Serialize};

use super::code::Code;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::limits::{MAX_FORBIDDEN_CHARS, MAX_PLAN_BYTES};

/// A half-open range of byte offsets into the plan's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    /// Of a mistake that stands nowhere in the plan, as in what was given with it: no place is shown. Sorts last.
    pub const NOWHERE: Span = Span { start: usize::MAX, end: usize::MAX };

    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end: end.max(start) }
    }

    /// From the start of `self` to the end of `other`.
    #[must_use]
    pub fn to(self, other: Span) -> Self {
        Self::new(self.start, other.end)
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

impl<T> Spanned<T> {
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: change(self.value), span: self.span }
    }
}

/// A place as people count it: lines and columns from one, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// One plan file: its path as the user gave it, its text, and the index of its lines.
#[derive(Debug, Clone)]
pub struct Source {
    path: String,
    text: String,
    line_starts: Vec<usize>,
    is_text: bool,
}

impl Source {
    /// Takes the text of a plan. Characters that could make it look like something else are reported, and replaced
    /// by a mark of the same length, so that offsets hold and no terminal ever sees them.
    pub fn new(path: impl Into<String>, text: &str, sink: &Diagnostics) -> Self {
        if text.len() > MAX_PLAN_BYTES {
            return Self::too_large(path, text.len(), sink);
        }
        let (text, forbidden) = make_visible(text);
        let is_text = forbidden.len() <= MAX_FORBIDDEN_CHARS;
        let many = forbidden.len();
        for problem in forbidden.into_iter().take(if is_text { MAX_FORBIDDEN_CHARS } else { 1 }) {
            let help = format!("{many} such characters stand here: this file is something else than a plan");
            sink.report(if is_text { problem } else { problem.help(help) });
        }
        Self { is_text, ..Self::of(path, text) }
    }

    /// Takes the bytes of a plan file; what is not UTF-8 is reported.
    pub fn from_bytes(path: impl Into<String>, bytes: &[u8], sink: &Diagnostics) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::new(path, text, sink),
            Err(_) if bytes.len() > MAX_PLAN_BYTES => Self::too_large(path, bytes.len(), sink),
            Err(error) => {
                let at = error.valid_up_to();
                let problem =
                    Diagnostic::new(Code::ForbiddenCharacter, Span::new(at, at + 1), "this byte is not UTF-8");
                sink.report(problem.expected("text in UTF-8"));
                Self { is_text: false, ..Self::of(path, make_visible(&String::from_utf8_lossy(bytes)).0) }
            }
        }
    }

    fn too_large(path: impl Into<String>, bytes: usize, sink: &Diagnostics) -> Self {
        let problem = Diagnostic::new(Code::TooLarge, Span::default(), format!("the plan has {bytes} bytes"));
        sink.report(problem.expected(format!("at most {MAX_PLAN_BYTES} bytes")));
        Self { is_text: false, ..Self::of(path, String::new()) }
    }

    fn of(path: impl Into<String>, text: String) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path: path.into(), text, line_starts, is_text: true }
    }

    /// Whether it can be read as a plan. If not, that was reported, and whatever reading found would only be noise.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    /// The path as the user gave it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The text, forbidden characters replaced.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// With asterisks over secrets. Places in it are the same.
    #[must_use]
    pub fn covered(&self, masker: &Masker) -> Cow<'_, Self> {
        match masker.covered(&self.text) {
            Cow::Borrowed(_) => Cow::Borrowed(self),
            Cow::Owned(text) => Cow::Owned(Self { text, ..self.clone() }),
        }
    }

    /// What stands at `span`; empty when the span lies outside.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Line and column of a byte offset; offsets past the end count as the end.
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.floor(offset);
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts[line - 1];
        Position { line, column: self.text[start..offset].chars().count() + 1 }
    }

    /// `path:line:column` of where a span begins.
    #[must_use]
    pub fn place(&self, span: Span) -> String {
        let Position { line, column } = self.position(span.start);
        format!("{}:{line}:{column}", self.path)
    }

    /// The part of `span` that stands on its first line, so that a caret always fits under it.
    #[must_use]
    pub fn first_line_of(&self, span: Span) -> Span {
        let start = self.floor(span.start);
        let end = self.floor(span.end).max(start);
        let text = &self.text[start..end];
        let line = text.split('\n').next().unwrap_or_default().trim_end();
        Span::new(start, start + line.len())
    }

    fn floor(&self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset.min(self.text.len()))
    }
}

/// Whether a character can hide or reorder what a reader sees: bidirectional controls, as in CVE-2021-42574.
#[must_use]
pub fn reorders_text(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_forbidden(character: char) -> bool {
    let control = character.is_control() && !matches!(character, '\n' | '\r' | '\t' | '\u{85}');
    control || reorders_text(character)
}

/// The text with marks for what may not stand in it, and what to say about each.
fn make_visible(text: &str) -> (String, Vec<Diagnostic>) {
    let mut forbidden = Vec::new();
    let mut visible = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        if !is_forbidden(character) {
            visible.push(character);
            continue;
        }
        let length = character.len_utf8();
        let message = format!("the character U+{:04X} may not stand in a plan", u32::from(character));
        forbidden.push(
            Diagnostic::new(Code::ForbiddenCharacter, Span::new(at, at + length), message)
                .help("control characters and those that reorder text make a plan look like what it is not"),
        );
        visible.push_str(match length {
            1 => "?",
            2 => "??",
            _ => "\u{fffd}",
        });
    }
    (visible, forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("plan.yaml", text, &Diagnostics::default())
    }

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let source = source("a: 1\nclé: 22\n");
        assert_eq!(source.place(Span::new(0, 1)), "plan.yaml:1:1");
        assert_eq!(source.position(source.text().find("22").unwrap_or(0)), Position { line: 2, column: 6 });
        assert_eq!(source.position(10_000), Position { line: 3, column: 1 });
    }

    #[test]
    fn forbidden_characters_are_reported_and_replaced_in_place() {
        let sink = Diagnostics::default();
        let source = Source::new("plan.yaml", "a\0b\u{202e}c\u{1b}[1m\u{9b}", &sink);
        assert_eq!(source.text(), "a?b\u{fffd}c?[1m??");
        assert_eq!(sink.finish().len(), 4);
    }

    #[test]
    fn text_that_is_not_utf8_is_reported_where_it_breaks() {
        let sink = Diagnostics::default();
        Source::from_bytes("plan.yaml", b"a: \xff", &sink);
        let found = sink.finish();
        assert_eq!((found[0].code, found[0].span), (Code::ForbiddenCharacter, Span::new(3, 4)));
    }

    #[test]
    fn a_span_over_many_lines_is_shown_on_its_first() {
        let source = source("key: |\n  one\n  two\n");
        assert_eq!(source.slice(source.first_line_of(Span::new(5, 18))), "|");
    }
}
