//! Steps that expect something of a log: lines that satisfy every check on lines, and how many there are of them.

use std::collections::VecDeque;

use meshproof_proto::event::{CheckFailure, Evidence, Outcome};
use meshproof_proto::matcher::{Actual, Mismatch};
use meshproof_proto::order::{Check, StepOrder};
use serde_json::Value;
use tokio::time::timeout;

use super::{Attempt, Clock, Repeat, changed, limits};
use crate::checks;
use crate::evidence::{cut, evidence};
use crate::logs::{LogLine, LogStore, Mark, Since};

/// Fields of checks that every line has to satisfy for itself.
const ON_LINES: [&str; 3] = ["line", "contains", "matches"];

/// Looks at the lines since the run's start, and again whenever there are new ones.
pub(super) async fn run(order: &StepOrder, clock: &Clock, (logs, log): (&LogStore, &str)) -> (Attempt, u32) {
    let odd = order.checks.iter().find(|check| check.field != "count" && !ON_LINES.contains(&check.field.as_str()));
    if let Some(check) = odd {
        return (Attempt::impossible(format!("a log has no `{}` to check", check.field)), 1);
    }
    if !order.saves.is_empty() {
        return (Attempt::impossible("there is nothing to save of a log"), 1);
    }
    let mut changes = logs.changes();
    let mut count = Count::of(order, log);
    let mut tries = 0;
    loop {
        tries += 1;
        // Lines may be in the file that nobody has read yet.
        let read = timeout(clock.bound(), logs.read_to_end()).await;
        changes.borrow_and_update();
        let Some(since) = logs.lines_since(log, &count.next) else {
            let known = logs.names().join(", ");
            return (Attempt::impossible(format!("there is no log `{log}` here; there are: {known}")), tries);
        };
        count.add(since);
        let attempt = if read.is_ok() { count.attempt() } else { count.unread(clock) };
        if attempt.repeat == Repeat::Useless {
            return (attempt, tries);
        }
        if clock.left().is_none() {
            return (attempt, tries);
        }
        changed(&mut changes, clock).await;
    }
}

/// Lines looked at so far. Each is looked at once, so that waiting costs what is new.
struct Count<'a> {
    log: &'a str,
    checks: &'a [Check],
    next: Mark,
    looked: u64,
    satisfying: u64,
    /// For each check on lines, whether some line satisfied it.
    each: Vec<bool>,
    lost: u64,
    last: VecDeque<LogLine>,
}

impl<'a> Count<'a> {
    fn of(order: &'a StepOrder, log: &'a str) -> Self {
        Self {
            log,
            checks: &order.checks,
            next: Mark::default(),
            looked: 0,
            satisfying: 0,
            each: vec![false; order.checks.len()],
            lost: 0,
            last: VecDeque::new(),
        }
    }

    fn add(&mut self, since: Since) {
        self.lost += since.lost;
        self.next = since.next;
        for line in since.lines {
            self.look(&line);
            if self.last.len() == limits::EVIDENCE_LINES {
                self.last.pop_front();
            }
            self.last.push_back(line);
        }
    }

    fn look(&mut self, line: &LogLine) {
        self.looked += 1;
        let text = Actual::Text(line.text.to_string());
        let mut all = true;
        for (check, seen) in self.checks.iter().zip(&mut self.each).filter(|(check, _)| check.field != "count") {
            let holds = check.matcher.check(&text, &Value::Null).is_ok();
            *seen |= holds;
            all &= holds;
        }
        self.satisfying += u64::from(all);
    }

    /// The checks on the number of lines, each with its index.
    fn counts(&self) -> impl Iterator<Item = (u32, &Check)> {
        (0..).zip(self.checks).filter(|(_, check)| check.field == "count")
    }

    fn attempt(&self) -> Attempt {
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
        const LONGEST: usize = 300;
        let shown = |line: &LogLine| format!("{}: {}\n", line.log, cut(&line.text, LONGEST));
        let lines: String = self.last.iter().map(shown).collect();
        let title = format!("log {}, last {} of {} lines", self.log, self.last.len(), self.looked);
        vec![evidence(title, if lines.is_empty() { "(empty)" } else { &lines })]
    }
}
