//! What was begun in this chat: each a thread with a short id, one status line, and what there is to read of it.

use std::collections::BTreeMap;
use std::fmt;

/// So many are remembered; what is older is in the terminal's scrollback and, if it was done, in the run's journal.
const KEPT: usize = 200;

/// The number of a thread: `t3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ThreadId(u32);

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("t{}", self.0))
    }
}

impl ThreadId {
    /// Which it is in its chat, from 1.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0.into()
    }

    /// Of `t3`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_prefix('t')?.parse().ok().map(Self)
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// What was written.
    pub line: String,
    pub state: State,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    GoesOn,
    /// In one line, and what came.
    Ended {
        status: String,
        detail: String,
    },
}

/// All of them.
#[derive(Debug, Default)]
pub struct Threads {
    last: u32,
    of: BTreeMap<ThreadId, Thread>,
}

impl Threads {
    /// One more begins.
    pub fn begin(&mut self, line: &str) -> ThreadId {
        self.last += 1;
        let id = ThreadId(self.last);
        self.of.insert(id, Thread { line: line.to_owned(), state: State::GoesOn });
        while self.of.len() > KEPT {
            // Those that go on are few, and not forgotten.
            let ended = self.of.iter().find(|(_, thread)| thread.state != State::GoesOn).map(|(id, _)| *id);
            match ended {
                Some(id) => drop(self.of.remove(&id)),
                None => break,
            }
        }
        id
    }

    /// It has come to this.
    pub fn end(&mut self, id: ThreadId, status: impl Into<String>, detail: impl Into<String>) {
        if let Some(thread) = self.of.get_mut(&id) {
            thread.state = State::Ended { status: status.into(), detail: detail.into() };
        }
    }

    /// The thread of that number.
    #[must_use]
    pub fn get(&self, id: ThreadId) -> Option<&Thread> {
        self.of.get(&id)
    }

    /// Those that go on.
    pub fn going(&self) -> impl Iterator<Item = (ThreadId, &Thread)> {
        self.of.iter().filter(|(_, thread)| thread.state == State::GoesOn).map(|(id, thread)| (*id, thread))
    }

    /// A line for each, the oldest first.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.of.iter().map(|(id, Thread { line, state })| match state {
            State::GoesOn => format!("{id:>4}  {line}  … goes on\n"),
            State::Ended { status, .. } => format!("{id:>4}  {line}  {status}\n"),
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_short_ids_a_line_each_and_the_oldest_that_ended_are_forgotten() {
        let mut threads = Threads::default();
        let first = threads.begin("@shop ping");
        let second = threads.begin("/run plan.yaml");
        threads.end(first, "pong in 0.2 ms", "");
        assert_eq!(threads.text(), "  t1  @shop ping  pong in 0.2 ms\n  t2  /run plan.yaml  … goes on\n");
        assert_eq!(threads.going().map(|(id, _)| id.to_string()).collect::<Vec<_>>(), ["t2"]);
        for _ in 0..2 * KEPT {
            let id = threads.begin("@shop ping");
            threads.end(id, "pong", "");
        }
        assert_eq!((threads.get(first), threads.of.len()), (None, KEPT));
        assert!(threads.get(second).is_some(), "it goes on");
        assert_eq!(ThreadId::parse("t2"), Some(second));
        assert_eq!([ThreadId::parse("f2"), ThreadId::parse("t"), ThreadId::parse("t-1")], [None; 3]);
    }
}
