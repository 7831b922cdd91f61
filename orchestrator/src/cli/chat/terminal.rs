//! A person's terminal: a line editor with history and completion, and whatever is said meanwhile above the line that is written.
//!
//! The editor's thread has the terminal while a line is written, and nobody waits for it: what is read goes to the chat, what the
//! chat says goes to the editor. Nothing takes the mouse or another screen, so scrolling back is the terminal's own.

use std::borrow::Cow;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use reedline::{
    ColumnarMenu, Completer, CompletionResult, Emacs, ExternalPrinter, FileBackedHistory, KeyCode, KeyModifiers,
    MenuBuilder as _, Prompt, PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent, ReedlineMenu, Signal, Span,
    Suggestion, default_emacs_keybindings,
};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use super::voice::{Above, Voice};
use crate::chat::complete::{Candidate, Known, Trees, complete};
use crate::console::limits;
use crate::history::state_folder;

/// Lines that are remembered from chat to chat.
const HISTORY: usize = 1_000;

/// What the editor is to print and has not; each may be many lines.
const PRINTED: usize = 4;

const MENU: &str = "words";

/// What is known by name, kept up by the chat.
pub(super) type Names = Arc<Mutex<Known>>;

/// Whether lines can be edited there.
pub(super) fn can_edit() -> bool {
    std::io::stderr().is_terminal()
        && std::io::stdout().is_terminal()
        && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Where a person writes.
pub(super) struct Seat {
    pub(super) lines: mpsc::Receiver<String>,
    pub(super) voice: Voice,
    next: SyncSender<()>,
    _terminal: AsItWas,
}

impl Seat {
    /// The line has been taken; there may be another.
    pub(super) fn go_on(&self) {
        // whoever reads without an editor does not wait for it
        let _ = self.next.try_send(());
    }
}

/// A person writes here from now on.
pub(super) fn sit(trees: Trees, names: Names) -> Seat {
    let (written, lines) = mpsc::channel(limits::LINES);
    let (next, goes_on) = sync_channel(1);
    let printer = ExternalPrinter::new(PRINTED);
    let voice = Voice::Above(Above::new(printer.sender()));
    let terminal = AsItWas(tcgetattr(std::io::stdin()).ok());
    std::thread::spawn(move || {
        let mut editor = editor(Words { trees, names }).with_external_printer(printer);
        loop {
            match editor.read_line(&Sign) {
                Ok(Signal::Success(line)) => {
                    // a history that cannot be kept is this chat's alone
                    let _ = editor.sync_history();
                    // after the last line the terminal is left alone
                    if written.blocking_send(line).is_err() || goes_on.recv().is_err() {
                        return;
                    }
                }
                // an empty line again, as in shells
                Ok(Signal::CtrlC) => {}
                Ok(_) => return,
                // a terminal that does not say where its cursor is; what is said goes there without the editor
                Err(_) => {
                    drop(editor);
                    return unedited(&written);
                }
            }
        }
    });
    Seat { lines, voice, next, _terminal: terminal }
}

/// A terminal as it was before: an editor that is ended from outside does not put it back.
struct AsItWas(Option<Termios>);

impl Drop for AsItWas {
    fn drop(&mut self) {
        if let Some(modes) = &self.0 {
            // one that is gone needs nothing
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, modes);
        }
    }
}

fn unedited(written: &mpsc::Sender<String>) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        if written.blocking_send(line).is_err() {
            return;
        }
    }
}

fn editor(words: Words) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let next = ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, next);
    let menu = Box::new(ColumnarMenu::default().with_name(MENU));
    let editor = Reedline::create()
        .with_completer(Box::new(words))
        .with_quick_completions(true)
        .with_ansi_colors(std::env::var_os("NO_COLOR").is_none())
        .with_menu(ReedlineMenu::EngineCompleter(menu))
        .with_edit_mode(Box::new(Emacs::new(keys)));
    // without a place for it there is only this chat's
    match history().and_then(|path| FileBackedHistory::with_file(HISTORY, path).ok()) {
        Some(history) => editor.with_history(Box::new(history)),
        None => editor,
    }
}

/// Lines may hold what others should not read, so its folder is its owner's alone.
fn history() -> Option<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let folder = state_folder()?.join("chat");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    Some(folder.join("history"))
}

struct Words {
    trees: Trees,
    names: Names,
}

impl Completer for Words {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let known = self.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let found = line.get(..pos).map(|before| complete(before, &known, &self.trees)).unwrap_or_default();
        let suggestion = |Candidate { from, word, about }: Candidate| Suggestion {
            value: word,
            description: Some(about).filter(|about| !about.is_empty()),
            span: Span::new(from, pos),
            append_whitespace: true,
            ..Suggestion::default()
        };
        CompletionResult::fresh(found.into_iter().map(suggestion).collect::<Vec<_>>())
    }
}

/// `> `
struct Sign;

impl Prompt for Sign {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("> ")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed(": ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!("(history: {}) ", search.term))
    }
}
