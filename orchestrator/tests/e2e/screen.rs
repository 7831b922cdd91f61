//! A terminal that draws what it is told, as a terminal emulator does: what a person sees at a moment is text here.

mod picture;

use std::num::NonZero;
use std::process::Command;
use std::time::Instant;

use crate::detached::OnTerminal;
use crate::session::PATIENCE;

const ROWS: NonZero<u16> = NonZero::new(24).expect("some");
const COLUMNS: NonZero<u16> = NonZero::new(100).expect("some");

/// What a program asks a terminal for: where the cursor is.
const WHERE: &str = "\x1b[6n";

/// A program in the foreground of it.
pub struct Screen {
    terminal: OnTerminal,
    drawn: vt100::Parser,
}

impl Screen {
    pub fn of(command: &Command) -> Self {
        let terminal = OnTerminal::of(command);
        terminal.resize(ROWS.get(), COLUMNS.get());
        Self { terminal, drawn: vt100::Parser::new(ROWS, COLUMNS, 1_000) }
    }

    pub fn press(&mut self, keys: &str) {
        self.terminal.press(keys);
    }

    /// Its end, after which the terminal is as it was.
    pub fn code(&mut self) -> Option<i32> {
        let code = self.terminal.code();
        assert!(self.terminal.is_as_before());
        code
    }

    /// The rows down to the last that is not empty.
    pub fn rows(&self) -> Vec<String> {
        let mut rows: Vec<String> =
            self.drawn.screen().rows(0, COLUMNS.get()).map(|row| row.trim_end().to_owned()).collect();
        while rows.last().is_some_and(String::is_empty) {
            rows.pop();
        }
        rows
    }

    /// As it is now.
    pub fn picture(&self) -> String {
        picture::svg(self.drawn.screen())
    }

    /// Everything that is still shown; the program has ended.
    pub fn drain(&mut self) {
        while let Some(piece) = self.terminal.piece(Instant::now()) {
            self.draw(&piece);
        }
    }

    /// Everything that is shown from now on to the program's end, as it comes.
    pub fn watch_to_its_end(&mut self) -> String {
        let mut told = Vec::new();
        while let Some(piece) = self.terminal.piece_or_end() {
            self.draw(&piece);
            told.extend(piece);
        }
        String::from_utf8_lossy(&told).into_owned()
    }

    /// Waits until the screen is so.
    pub fn until(&mut self, what: &str, is_so: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.rows()) {
            let Some(piece) = self.terminal.piece(deadline) else {
                panic!("waited for {what}, in vain:\n{}", self.rows().join("\n"))
            };
            self.draw(&piece);
        }
    }

    pub fn shows(&mut self, what: &str) {
        self.until(&format!("`{what}`"), |rows| rows.iter().any(|row| row.contains(what)));
    }

    fn draw(&mut self, piece: &[u8]) {
        let mut rest = String::from_utf8_lossy(piece).into_owned();
        while let Some((before, after)) = rest.split_once(WHERE) {
            self.drawn.process(before.as_bytes());
            let (row, column) = self.drawn.screen().cursor_position();
            self.terminal.press(&format!("\x1b[{};{}R", row + 1, column + 1));
            rest = after.to_owned();
        }
        self.drawn.process(rest.as_bytes());
    }
}
