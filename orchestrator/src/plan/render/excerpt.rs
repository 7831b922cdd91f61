//! A plan as it is drawn: lines that nobody could read are cut around the places that matter.

use std::ops::Range;

use miette::{MietteError, MietteSpanContents, NamedSource, SourceCode, SourceSpan, SpanContents};

use super::super::limits::{MAX_SHOWN_BEFORE, MAX_SHOWN_CHARS};
use super::super::source::{Position, Source, Span};

/// Stands where a line was cut.
const CUT: &str = "...";

/// The text to draw, and where the places stand in it.
#[derive(Debug)]
pub(super) struct Excerpt {
    text: NamedSource<String>,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    /// In the plan, on one line.
    span: Span,
    /// In the plan, whatever was cut.
    position: Position,
    shown: Range<usize>,
}

impl Excerpt {
    pub(super) fn new(source: &Source, spans: impl Iterator<Item = Span>) -> Self {
        let place = |span: Span| {
            let span = source.first_line_of(span);
            Place { span, position: source.position(span.start), shown: span.start..span.end }
        };
        let mut places: Vec<Place> = spans.map(place).collect();
        let text = source.text();
        let long = |line: &str| line.len() > MAX_SHOWN_CHARS;
        let text = if text.split('\n').any(long) { cut(text, &mut places) } else { text.to_owned() };
        Self { text: NamedSource::new(source.path(), text), places }
    }

    /// Where the places stand in the text that is drawn, in their order.
    pub(super) fn shown(&self) -> impl Iterator<Item = Range<usize>> {
        self.places.iter().map(|place| place.shown.clone())
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let read = self.text.read_span(span, before, after)?;
        // Without lines around it, it is asked for where it stands: that is in the plan, not in what is left of the line.
        let place = self.places.iter().find(|place| before == 0 && place.shown.start == span.offset());
        let column = place.map_or(read.column(), |place| place.position.column - 1);
        let name = self.text.name().to_owned();
        let (data, at, line, lines) = (read.data(), *read.span(), read.line(), read.line_count());
        Ok(Box::new(MietteSpanContents::new_named(name, data, at, line, column, lines)))
    }
}

/// Cuts every long line, and moves the places with what is left of it.
fn cut(text: &str, places: &mut [Place]) -> String {
    let mut shown = String::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let here = |place: &Place| (start..end).contains(&place.span.start);
        let focus = places.iter().filter(|place| here(place)).map(|place| place.span.start - start).min();
        let body = line.strip_suffix('\n').unwrap_or(line);
        let window = window(body, focus.unwrap_or(0));
        if window.start > 0 {
            shown.push_str(CUT);
        }
        let moved = |offset: usize| shown.len() + (offset - start).clamp(window.start, window.end) - window.start;
        for place in places.iter_mut().filter(|place| here(place)) {
            place.shown = moved(place.span.start)..moved(place.span.end);
        }
        shown.push_str(&body[window.clone()]);
        if window.end < body.len() {
            shown.push_str(CUT);
        }
        shown.push_str(&line[body.len()..]);
        start = end;
    }
    for place in places.iter_mut().filter(|place| place.span.start >= text.len()) {
        place.shown = shown.len()..shown.len();
    }
    shown
}

/// The part of a line that is shown.
fn window(line: &str, focus: usize) -> Range<usize> {
    if line.len() <= MAX_SHOWN_CHARS {
        return 0..line.len();
    }
    let focus = focus.min(line.len());
    let start = match line[..focus].char_indices().rev().nth(MAX_SHOWN_BEFORE) {
        Some((start, _)) => start,
        None => 0,
    };
    let end = line[start..].char_indices().nth(MAX_SHOWN_CHARS).map_or(line.len(), |(end, _)| start + end);
    start..end
}
