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
        let mut rows: Vec<String> = self
            .drawn
            .screen()
            .rows(0, self.drawn.screen().size().1.get())
            .map(|row| row.trim_end().to_owned())
            .collect();
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

    /// The window gets other columns; what stands in it is broken into rows anew, as most terminals do, and the cursor stays with its line.
    pub fn reflow(&mut self, columns: NonZero<u16>) {
        let before = self.drawn.screen();
        let (row, column) = before.cursor_position();
        let rows: Vec<String> = before.rows(0, before.size().1.get()).map(|row| row.trim_end().to_owned()).collect();
        let last = rows.iter().rposition(|row| !row.is_empty()).unwrap_or_default().max(usize::from(row));
        let height = |row: &str| row.chars().count().div_ceil(usize::from(columns.get())).max(1);
        let above: usize = rows.iter().take(usize::from(row)).map(|row| height(row)).sum();
        let below: usize = rows[usize::from(row)..=last].iter().map(|row| height(row)).sum();
        let scrolled = (above + below).saturating_sub(usize::from(ROWS.get()));
        let mut after = vt100::Parser::new(ROWS, columns, 1_000);
        after.process(rows[..=last].join("\r\n").as_bytes());
        let place = above.saturating_sub(scrolled) + usize::from(column / columns.get());
        after.process(format!("\x1b[{};{}H", place + 1, column % columns.get() + 1).as_bytes());
        self.drawn = after;
        self.terminal.resize(ROWS.get(), columns.get());
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
