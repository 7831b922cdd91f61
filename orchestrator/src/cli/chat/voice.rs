//! How a chat speaks: results on standard output, everything beside them on standard error.

use crate::say;

/// Where lines go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voice;

impl Voice {
    /// What was asked for. Whether somebody reads on is not for a chat to mind.
    pub(super) fn result(self, text: &str) {
        let _ = say::out(text);
    }

    /// What stands beside it.
    pub(super) fn note(self, line: &str) {
        say::note(line);
    }
}
