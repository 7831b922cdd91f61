//! Reading all files to their ends, in turns, so that a writer that is faster than we are keeps us from nothing else.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::kept::Kept;
use super::lock;
use super::tail::{Found, Tail};
use crate::limits;

/// The files, and where their lines go.
#[derive(Debug)]
pub(super) struct Files {
    readings: Vec<Reading>,
    kept: Arc<Mutex<Kept>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Reading {
    log: String,
    tail: Tail,
    /// Bytes to read in this pass; none: it is done.
    left: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Pass {
    GoesOn,
    Done,
}

impl Files {
    pub(super) fn of(
        tails: impl Iterator<Item = (String, Tail)>,
        kept: Arc<Mutex<Kept>>,
        changed: watch::Sender<u64>,
    ) -> Self {
        let reading = |(log, tail)| Reading { log, tail, left: None };
        Self { readings: tails.map(reading).collect(), kept, changed }
    }

    /// Reads every log to the end that it has when the pass begins.
    pub(super) async fn read_to_end(self) -> Self {
        let (mut files, mut pass) = self.in_thread(Self::begin).await;
        while pass == Pass::GoesOn {
            (files, pass) = files.in_thread(Self::turn).await;
        }
        files
    }

    async fn in_thread(mut self, work: fn(&mut Self) -> Pass) -> (Self, Pass) {
        let worked = spawn_blocking(move || {
            let pass = work(&mut self);
            (self, pass)
        });
        worked.await.expect("reading a file panics nowhere, and nobody aborts it")
    }

    fn begin(&mut self) -> Pass {
        for reading in &mut self.readings {
            reading.left = Some(reading.tail.length());
        }
        self.turn()
    }

    /// Reads a bounded number of bytes, a piece of each log after the other.
    fn turn(&mut self) -> Pass {
        let mut bytes = 0;
        while bytes < limits::LOG_TURN_BYTES {
            let open: Vec<_> = self.readings.iter_mut().filter(|reading| reading.left.is_some()).collect();
            if open.is_empty() {
                return Pass::Done;
            }
            for reading in open {
                let mut lines = Vec::new();
                bytes += reading.piece(&mut lines);
                let mut lines = lines.into_iter().peekable();
                while lines.peek().is_some() {
                    let some = lines.by_ref().take(limits::LOG_LINES_AT_ONCE);
                    lock(&self.kept).push(&reading.log, some, Instant::now());
                    self.changed.send_modify(|count| *count += 1);
                }
            }
        }
        Pass::GoesOn
    }
}

impl Reading {
    /// Gives the number of bytes that were read.
    fn piece(&mut self, lines: &mut Vec<Arc<str>>) -> u64 {
        let Some(left) = self.left else { return 0 };
        match self.tail.read(lines) {
            Found::End => {
                self.left = None;
                0
            }
            Found::Rotated => {
                self.left = Some(self.tail.length());
                0
            }
            Found::Bytes(count) => {
                // What came meanwhile is for the next pass: there may always be more.
                self.left = left.checked_sub(count).filter(|left| *left > 0);
                count
            }
        }
    }
}
