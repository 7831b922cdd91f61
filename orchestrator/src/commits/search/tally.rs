//! What the repeated results of one commit come to.

use serde::{Deserialize, Serialize};

/// One result of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vote {
    Good,
    Bad,
    /// It cannot be tested, and says so.
    Skip,
    /// Nobody saw what came of it.
    Unknown,
}

/// When several results make a commit bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BadWhen {
    /// More of them are bad than good.
    #[default]
    Majority,
    /// One is bad: for a regression that shows now and then.
    Any,
    /// All are bad: for a test that fails now and then.
    All,
}

/// How results are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// So many results of a commit that matters; at least 1.
    pub repeat: u32,
    pub bad_when: BadWhen,
}

/// Results of one commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub good: u32,
    pub bad: u32,
    pub skipped: u32,
    pub unknown: u32,
}

/// What a tally comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Not yet.
    Open,
    Good,
    Bad,
    Untestable,
}

/// A result that nobody saw is asked for once more.
const UNKNOWN_MOST: u32 = 2;

impl Tally {
    pub fn take(&mut self, vote: Vote) {
        let count = match vote {
            Vote::Good => &mut self.good,
            Vote::Bad => &mut self.bad,
            Vote::Skip => &mut self.skipped,
            Vote::Unknown => &mut self.unknown,
        };
        *count += 1;
    }

    fn votes(self) -> u32 {
        self.good + self.bad
    }

    /// It passes at times and fails at times.
    #[must_use]
    pub fn is_mixed(self) -> bool {
        self.good > 0 && self.bad > 0
    }
}

impl Rule {
    /// What these results come to.
    #[must_use]
    pub fn judged(self, tally: Tally) -> Judged {
        if tally.votes() == 0 {
            let untestable = tally.skipped > 0 || tally.unknown >= UNKNOWN_MOST;
            return if untestable { Judged::Untestable } else { Judged::Open };
        }
        let is_bad = match self.bad_when {
            BadWhen::Any => tally.bad > 0,
            BadWhen::All => tally.good == 0,
            BadWhen::Majority if tally.good == tally.bad && self.is_exhausted(tally) => return Judged::Untestable,
            BadWhen::Majority if tally.good == tally.bad => return Judged::Open,
            BadWhen::Majority => tally.bad > tally.good,
        };
        if is_bad { Judged::Bad } else { Judged::Good }
    }

    /// Whether more results would change nothing, or are not to be had.
    #[must_use]
    pub fn is_settled(self, tally: Tally) -> bool {
        let decided = match self.bad_when {
            BadWhen::Any => tally.bad > 0,
            BadWhen::All => tally.good > 0,
            BadWhen::Majority => tally.good.max(tally.bad) > self.repeat / 2,
        };
        decided || self.is_exhausted(tally) || self.judged(tally) == Judged::Untestable
    }

    /// How many results may still be asked for.
    pub(super) fn missing(self, tally: Tally) -> u32 {
        if self.is_settled(tally) { 0 } else { self.repeat.saturating_sub(tally.votes()).max(1) }
    }

    fn is_exhausted(self, tally: Tally) -> bool {
        tally.votes() >= self.repeat || tally.skipped + tally.unknown > self.repeat.max(UNKNOWN_MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(bad_when: BadWhen, repeat: u32, votes: &str) -> (Judged, bool) {
        let rule = Rule { repeat, bad_when };
        let mut tally = Tally::default();
        for vote in votes.chars() {
            tally.take(match vote {
                'g' => Vote::Good,
                'b' => Vote::Bad,
                's' => Vote::Skip,
                _ => Vote::Unknown,
            });
        }
        (rule.judged(tally), rule.is_settled(tally))
    }

    #[test]
    fn a_commit_is_judged_by_its_first_result_and_settled_when_no_other_could_change_that() {
        use BadWhen::{All, Any, Majority};
        use Judged::{Bad, Good, Open, Untestable};
        for (bad_when, repeat, votes, expected) in [
            (Majority, 1, "", (Open, false)),
            (Majority, 1, "b", (Bad, true)),
            (Majority, 3, "b", (Bad, false)),
            (Majority, 3, "bg", (Open, false)),
            (Majority, 3, "bb", (Bad, true)),
            (Majority, 3, "bgg", (Good, true)),
            (Majority, 4, "bbgg", (Untestable, true)),
            (Any, 3, "g", (Good, false)),
            (Any, 3, "gb", (Bad, true)),
            (Any, 3, "ggg", (Good, true)),
            (All, 3, "b", (Bad, false)),
            (All, 3, "bbg", (Good, true)),
            (All, 3, "bbb", (Bad, true)),
            (Majority, 3, "s", (Untestable, true)),
            (Majority, 1, "?", (Open, false)),
            (Majority, 1, "??", (Untestable, true)),
            (Majority, 1, "?b", (Bad, true)),
            (All, 5, "bssssss", (Bad, true)),
        ] {
            assert_eq!(judged(bad_when, repeat, votes), expected, "{bad_when:?} of {repeat}: {votes}");
        }
    }
}
