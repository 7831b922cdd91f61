//! Lanes on the terminal, below the lines that scroll away.
//!
//! The cursor rests on an empty line *above* the lanes. So everything below it is lanes, whatever has become of them: a window that was
//! made narrower may have broken each into several rows, or have cut it, and nobody can know which. One "clear to the end" takes all of it
//! away. And whoever else writes a line to the terminal meanwhile writes it where it belongs.

use std::fmt::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::lanes::Lanes;
use super::write_stderr;
use crate::record::Happening;
use crate::report::style::Style;

/// How often lanes that wait are drawn again.
const TICK: Duration = Duration::from_millis(100);

/// Lines that come faster than this are not each followed by all lanes: these come once there is a moment.
const BREATH: Duration = Duration::from_millis(10);

/// To the beginning of the line, and everything from there on away.
const CLEAR: &str = "\r\x1b[J";

/// Lanes, and the thread that draws them while nothing else happens.
#[derive(Debug)]
pub(super) struct Board {
    shared: Arc<Shared>,
    ticking: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    drawing: Mutex<Drawing>,
    changed: Condvar,
}

#[derive(Debug)]
struct Drawing {
    lanes: Lanes,
    /// When, and in a window of which size, they were drawn that are on the terminal now.
    drawn: Option<(Instant, (usize, usize))>,
    /// When they were drawn the last time, whether they are there still or not.
    last: Option<Instant>,
    is_over: bool,
}

/// Takes the lanes off the terminal, from wherever; what comes later is not drawn.
#[derive(Clone, Debug, Default)]
pub struct Curtain(Option<Arc<Shared>>);

impl Curtain {
    /// A terminal that takes nothing any more has nothing to be taken off.
    pub fn fall(&self) {
        if let Some(shared) = &self.0 {
            shared.end();
        }
    }
}

impl Board {
    pub(super) fn new(style: Style) -> Self {
        let lanes = Lanes::new(style, Instant::now());
        let drawing = Drawing { lanes, drawn: None, last: None, is_over: false };
        let shared = Arc::new(Shared { drawing: Mutex::new(drawing), changed: Condvar::new() });
        let ticking = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.tick()
        });
        Self { shared, ticking: Some(ticking) }
    }

    pub(super) fn curtain(&self) -> Curtain {
        Curtain(Some(Arc::clone(&self.shared)))
    }

    /// Shows what a record changes in the lanes, and its text above them.
    pub(super) fn show(&self, what: &Happening, text: Option<&str>) {
        let now = Instant::now();
        let mut drawing = self.shared.drawing();
        drawing.lanes.take(what, now);
        let were_there = drawing.drawn.is_some();
        drawing.draw(now, (window(), text));
        // they come back before the next tick
        if were_there && drawing.drawn.is_none() {
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(ticking) = self.ticking.take() {
            // one that panicked has said so
            let _ = ticking.join();
        }
    }
}

impl Shared {
    fn drawing(&self) -> MutexGuard<'_, Drawing> {
        self.drawing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let mut drawing = self.drawing();
        drawing.is_over = true;
        drawing.draw(Instant::now(), (None, None));
        self.changed.notify_one();
    }

    fn tick(&self) {
        let mut drawing = self.drawing();
        while !drawing.is_over {
            let wait = if drawing.drawn.is_none() && drawing.last.is_some() { BREATH } else { TICK };
            drawing = match self.changed.wait_timeout(drawing, wait) {
                Ok((drawing, _)) => drawing,
                Err(poisoned) => poisoned.into_inner().0,
            };
            let (now, window) = (Instant::now(), window());
            if drawing.is_stale(window) {
                drawing.draw(now, (window, None));
            }
        }
    }
}

impl Drawing {
    /// Whether what is on the terminal is not what should be.
    fn is_stale(&self, window: Option<(usize, usize)>) -> bool {
        self.lanes.are_busy() || self.drawn.map(|(_, size)| size) != window
    }

    /// Writes the text, with the lanes below it.
    fn draw(&mut self, now: Instant, (window, text): (Option<(usize, usize)>, Option<&str>)) {
        let written = self.written(now, (window, text));
        if !written.is_empty() {
            write_stderr(&written);
        }
    }

    fn written(&mut self, now: Instant, (window, text): (Option<(usize, usize)>, Option<&str>)) -> String {
        let mut written = String::new();
        let has_breath = self.last.is_none_or(|last| now.saturating_duration_since(last) >= BREATH);
        // what has no text and no time is drawn by the next tick
        if text.is_none() && !has_breath && !self.is_over {
            return written;
        }
        if self.drawn.take().is_some() {
            written += CLEAR;
        }
        written += text.unwrap_or_default();
        let Some(size) = window.filter(|_| has_breath && !self.is_over) else { return written };
        let rows = self.lanes.rows(now, (size.0, size.1.saturating_sub(2)));
        if !rows.is_empty() {
            rows.iter().for_each(|row| written.extend(["\n", row]));
            // writing to a String cannot fail
            let _ = write!(written, "\x1b[{}A\r", rows.len());
        }
        (self.drawn, self.last) = (Some((now, size)), Some(now));
        written
    }
}

/// Columns and rows of the terminal; none: it is none, and nothing is drawn there.
fn window() -> Option<(usize, usize)> {
    let (columns, rows) = terminal_size::terminal_size_of(std::io::stderr())?;
    Some((columns.0.into(), rows.0.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(agents: &[&str], now: Instant) -> Drawing {
        let mut lanes = Lanes::new(Style::Plain, now);
        for name in agents {
            let name = name.parse().expect("a name");
            lanes.take(&Happening::AgentJoined { name, path: "direct".to_owned(), rtt_us: 1 }, now);
        }
        Drawing { lanes, drawn: None, last: None, is_over: false }
    }

    #[test]
    fn whatever_is_below_the_cursor_is_cleared_before_anything_is_written_and_lanes_are_drawn_below_it() {
        let mut now = Instant::now();
        let mut drawing = drawing(&["ledger", "shop"], now);
        let window = Some((80, 24));
        assert_eq!(drawing.written(now, (window, Some("one\n"))), "one\n\n   ledger -\n     shop -\x1b[2A\r");
        assert_eq!(
            drawing.written(now, (window, Some("two\n"))),
            "\r\x1b[Jtwo\n",
            "lines that come at once have no lanes between"
        );
        assert_eq!(drawing.written(now, (window, Some("three\n"))), "three\n", "there is nothing to clear");
        now += BREATH;
        assert_eq!(drawing.written(now, (window, None)), "\n   ledger -\n     shop -\x1b[2A\r");
        now += BREATH;
        assert_eq!(drawing.written(now, (Some((10, 3)), None)), "\r\x1b[J\n        …\x1b[1A\r", "a small window");
        drawing.is_over = true;
        assert_eq!(drawing.written(now, (window, None)), "\r\x1b[J");
        assert_eq!(drawing.written(now, (window, Some("end\n"))), "end\n");
    }

    #[test]
    fn where_there_is_no_terminal_only_lines_are_written() {
        let now = Instant::now();
        let mut drawing = drawing(&["shop"], now);
        assert_eq!(drawing.written(now, (None, Some("one\n"))), "one\n");
        assert!(!drawing.is_stale(None), "nothing is drawn again and again");
    }
}
