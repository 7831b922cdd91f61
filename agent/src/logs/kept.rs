//! Lines that are kept, up to a limit, and the number of those that had to go. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::limits;

/// A place in every log, so many lines from its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(BTreeMap<String, u64>);

impl Mark {
    /// Lines of all logs up to here.
    pub(crate) fn lines(&self) -> u64 {
        self.0.values().sum()
    }
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub log: Arc<str>,
    /// Without its end, cut to [`limits::LOG_LINE_BYTES`].
    pub text: Arc<str>,
}

/// What came after a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    pub lines: Vec<LogLine>,
    /// Lines that also came after the mark and are no longer kept.
    pub lost: u64,
    /// Behind the last of these lines.
    pub next: Mark,
    /// Whether more lines are there behind these.
    pub more: bool,
}

/// The lines of all logs.
#[derive(Debug)]
pub(super) struct Kept {
    logs: BTreeMap<String, Lines>,
    lines: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Lines {
    name: Arc<str>,
    kept: VecDeque<Arc<str>>,
    bytes: usize,
    /// Lines that came before the first kept one.
    lost: u64,
    /// How many lines there were before those that were read at that time, not more often than [`limits::LOG_TIMES`] says.
    times: VecDeque<(Instant, u64)>,
}

/// The end of some logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    pub lines: Vec<LogLine>,
    /// Lines of these logs before them.
    pub before: u64,
}

impl Lines {
    fn end(&self) -> u64 {
        self.lost + self.kept.len() as u64
    }

    /// Lines are read now.
    fn note_time(&mut self, now: Instant) {
        let is_long_ago = |(last, _): &(Instant, u64)| now.saturating_duration_since(*last) >= limits::LOG_TIMES;
        if self.times.back().is_none_or(is_long_ago) {
            self.times.push_back((now, self.end()));
        }
        // What was read before the first kept line is not asked for.
        while self.times.get(1).is_some_and(|(_, before)| *before <= self.lost) {
            self.times.pop_front();
        }
    }

    fn last(&self, lines: usize) -> Vec<LogLine> {
        let from = self.kept.len().saturating_sub(lines);
        let line = |text: &Arc<str>| LogLine { log: Arc::clone(&self.name), text: Arc::clone(text) };
        self.kept.range(from..).map(line).collect()
    }

    /// How many lines there were before the first that was read after that time.
    fn before(&self, then: Instant) -> u64 {
        let read = self.times.iter().rev().take_while(|(read, _)| *read >= then).last();
        read.map_or_else(|| self.end(), |(_, before)| *before)
    }
}

impl Kept {
    pub(super) fn of(names: impl Iterator<Item = String>) -> Self {
        let empty = |name: String| {
            let kept = VecDeque::new();
            let lines = Lines { name: Arc::from(name.as_str()), kept, bytes: 0, lost: 0, times: VecDeque::new() };
            (name, lines)
        };
        Self { logs: names.map(empty).collect(), lines: 0, bytes: 0 }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.logs.keys().cloned().collect()
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.logs.iter().map(|(name, log)| (name.clone(), log.end())).collect())
    }

    pub(super) fn push(&mut self, log: &str, lines: impl Iterator<Item = Arc<str>>, now: Instant) {
        let Some(log) = self.logs.get_mut(log) else { return };
        log.note_time(now);
        for line in lines {
            log.bytes += line.len();
            self.bytes += line.len();
            self.lines += 1;
            log.kept.push_back(line);
        }
        while self.lines > limits::LOG_LINES || self.bytes > limits::LOG_BYTES {
            self.lose_one();
        }
    }

    /// The log that holds most gives its oldest line, so that a noisy one does not push out a quiet one.
    fn lose_one(&mut self) {
        let largest = self.logs.values_mut().max_by_key(|log| (log.bytes, log.kept.len()));
        if let Some(log) = largest
            && let Some(line) = log.kept.pop_front()
        {
            log.bytes -= line.len();
            log.lost += 1;
            self.bytes -= line.len();
            self.lines -= 1;
        }
    }

    pub(super) fn since(&self, log: &str, mark: &Mark) -> Option<Since> {
        if log != "*" && !self.logs.contains_key(log) {
            return None;
        }
        let mut since = Since { lines: Vec::new(), lost: 0, next: mark.clone(), more: false };
        for (name, lines) in self.logs.iter().filter(|(name, _)| log == "*" || *name == log) {
            let from = mark.0.get(name).copied().unwrap_or(0);
            since.lost += lines.lost.saturating_sub(from);
            let skip = usize::try_from(from.saturating_sub(lines.lost)).unwrap_or(usize::MAX);
            let new = lines.kept.range(skip.min(lines.kept.len())..).take(limits::LOG_LINES_AT_ONCE);
            let next = from.max(lines.lost) + new.len() as u64;
            since.lines.extend(new.map(|text| LogLine { log: Arc::clone(&lines.name), text: Arc::clone(text) }));
            since.more |= next < lines.end();
            since.next.0.insert(name.clone(), next);
        }
        Some(since)
    }

    /// The last so many lines of each log.
    pub(super) fn last(&self, lines: usize) -> Vec<LogLine> {
        self.logs.values().flat_map(|log| log.last(lines)).collect()
    }

    /// The last so many lines of one log or, for `*`, of each, that were read after that time. `None`: there is no such log.
    pub(super) fn last_of(&self, log: &str, lines: usize, then: Option<Instant>) -> Option<Last> {
        if log != "*" && !self.logs.contains_key(log) {
            return None;
        }
        let mut last = Last { lines: Vec::new(), before: 0 };
        for (_, of) in self.logs.iter().filter(|(name, _)| log == "*" || *name == log) {
            let since = then.map_or(0, |then| of.before(then));
            let recent = usize::try_from(of.end() - since).unwrap_or(usize::MAX);
            let lines = of.last(lines.min(recent));
            last.before += of.end() - lines.len() as u64;
            last.lines.extend(lines);
        }
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn push(kept: &mut Kept, log: &str, lines: impl Iterator<Item = Arc<str>>) {
        kept.push(log, lines, Instant::now());
    }

    fn store() -> Kept {
        Kept::of(["quiet", "noisy"].map(str::to_owned).into_iter())
    }

    #[test]
    fn lines_are_seen_once_when_each_look_begins_where_the_last_ended() {
        let mut kept = store();
        push(&mut kept, "quiet", ["a", "b"].map(Arc::from).into_iter());
        let first = kept.since("*", &Mark::default()).expect("all logs");
        push(&mut kept, "noisy", std::iter::once("c".into()));
        let second = kept.since("*", &first.next).expect("all logs");
        let texts = |since: &Since| since.lines.iter().map(|line| line.text.to_string()).collect::<Vec<_>>();
        assert_eq!((texts(&first), texts(&second)), (vec!["a".into(), "b".into()], vec!["c".into()]));
        assert_eq!(kept.since("none", &Mark::default()), None);
    }

    #[test]
    fn past_the_limit_the_noisy_log_loses_its_oldest_lines_and_says_how_many() {
        let mut kept = store();
        push(&mut kept, "quiet", std::iter::once("kept".into()));
        push(&mut kept, "noisy", std::iter::repeat_n(Arc::from("x".repeat(8)), limits::LOG_LINES + 9));
        let mut noisy = kept.since("noisy", &Mark::default()).expect("is there");
        assert_eq!((noisy.lost, noisy.lines.len()), (10, limits::LOG_LINES_AT_ONCE));
        let mut lines = noisy.lines.len();
        while noisy.more {
            noisy = kept.since("noisy", &noisy.next).expect("is there");
            assert_eq!(noisy.lost, 0);
            lines += noisy.lines.len();
        }
        assert_eq!(lines, limits::LOG_LINES - 1);
        assert_eq!(kept.since("noisy", &kept.mark()).expect("is there").lost, 0);
        assert_eq!(kept.since("quiet", &Mark::default()).expect("is there").lost, 0);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut kept = store();
        for _ in 0..10 {
            push(&mut kept, "noisy", std::iter::once("x".repeat(limits::LOG_BYTES / 4).into()));
        }
        assert_eq!(kept.since("noisy", &Mark::default()).expect("is there").lost, 6);
    }

    #[test]
    fn the_last_lines_are_those_that_were_read_since_a_time() {
        let (mut kept, began) = (store(), Instant::now());
        let line = |text: &str| std::iter::once(Arc::from(text));
        for (second, text) in (0..).zip(["a", "b", "c", "d"]) {
            kept.push("quiet", line(text), began + Duration::from_secs(10 * second));
        }
        kept.push("noisy", line("n"), began);
        let last = |log: &str, most, since: Option<u64>| {
            let then = since.map(|second| began + Duration::from_secs(second));
            let last = kept.last_of(log, most, then).expect("it is there");
            let texts: Vec<String> = last.lines.iter().map(|line| line.text.to_string()).collect();
            (texts.join(" "), last.before)
        };
        assert_eq!(last("quiet", 9, None), ("a b c d".to_owned(), 0));
        assert_eq!(last("quiet", 9, Some(11)), ("c d".to_owned(), 2));
        assert_eq!(last("quiet", 1, Some(11)), ("d".to_owned(), 3));
        assert_eq!(last("quiet", 9, Some(31)), (String::new(), 4));
        assert_eq!(last("*", 1, None), ("n d".to_owned(), 3));
        assert_eq!(kept.last_of("none", 1, None), None);
    }
}
