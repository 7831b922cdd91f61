//! How a chat speaks: results on standard output, everything beside them on standard error; to a person who writes a line, above it.

use std::sync::mpsc::SyncSender;

use crate::say;

/// Where lines go.
#[derive(Clone, Debug)]
pub(super) enum Voice {
    /// To both outputs of the process.
    Outputs,
    /// Above the line that is edited.
    Above(SyncSender<String>),
}

impl Voice {
    /// What was asked for. Whether somebody reads on is not for a chat to mind.
    pub(super) fn result(&self, text: &str) {
        if !self.is_above(text) {
            let _ = say::out(text);
        }
    }

    /// What stands beside it.
    pub(super) fn note(&self, line: &str) {
        if !self.is_above(line) {
            say::note(line);
        }
    }

    /// Whether an editor took it: one that has ended takes nothing.
    fn is_above(&self, text: &str) -> bool {
        match self {
            Self::Outputs => false,
            Self::Above(editor) => editor.send(text.trim_end_matches('\n').to_owned()).is_ok(),
        }
    }
}
