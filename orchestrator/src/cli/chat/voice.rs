//! How a chat speaks: results on standard output, everything beside them on standard error; to a person who writes a line, above it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SendError, SyncSender};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::console::limits::SAID;
use crate::report::table;
use crate::say;
use crate::web::wire::{Kind, ToPage};

/// What the editor is given at once: it draws its line anew each time.
const AT_ONCE_BYTES: usize = 16 * 1024;

/// How often whoever says very much looks for room.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where lines go.
#[derive(Clone, Debug)]
pub(super) enum Voice {
    /// To both outputs of the process.
    Outputs,
    /// Above the line that is edited.
    Above(Above),
    /// To a page.
    Page(PageVoice),
}

/// What is said above the line that is edited. The editor takes nothing while it waits for its next line, so whoever speaks does not wait for it:
/// one thread hands on what was said, as much as there is at once.
#[derive(Clone, Debug)]
pub(super) struct Above {
    said: mpsc::Sender<String>,
}

impl Above {
    pub(super) fn new(editor: SyncSender<String>) -> Self {
        let (said, mut saying) = mpsc::channel::<String>(SAID);
        std::thread::spawn(move || {
            while let Some(mut text) = saying.blocking_recv() {
                while text.len() < AT_ONCE_BYTES
                    && let Ok(more) = saying.try_recv()
                {
                    text.push('\n');
                    text.push_str(&more);
                }
                // an editor that has ended takes nothing
                if let Err(SendError(text)) = editor.send(text) {
                    let _ = say::out(&format!("{text}\n"));
                }
            }
        });
        Self { said }
    }

    fn say(&self, text: &str) {
        // there is room: whoever says very much waits for it
        if let Err(error) = self.said.try_send(text.trim_end_matches('\n').to_owned()) {
            let _ = say::out(&format!("{}\n", error.into_inner()));
        }
    }

    /// Until half of what can wait is free, which is for those who cannot.
    async fn room(&self) {
        while self.said.capacity() < SAID / 2 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
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
    /// Those of the terminal; a page breaks lines itself.
    pub(super) fn columns(&self) -> usize {
        match self {
            Self::Page(_) => usize::MAX,
            Self::Above(_) | Self::Outputs => table::columns(),
        }
    }

    /// What was asked for. Whether somebody reads on is not for a chat to mind.
    pub(super) fn result(&self, text: &str) {
        match self {
            Self::Page(page) => page.say(Kind::Result, text),
            Self::Above(above) => above.say(text),
            Self::Outputs => drop(say::out(text)),
        }
    }

    /// The same of one of very many lines: once there is room for it.
    pub(super) async fn result_of_many(&self, text: &str) {
        if let Self::Above(above) = self {
            above.room().await;
        }
        self.result(text);
    }

    /// What stands beside it.
    pub(super) fn note(&self, line: &str) {
        match self {
            Self::Page(page) => page.say(Kind::Note, line),
            Self::Above(above) => above.say(line),
            Self::Outputs => say::note(line),
        }
    }
}
