//! What every reader needs: the text that is read, and where mistakes go.

use crate::plan::diagnostic::{Diagnostic, Diagnostics};
use crate::plan::source::Source;

/// One reading of one plan.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'s> {
    pub source: &'s Source,
    sink: &'s Diagnostics,
}

impl<'s> Reading<'s> {
    #[must_use]
    pub fn new(source: &'s Source, sink: &'s Diagnostics) -> Self {
        Self { source, sink }
    }

    /// Takes a mistake.
    pub fn report(&self, diagnostic: Diagnostic) {
        self.sink.report(diagnostic);
    }

    /// Whether there was no mistake so far.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.sink.is_empty()
    }
}
