//! How a chat speaks: results on standard output, everything beside them on standard error; to a person who writes a line, above it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use tokio::sync::mpsc;

use crate::say;
use crate::web::wire::{Kind, ToPage};

/// Where lines go.
#[derive(Clone, Debug)]
pub(super) enum Voice {
    /// To both outputs of the process.
    Outputs,
    /// Above the line that is edited.
    Above(SyncSender<String>),
    /// To a page.
    Page(PageVoice),
}

/// What is said to a page. One that takes nothing more is told how much it missed, and holds nobody up.
#[derive(Clone, Debug)]
pub(super) struct PageVoice {
    to_page: mpsc::Sender<ToPage>,
    missed: Arc<AtomicU64>,
}

impl PageVoice {
    pub(super) fn new(to_page: mpsc::Sender<ToPage>) -> Self {
        Self { to_page, missed: Arc::default() }
    }

    fn say(&self, kind: Kind, text: &str) {
        let missed = self.missed.swap(0, Ordering::Relaxed);
        let text = match missed {
            0 => text.to_owned(),
            missed => format!("({missed} more were not shown here)\n{text}"),
        };
        if self.to_page.try_send(ToPage::Said { kind, text }).is_err() {
            self.missed.fetch_add(missed + 1, Ordering::Relaxed);
        }
    }
}

impl Voice {
    /// What was asked for. Whether somebody reads on is not for a chat to mind.
    pub(super) fn result(&self, text: &str) {
        if let Self::Page(page) = self {
            page.say(Kind::Result, text);
        } else if !self.is_above(text) {
            let _ = say::out(text);
        }
    }

    /// What stands beside it.
    pub(super) fn note(&self, line: &str) {
        if let Self::Page(page) = self {
            page.say(Kind::Note, line);
        } else if !self.is_above(line) {
            say::note(line);
        }
    }

    /// Whether an editor took it: one that has ended takes nothing.
    fn is_above(&self, text: &str) -> bool {
        match self {
            Self::Outputs | Self::Page(_) => false,
            Self::Above(editor) => editor.send(text.trim_end_matches('\n').to_owned()).is_ok(),
        }
    }
}
