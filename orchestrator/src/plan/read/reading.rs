//! What every reader needs: the text that is read, and where mistakes go.

use std::cell::RefCell;

use crate::plan::diagnostic::{Diagnostic, Diagnostics};
use crate::plan::source::{Source, Span};

/// One reading of one plan.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'s> {
    pub source: &'s Source,
    sink: &'s Diagnostics,
    listener: Option<&'s RefCell<Vec<Heard>>>,
}

/// One map that was read key by key: what the grammar knows of such maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What the map is: `a stub`.
    pub noun: &'static str,
    pub span: Span,
    /// Keys that were asked for.
    pub keys: Vec<&'static str>,
    /// Those that must be there.
    pub needed: Vec<&'static str>,
}

impl<'s> Reading<'s> {
    #[must_use]
    pub fn new(source: &'s Source, sink: &'s Diagnostics) -> Self {
        Self { source, sink, listener: None }
    }

    /// A reading whose grammar is wanted too.
    #[must_use]
    pub fn overheard(source: &'s Source, sink: &'s Diagnostics, listener: &'s RefCell<Vec<Heard>>) -> Self {
        Self { source, sink, listener: Some(listener) }
    }

    /// A map was read.
    pub(super) fn tell(&self, heard: impl FnOnce() -> Heard) {
        if let Some(listener) = self.listener {
            listener.borrow_mut().push(heard());
        }
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
