//! Steps that expect something of a log: lines that satisfy every check on lines, and how many there are of them.
//!
//! Lines are judged as they come. What more lines cannot change is told at once; everything else once all that was written
//! before is read, which takes long when a service logs very much.

use std::collections::VecDeque;
use std::pin::pin;

use meshproof_proto::event::{CheckFailure, Evidence, Outcome};
use meshproof_proto::mask::Masker;
use meshproof_proto::matcher::{Actual, Comparison, Matcher, Mismatch};
use meshproof_proto::order::{COUNTED, Check, StepOrder};
use regex::Regex;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::{Attempt, Beside, Clock, Repeat, changed, limits};
use crate::checks;
use crate::evidence::{evidence, masked};
use crate::logs::{LogLine, LogStore, Mark, Since};

/// Fields of checks that every line has to satisfy for itself.
const ON_LINES: [&str; 3] = ["line", "contains", "matches"];

/// Looks at the lines since the run's start, and again whenever there are new ones.
pub(super) async fn run(order: &StepOrder, clock: &Clock, (beside, log): (&Beside, &str)) -> (Attempt, u32) {
    let logs = &beside.logs;
    if let Some(impossible) = impossible(order, logs, log) {
        return (impossible, 1);
    }
    let mut changes = logs.changes();
    let mut count = Count::of(order, (beside, log));
    let mut tries = 0;
    loop {
        tries += 1;
        let read = count.read(logs, &mut changes, clock).await;
        let attempt = match read {
            Read::Settled => Attempt::of(Outcome::Ok, Vec::new()),
            Read::ToEnd => count.attempt(),
            Read::OutOfTime => count.unread(clock),
        };
        if attempt.repeat == Repeat::Useless || clock.left().is_none() {
            return (attempt, tries);
        }
        changed(&mut changes, clock).await;
    }
}

/// Counts the lines since the run's start, and again whenever there are new ones, until there are others than there were.
pub(super) async fn count(
    order: &StepOrder,
    clock: &Clock,
    (beside, log, past): (&Beside, &str, Option<u64>),
) -> (Attempt, u32) {
    let logs = &beside.logs;
    if let Some(impossible) = impossible(order, logs, log) {
        return (impossible, 1);
    }
    let mut changes = logs.changes();
    let mut count = Count { goal: Goal::All, ..Count::of(order, (beside, log)) };
    let mut tries = 0;
    loop {
        tries += 1;
        if count.read(logs, &mut changes, clock).await == Read::OutOfTime {
            return (count.unread(clock), tries);
        }
        let is_other = past != Some(count.satisfying);
        if is_other || clock.left().is_none() {
            if is_other && past.is_some() {
                // what comes together is told together
                tokio::time::sleep(limits::POLL_FIRST).await;
                count.look_at_kept(logs).await;
            }
            return (count.told(), tries);
        }
        changed(&mut changes, clock).await;
    }
}

/// What such a step asks for and no log can give.
pub(super) fn impossible(order: &StepOrder, logs: &LogStore, log: &str) -> Option<Attempt> {
    let odd = order.checks.iter().find(|check| check.field != "count" && !ON_LINES.contains(&check.field.as_str()));
    if let Some(check) = odd {
        return Some(Attempt::impossible(format!("a log has no `{}` to check", check.field)));
    }
    if !order.saves.is_empty() {
        return Some(Attempt::impossible("there is nothing to save of a log"));
    }
    if !logs.names().iter().any(|name| name == log || log == "*") {
        let known = logs.names().join(", ");
        return Some(Attempt::impossible(format!("there is no log `{log}` here; there are: {known}")));
    }
    None
}

/// How far the reading came.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    /// It holds, whatever else there is.
    Settled,
    /// Everything is seen that was written before.
    ToEnd,
    OutOfTime,
}

/// How many lines have to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Until the checks hold, whatever else there is.
    Enough,
    /// Every one.
    All,
}

/// A check on lines, made ready for many of them.
#[derive(Debug)]
enum OnLine<'a> {
    /// Compiled once, not for every line.
    Regex(Regex),
    Other(&'a Matcher),
    /// A check on the number of lines.
    Count(&'a Matcher),
}

impl<'a> OnLine<'a> {
    fn of(check: &'a Check) -> Self {
        match &check.matcher {
            matcher if check.field == "count" => Self::Count(matcher),
            Matcher::Regex(pattern) => Regex::new(pattern).map_or(Self::Other(&check.matcher), Self::Regex),
            matcher => Self::Other(matcher),
        }
    }

    /// Whether the line satisfies it; `None`: it is not about a line.
    fn holds(&self, text: &str) -> Option<bool> {
        match self {
            Self::Regex(regex) => Some(regex.is_match(text)),
            Self::Other(matcher) => Some(matcher.check(&Actual::Text(text.to_owned()), &Value::Null).is_ok()),
            Self::Count(_) => None,
        }
    }

    /// Whether a number of lines that satisfies it stays good when there are more.
    fn takes_more(&self) -> bool {
        match self {
            Self::Count(Matcher::Compare(Comparison::Greater | Comparison::GreaterOrEqual, _)) => true,
            Self::Count(_) => false,
            Self::Regex(_) | Self::Other(_) => true,
        }
    }
}

/// Lines looked at so far. Each is looked at once, so that waiting costs what is new.
pub(super) struct Count<'a> {
    log: &'a str,
    masker: &'a Masker,
    checks: &'a [Check],
    ready: Vec<OnLine<'a>>,
    next: Mark,
    looked: u64,
    satisfying: u64,
    /// For each check on lines, whether some line satisfied it.
    each: Vec<bool>,
    lost: u64,
    goal: Goal,
    last: VecDeque<LogLine>,
    /// The last of the lines that satisfy every check on lines.
    found: VecDeque<LogLine>,
}

impl<'a> Count<'a> {
    /// Counts from this place on.
    pub(super) fn from(order: &'a StepOrder, (beside, log): (&'a Beside, &'a str), mark: Mark) -> Self {
        Self { next: mark, ..Self::of(order, (beside, log)) }
    }

    fn of(order: &'a StepOrder, (beside, log): (&'a Beside, &'a str)) -> Self {
        Self {
            log,
            masker: &beside.masker,
            checks: &order.checks,
            ready: order.checks.iter().map(OnLine::of).collect(),
            next: Mark::default(),
            looked: 0,
            satisfying: 0,
            each: vec![false; order.checks.len()],
            lost: 0,
            goal: Goal::Enough,
            last: VecDeque::new(),
            found: VecDeque::new(),
        }
    }

    /// Looks at lines while they are read, to the end that the files have now.
    async fn read(&mut self, logs: &LogStore, changes: &mut watch::Receiver<u64>, clock: &Clock) -> Read {
        // Lines may be in the file that nobody has read yet.
        let mut reading = pin!(timeout(clock.bound(), logs.read_to_end()));
        loop {
            changes.borrow_and_update();
            self.look_at_kept(logs).await;
            if self.is_settled() {
                return Read::Settled;
            }
            let read = tokio::select! {
                biased;
                read = &mut reading => read,
                Ok(()) = changes.changed() => continue,
            };
            changes.borrow_and_update();
            self.look_at_kept(logs).await;
            return match read {
                _ if self.is_settled() => Read::Settled,
                Ok(()) => Read::ToEnd,
                Err(_) => Read::OutOfTime,
            };
        }
    }

    /// Looks at everything that is kept now; what comes faster than that waits.
    pub(super) async fn look_at_kept(&mut self, logs: &LogStore) {
        for _ in 0..=limits::LOG_LINES / limits::LOG_LINES_AT_ONCE {
            let Some(since) = logs.lines_since(self.log, &self.next) else { return };
            let more = since.more;
            self.add(since);
            if !more || self.is_settled() {
                return;
            }
            yield_now().await;
        }
    }

    /// Whether it holds and no further line changes that.
    fn is_settled(&self) -> bool {
        self.goal == Goal::Enough
            && self.satisfying > 0
            && self.ready.iter().all(OnLine::takes_more)
            && self.counts().all(|(index, check)| checks::number(index, check, self.satisfying).is_none())
    }

    fn add(&mut self, since: Since) {
        self.lost += since.lost;
        self.next = since.next;
        for line in since.lines {
            if self.look(&line) {
                remember(&mut self.found, line.clone());
            }
            remember(&mut self.last, line);
        }
    }

    /// Counts a line; whether it satisfies every check on lines.
    fn look(&mut self, line: &LogLine) -> bool {
        self.looked += 1;
        let mut all = true;
        for (check, seen) in self.ready.iter().zip(&mut self.each) {
            if let Some(holds) = check.holds(&line.text) {
                *seen |= holds;
                all &= holds;
            }
        }
        self.satisfying += u64::from(all);
        all
    }

    /// The checks on the number of lines, each with its index.
    fn counts(&self) -> impl Iterator<Item = (u32, &Check)> {
        (0..).zip(self.checks).filter(|(_, check)| check.field == "count")
    }

    pub(super) fn attempt(&self) -> Attempt {
        if self.lost > 0 && (self.counts().next().is_some() || self.satisfying == 0) {
            return self.undecided();
        }
        let failures: Vec<_> = if self.counts().next().is_some() {
            self.counts().filter_map(|(index, check)| checks::number(index, check, self.satisfying)).collect()
        } else {
            self.missing().into_iter().collect()
        };
        Attempt::of(checks::failed_or_ok(failures), self.evidence())
    }

    /// The number, and what it was made of.
    fn told(&self) -> Attempt {
        if self.lost > 0 {
            return self.undecided();
        }
        let counted = [(COUNTED.to_owned(), self.satisfying.to_string())].into();
        Attempt { saved: counted, evidence: self.evidence(), ..Attempt::of(Outcome::Ok, Vec::new()) }
    }

    /// What a judgement would rest on is not all there.
    fn unread(&self, clock: &Clock) -> Attempt {
        let message = format!("log {} could not be read to its end within {:?}", self.log, clock.within);
        Attempt::of(Outcome::Unknown { message }, self.evidence())
    }

    /// Lines went unseen, so that what they were cannot be told.
    fn undecided(&self) -> Attempt {
        let lost = self.lost;
        let message = format!(
            "log {}: {lost} lines had to be dropped before they were looked at; of the others {} satisfy the checks",
            self.log, self.satisfying
        );
        let mut attempt = Attempt::of(Outcome::Unknown { message }, self.evidence());
        // What was lost stays lost: a number will never be known, a line may still come.
        if self.counts().next().is_some() {
            attempt.repeat = Repeat::Useless;
        }
        attempt
    }

    fn missing(&self) -> Option<CheckFailure> {
        if self.satisfying > 0 {
            return None;
        }
        let on_lines = || self.checks.iter().zip(&self.each).enumerate();
        let unseen = on_lines().find(|(_, (_, seen))| !**seen).map_or(0, |(index, _)| index);
        let wanted: Vec<_> = self.checks.iter().map(|check| check.matcher.describe(&Value::Null)).collect();
        let mismatch = Mismatch {
            at: String::new(),
            expected: format!("a line in {}: {}", self.log, wanted.join(" and ")),
            actual: match self.looked {
                0 => "no line yet".to_owned(),
                1 => "not the one line there is".to_owned(),
                lines => format!("none of {lines} lines"),
            },
        };
        Some(checks::failure(u32::try_from(unseen).unwrap_or(u32::MAX), mismatch))
    }

    fn evidence(&self) -> Vec<Evidence> {
        let title = format!("log {}, last {} of {} lines", self.log, self.last.len(), self.looked);
        let last = evidence(title, shown(&self.last, self.masker));
        // A number is wrong because of the lines that make it, wherever they stand.
        let is_number = self.goal == Goal::All || self.counts().next().is_some();
        if !is_number || self.found.is_empty() {
            return vec![last];
        }
        let title = format!("log {}, last {} of {} such lines", self.log, self.found.len(), self.satisfying);
        let found = evidence(title, shown(&self.found, self.masker));
        if self.found == self.last { vec![found] } else { vec![found, last] }
    }
}

/// Keeps a line as evidence, and the last of them only.
fn remember(lines: &mut VecDeque<LogLine>, line: LogLine) {
    if lines.len() == limits::EVIDENCE_LINES {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// Each line is cut for itself, so it is masked before.
fn shown(lines: &VecDeque<LogLine>, masker: &Masker) -> String {
    const LONGEST: usize = 300;
    let shown = |line: &LogLine| format!("{}: {}\n", line.log, masked(&line.text, masker, LONGEST));
    let text: String = lines.iter().map(shown).collect();
    if text.is_empty() { "(empty)".to_owned() } else { text }
}
