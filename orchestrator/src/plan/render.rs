//! Diagnostics as people read them: code, message, the line of the plan with carets, what was expected, what to do.
//! Drawn by miette; [`Look::Plain`] has neither colour nor drawing characters and is the same on every machine.

mod excerpt;

use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan};

use super::diagnostic::Diagnostic;
use super::source::{Source, Span};
use excerpt::Excerpt;

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Colours and drawing characters, for a terminal.
    Fancy,
    /// ASCII without colours, for files and logs.
    Plain,
}

/// Everything that can be drawn over a piece of the plan; also the failures of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Stands in front, if there is one: `MP0107`.
    pub code: Option<String>,
    pub message: String,
    /// Places with what to write under each, if anything; the first is the one that matters.
    pub places: Vec<(Span, String)>,
    pub help: Option<String>,
}

impl From<&Diagnostic> for Picture {
    fn from(diagnostic: &Diagnostic) -> Self {
        let under = diagnostic.expected.as_ref().map(|expected| format!("expected {expected}")).unwrap_or_default();
        let others = diagnostic.labels.iter().map(|label| (label.span, label.text.clone()));
        let place = (diagnostic.span != Span::NOWHERE).then_some((diagnostic.span, under));
        let places = place.into_iter().chain(others);
        Self {
            code: Some(diagnostic.code.to_string()),
            message: diagnostic.message.clone(),
            places: places.collect(),
            help: diagnostic.help.clone(),
        }
    }
}

/// Draws diagnostics one below the other and counts them.
#[must_use]
pub fn diagnostics(source: &Source, found: &[Diagnostic], left_out: usize, look: Look) -> String {
    let mut text: String =
        found.iter().map(|diagnostic| picture(source, &Picture::from(diagnostic), look) + "\n").collect();
    let count = found.len() + left_out;
    let noun = if count == 1 { "mistake" } else { "mistakes" };
    text += &format!("{count} {noun} in {}", source.path());
    if left_out > 0 {
        text += &format!(", {left_out} of them not shown");
    }
    if let Some(first) = found.first() {
        text += &format!("; `meshproof explain {}` says more about the first", first.code);
    }
    text + "\n"
}

/// Draws one picture, ending with a line break.
#[must_use]
pub fn picture(source: &Source, picture: &Picture, look: Look) -> String {
    let theme = match look {
        Look::Fancy => GraphicalTheme::unicode(),
        Look::Plain => {
            GraphicalTheme { characters: miette::ThemeCharacters::ascii(), styles: miette::ThemeStyles::none() }
        }
    };
    let handler =
        GraphicalReportHandler::new_themed(theme).with_links(false).with_width(100).with_context_lines(1).tab_width(2);
    let mut text = String::new();
    match handler.render_report(&mut text, &Drawn::new(source, picture)) {
        Ok(()) => text,
        // A picture that cannot be drawn must not hide the mistake.
        Err(fmt::Error) => {
            let place = picture.places.first().map(|(span, _)| source.place(*span)).unwrap_or_default();
            format!("{place}: {}\n", picture.message)
        }
    }
}

/// The view of a picture that miette draws.
#[derive(Debug)]
struct Drawn<'p> {
    picture: &'p Picture,
    excerpt: Excerpt,
    labels: Vec<LabeledSpan>,
}

impl<'p> Drawn<'p> {
    fn new(source: &Source, picture: &'p Picture) -> Self {
        let excerpt = Excerpt::new(source, picture.places.iter().map(|(span, _)| *span));
        let places = excerpt.shown().zip(&picture.places).enumerate();
        let labels = places.map(|(at, (range, (_, text)))| {
            let text = Some(text.clone()).filter(|text| !text.is_empty());
            match at {
                0 => LabeledSpan::new_primary_with_span(text, range),
                _ => LabeledSpan::new_with_span(text, range),
            }
        });
        let labels = labels.collect();
        Self { picture, excerpt, labels }
    }
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.picture.message)
    }
}

impl std::error::Error for Drawn<'_> {}

impl miette::Diagnostic for Drawn<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.picture.code.as_ref().map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.picture.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.excerpt)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}

#[cfg(test)]
mod tests;
