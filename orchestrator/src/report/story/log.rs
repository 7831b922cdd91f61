//! The lines of a run, or as many of them as anybody reads.

use std::collections::VecDeque;

use super::Moment;
use crate::record::{Entry, Happening};
use crate::report::limits::{LINE, LOG_FIRST, LOG_LAST, LOG_NOTABLE};
use crate::report::sanitise;
use crate::report::style::Tone;
use crate::report::telling;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub at: Moment,
    pub from: String,
    pub tone: Tone,
    pub word: &'static str,
    pub text: String,
}

impl Told {
    /// What a record says, shortened; none for what says nothing to people.
    pub fn of(at: Moment, entry: &Entry) -> Option<Self> {
        let said = telling::said(entry)?;
        let text = sanitise::cut(&said.text, LINE);
        Some(Self { at, from: entry.from.clone(), tone: said.tone, word: said.word, text })
    }
}

/// The first lines, the last, and between them those that somebody will look for.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub first: Vec<Told>,
    pub notable: Vec<Told>,
    pub last: VecDeque<Told>,
    waiting: VecDeque<(Moment, Entry)>,
    /// Records that came to the middle and are not shown.
    pub untold: u64,
}

impl Log {
    pub(super) fn take(&mut self, at: Moment, entry: &Entry) {
        if self.first.len() < LOG_FIRST {
            self.first.extend(Told::of(at, entry));
            return;
        }
        if !has_words(&entry.what) {
            return;
        }
        self.waiting.push_back((at, entry.clone()));
        if self.waiting.len() > LOG_LAST
            && let Some((at, entry)) = self.waiting.pop_front()
        {
            match Some(&entry).filter(|entry| is_notable(&entry.what) && self.notable.len() < LOG_NOTABLE) {
                Some(entry) => self.notable.extend(Told::of(at, entry)),
                None => self.untold += 1,
            }
        }
    }

    /// Words are found for the last lines when it is known which these are.
    pub(super) fn finish(&mut self) {
        let last = std::mem::take(&mut self.waiting);
        self.last = last.into_iter().filter_map(|(at, entry)| Told::of(at, &entry)).collect();
    }
}

/// Whether people are told of it at all; cheap, for the many that only the end will show.
fn has_words(what: &Happening) -> bool {
    use meshproof_proto::event::Fact;
    !matches!(
        what,
        Happening::Fact(Fact::Sampled(_) | Fact::StepStarted { .. } | Fact::StepEnded { .. })
            | Happening::StepBegan(_)
            | Happening::Expected { .. }
            | Happening::Invoked(_)
    )
}

fn is_notable(what: &Happening) -> bool {
    matches!(
        what,
        Happening::Failure(_)
            | Happening::TestBegan { .. }
            | Happening::TestEnded { .. }
            | Happening::TestNotRun { .. }
            | Happening::FaultBegan { .. }
            | Happening::FaultsDrawn { .. }
            | Happening::FaultEnded(_)
            | Happening::FailoverDetected { .. }
            | Happening::FailoverDecided { .. }
            | Happening::FailoverComplete { .. }
            | Happening::TakenOver { .. }
            | Happening::AgentLost { .. }
            | Happening::ServiceEnded { .. }
            | Happening::MemberEnded { why: Some(_), .. }
            | Happening::Noted { .. }
            | Happening::Said { .. }
    )
}
