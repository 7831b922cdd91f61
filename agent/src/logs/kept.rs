//! Lines that are kept, up to a limit, and the number of those that had to go. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

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
}

impl Lines {
    fn end(&self) -> u64 {
        self.lost + self.kept.len() as u64
    }
}

impl Kept {
    pub(super) fn of(names: impl Iterator<Item = String>) -> Self {
        let empty = |name: String| {
            let lines = Lines { name: Arc::from(name.as_str()), kept: VecDeque::new(), bytes: 0, lost: 0 };
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

    pub(super) fn push(&mut self, log: &str, lines: impl Iterator<Item = Arc<str>>) {
        let Some(log) = self.logs.get_mut(log) else { return };
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
        let of = |log: &Lines| {
            let from = log.kept.len().saturating_sub(lines);
            let line = |text: &Arc<str>| LogLine { log: Arc::clone(&log.name), text: Arc::clone(text) };
            log.kept.range(from..).map(line).collect::<Vec<_>>()
        };
        self.logs.values().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Kept {
        Kept::of(["quiet", "noisy"].map(str::to_owned).into_iter())
    }

    #[test]
    fn lines_are_seen_once_when_each_look_begins_where_the_last_ended() {
        let mut kept = store();
        kept.push("quiet", ["a", "b"].map(Arc::from).into_iter());
        let first = kept.since("*", &Mark::default()).expect("all logs");
        kept.push("noisy", std::iter::once("c".into()));
        let second = kept.since("*", &first.next).expect("all logs");
        let texts = |since: &Since| since.lines.iter().map(|line| line.text.to_string()).collect::<Vec<_>>();
        assert_eq!((texts(&first), texts(&second)), (vec!["a".into(), "b".into()], vec!["c".into()]));
        assert_eq!(kept.since("none", &Mark::default()), None);
    }

    #[test]
    fn past_the_limit_the_noisy_log_loses_its_oldest_lines_and_says_how_many() {
        let mut kept = store();
        kept.push("quiet", std::iter::once("kept".into()));
        kept.push("noisy", std::iter::repeat_n(Arc::from("x".repeat(8)), limits::LOG_LINES + 9));
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
            kept.push("noisy", std::iter::once("x".repeat(limits::LOG_BYTES / 4).into()));
        }
        assert_eq!(kept.since("noisy", &Mark::default()).expect("is there").lost, 6);
    }
}
