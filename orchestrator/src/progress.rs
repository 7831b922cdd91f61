//! What people see of a run while it goes on: a reader of its records that writes lines, and on a terminal keeps a live lane
//! for each agent below them. Nothing here decides anything, and nothing is known here that no record says.

mod board;
mod lanes;
mod manner;
mod tally;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use meshproof_proto::event::Fact;
use meshproof_proto::mask::Masker;
use meshproof_proto::verdict::Verdict;

use crate::plan::Source;
use crate::record::{Ending, Happening, Record};
use crate::report::lines::Lines;
use board::Board;
pub use board::Curtain;
use manner::{Manner, Records, Show, Surroundings};
pub use tally::FailureOutput;
use tally::Tally;

/// How a run is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// `tty` where there is one, else `plain`.
    #[default]
    Auto,
    /// Lines, and a live lane for each agent below them.
    Tty,
    /// Lines.
    Plain,
    /// The records of the journal, as they are, on standard output; on a terminal people read standard error as with `auto`.
    Json,
    /// Failures and the summary.
    Quiet,
    /// Nothing: whoever started the run reads its journal.
    #[value(skip)]
    Silent,
}

/// Which steps and tests have a line; failures and the summary are shown in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum StatusLevel {
    /// Those that did not pass.
    Fail,
    /// Those that were skipped or not run as well.
    Skip,
    /// Those that passed as well.
    Pass,
    /// And what programs print while they run.
    #[default]
    All,
}

impl StatusLevel {
    /// The level from which on a record has its line.
    fn of(what: &Happening) -> Self {
        match what {
            Happening::StepEnded { ending: Ending::Pass, .. } => Self::Pass,
            Happening::StepEnded { ending: Ending::Skipped, .. } | Happening::TestNotRun { .. } => Self::Skip,
            Happening::TestEnded { verdict: Verdict::Pass, .. } => Self::Pass,
            Happening::Fact(Fact::Printed { .. }) => Self::All,
            _ => Self::Fail,
        }
    }
}

/// Shows the records of a run: to standard error, except JSON, which goes to standard output.
#[derive(Debug)]
pub struct Progress {
    lines: Lines,
    board: Option<Board>,
    show: Show,
    records: Records,
    /// What kept the first record from standard output that nobody has.
    unwritten: Option<io::Error>,
    level: StatusLevel,
    failure_output: FailureOutput,
    tally: Tally,
}

impl Progress {
    /// `out` is the folder of the run's reports, to be named at the end; empty, if it is on another machine.
    #[must_use]
    pub fn new(mode: Mode, source: Arc<Source>, out: PathBuf) -> Self {
        let Manner { show, records, style } = Manner::of(mode, &Surroundings::of_this_process());
        let board = (show == Show::Live).then(|| Board::new(style));
        let (lines, level) = (Lines::new(source, out, style), StatusLevel::default());
        let (failure_output, tally) = (FailureOutput::default(), Tally::default());
        Self { lines, board, show, records, unwritten: None, level, failure_output, tally }
    }

    /// Shows fewer lines than all.
    #[must_use]
    pub fn with_level(self, level: StatusLevel) -> Self {
        Self { level, ..self }
    }

    /// Shows what is known of failures when this says.
    #[must_use]
    pub fn with_failure_output(self, failure_output: FailureOutput) -> Self {
        Self { failure_output, ..self }
    }

    /// What takes the lanes off the terminal for good.
    #[must_use]
    pub fn curtain(&self) -> Curtain {
        self.board.as_ref().map(Board::curtain).unwrap_or_default()
    }

    /// Shows one record. That it cannot be written does not end the run: a terminal may be closed; what records are written to, and is full,
    /// is told at the end.
    /// Records are masked already; lines also show the plan, whose writer may have put a secret there.
    pub fn show(&mut self, record: &Record, masker: &Masker) {
        if self.records == Records::Stdout {
            self.show_json(record);
        }
        let what = &record.entry.what;
        let text = match self.show {
            Show::Nothing => return,
            Show::Live | Show::Lines if StatusLevel::of(what) > self.level => {
                self.tally.shown(what, None, self.failure_output)
            }
            Show::Live | Show::Lines => self.tally.shown(what, self.lines.of(&record.entry), self.failure_output),
            Show::Failures => {
                // what did not pass is listed at the end, and has no line before
                let text = self.tally.shown(what, self.lines.of(&record.entry), self.failure_output);
                text.filter(|_| matches!(what, Happening::Failure(_) | Happening::RunEnded { .. }))
            }
        };
        let text = text.map(|text| masker.mask(&text).into_owned());
        match &self.board {
            Some(board) => board.show(what, text.as_deref()),
            None => text.into_iter().for_each(|text| write_stderr(&text)),
        }
    }

    fn show_json(&mut self, record: &Record) {
        if let (None, Ok(mut line)) = (&self.unwritten, crate::journal::line(record)) {
            line.push(b'\n');
            self.unwritten = crate::say::out_bytes(&line).err();
        }
    }

    /// Why records are missing on standard output, if they are: who reads no more misses none.
    pub fn unwritten(&mut self) -> Option<io::Error> {
        self.unwritten.take()
    }
}

/// Whether a run that is shown like this has live lanes, where this process shows it.
#[must_use]
pub fn is_live(mode: Mode) -> bool {
    Manner::of(mode, &Surroundings::of_this_process()).show == Show::Live
}

fn write_stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_shows_what_the_one_before_does_and_one_thing_more() {
        let ended = |verdict| Happening::TestEnded { test: "t".to_owned(), verdict, duration_ms: 1.0 };
        let not_run = Happening::TestNotRun { test: "t".to_owned(), why: String::new() };
        let said = Happening::Said { text: String::new() };
        let levels = [ended(Verdict::Fail), said, not_run, ended(Verdict::Pass)].map(|what| StatusLevel::of(&what));
        assert_eq!(levels, [StatusLevel::Fail, StatusLevel::Fail, StatusLevel::Skip, StatusLevel::Pass]);
        assert!(levels.is_sorted() && levels.iter().all(|level| *level < StatusLevel::default()));
    }
}
