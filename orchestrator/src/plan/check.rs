//! All of it in one call: text to a plan that can be run, or to all of its mistakes.

use meshproof_proto::mask::Masker;

use super::compile::{self, Inputs};
use super::compiled::Plan;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::parse;
use super::read::Reading;
use super::render::{self, Look};
use super::source::Source;
use super::yaml;

/// What is wrong with a plan.
#[derive(Debug, Clone)]
pub struct Mistakes {
    /// In the order of the file, at least one.
    pub found: Vec<Diagnostic>,
    /// How many more there are.
    pub left_out: usize,
    /// Takes out secrets that somebody has written into the plan.
    masker: Box<Masker>,
}

impl Mistakes {
    /// What a plan that was read cannot do where it is to run.
    #[must_use]
    pub fn of(found: Vec<Diagnostic>, inputs: &Inputs) -> Self {
        Self { found, left_out: 0, masker: Box::new(inputs.secrets.masker()) }
    }

    /// As people read them.
    #[must_use]
    pub fn render(&self, source: &Source, look: Look) -> String {
        let source = source.covered(&self.masker);
        let found: Vec<Diagnostic> = self.found.iter().map(|found| found.masked(&self.masker)).collect();
        render::diagnostics(&source, &found, self.left_out, look)
    }
}

/// A plan file that was read: its text, for pointing into, and what it says.
#[derive(Debug)]
pub struct Checked {
    pub source: Source,
    pub plan: Result<Plan, Mistakes>,
}

/// Reads the bytes of a plan file. `path` is the one the user gave, for messages.
#[must_use]
pub fn check(path: &str, bytes: &[u8], inputs: &Inputs) -> Checked {
    let sink = Diagnostics::default();
    let source = Source::from_bytes(path, bytes, &sink);
    let plan = {
        let cx = Reading::new(&source, &sink);
        let tree = if source.is_text() { yaml::parse(&source, &sink) } else { None };
        let document = tree.as_ref().and_then(|tree| parse::document(tree, &cx));
        document.and_then(|document| compile::compile(&document, inputs, &cx))
    };
    let plan = plan.filter(|_| sink.is_empty()).ok_or_else(|| {
        let (found, left_out, masker) = (sink.finish(), sink.left_out(), Box::new(inputs.secrets.masker()));
        Mistakes { found, left_out, masker }
    });
    Checked { source, plan }
}

#[cfg(test)]
mod tests;
