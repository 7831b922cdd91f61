//! What is wrong with a plan, and where. Reading never stops at the first mistake: it reports into a [`Diagnostics`] and goes on.

use std::cell::{Cell, RefCell};

use meshproof_proto::mask::Masker;

use super::code::Code;
use super::limits::{MAX_DIAGNOSTICS, MAX_QUOTED_CHARS};
use super::source::Span;
use super::suggest;

/// Ends a quotation that is shorter than what it quotes.
const SHORTENED: char = '…';

/// One mistake in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub code: Code,
    /// What the caret points at.
    pub span: Span,
    /// What was found, in one line, lower case, without a full stop.
    pub message: String,
    /// What belongs there; stands under the caret.
    pub expected: Option<String>,
    /// What to do; stands below the text.
    pub help: Option<String>,
    /// Other places that matter.
    pub labels: Vec<Label>,
}

/// A second place that explains the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

impl Diagnostic {
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { code, span, message: message.into(), expected: None, help: None, labels: Vec::new() }
    }

    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds `did you mean …?` when one of the known words is near the one found.
    #[must_use]
    pub fn did_you_mean<'k>(mut self, found: &str, known: impl IntoIterator<Item = &'k str>) -> Self {
        if let Some(near) = suggest::nearest(found, known) {
            self.help = Some(format!("did you mean `{near}`?"));
        }
        self
    }

    /// As it may be shown.
    #[must_use]
    pub fn masked(&self, masker: &Masker) -> Self {
        let text = |text: &String| without_secrets(text, masker);
        let label = |label: &Label| Label { span: label.span, text: text(&label.text) };
        Self {
            message: text(&self.message),
            expected: self.expected.as_ref().map(text),
            help: self.help.as_ref().map(text),
            labels: self.labels.iter().map(label).collect(),
            ..*self
        }
    }
}

/// A quotation that was shortened may end inside of a secret.
fn without_secrets(text: &str, masker: &Masker) -> String {
    match text.rsplit_once(SHORTENED) {
        Some((before, last)) => {
            let before: Vec<_> = before.split(SHORTENED).map(|part| masker.mask_cut(part)).collect();
            format!("{}{SHORTENED}{}", before.join("…"), masker.mask(last))
        }
        None => masker.mask(text).into_owned(),
    }
}

/// Where diagnostics are collected. Shared while reading, so that no reader has to hand it back.
#[derive(Debug, Default)]
pub struct Diagnostics {
    found: RefCell<Vec<Diagnostic>>,
    left_out: Cell<usize>,
}

impl Diagnostics {
    /// Takes one. The same thing said twice, as an alias used twice makes it, is kept once.
    pub fn report(&self, diagnostic: Diagnostic) {
        let mut found = self.found.borrow_mut();
        if found.contains(&diagnostic) {
            return;
        }
        if found.len() < MAX_DIAGNOSTICS {
            found.push(diagnostic);
        } else {
            self.left_out.set(self.left_out.get() + 1);
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// How many were found after the limit was reached.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out.get()
    }

    /// All of them, in the order of the file.
    #[must_use]
    pub fn finish(&self) -> Vec<Diagnostic> {
        let mut found = self.found.borrow().clone();
        found.sort_by_key(|diagnostic| (diagnostic.span, diagnostic.code));
        found
    }
}

/// A piece of the user's text for a message: in back-quotes, escaped, shortened.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_QUOTED_CHARS).flat_map(escape).collect();
    if text.chars().nth(MAX_QUOTED_CHARS).is_some() {
        shown.push(SHORTENED);
    }
    format!("`{shown}`")
}

fn escape(character: char) -> Vec<char> {
    match character {
        '\'' | '"' | '\\' => vec![character],
        _ => character.escape_debug().collect(),
    }
}

/// `a`, `b` or `c`, for messages.
pub fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics_come_in_the_order_of_the_file_and_each_once() {
        let sink = Diagnostics::default();
        for at in [7, 3, 7] {
            sink.report(Diagnostic::new(Code::WrongType, Span::new(at, at + 1), "x"));
        }
        let places: Vec<usize> = sink.finish().iter().map(|diagnostic| diagnostic.span.start).collect();
        assert_eq!(places, [3, 7]);
    }

    #[test]
    fn past_the_limit_diagnostics_are_counted() {
        let sink = Diagnostics::default();
        for at in 0..MAX_DIAGNOSTICS + 5 {
            sink.report(Diagnostic::new(Code::WrongType, Span::new(at, at + 1), "x"));
        }
        assert_eq!((sink.finish().len(), sink.left_out()), (MAX_DIAGNOSTICS, 5));
    }

    #[test]
    fn quoted_text_is_escaped_and_shortened() {
        assert_eq!(quote("a\u{1b}\n\"b\""), "`a\\u{1b}\\n\"b\"`");
        assert!(quote(&"x".repeat(1000)).chars().count() < 70);
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
