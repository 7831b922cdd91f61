//! How many runs are kept, and for how long.

use std::time::Duration;

use super::brief::{Brief, State};

/// What is kept of the runs that were. The newest one stays in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    pub runs: usize,
    pub age: Duration,
    /// All of them together.
    pub bytes: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { runs: 100, age: Duration::from_hours(30 * 24), bytes: 1 << 30 }
    }
}

/// Why a run is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There are so many newer ones.
    Many,
    Old,
    /// With the newer ones that stay it is more than may stay.
    Large {
        together: u64,
    },
}

/// A run that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    pub run: String,
    pub bytes: u64,
    pub why: Why,
}

impl Keep {
    /// Which of these are not kept. Newest first, as they are given.
    pub(super) fn beyond<'b>(&self, newest_first: &'b [Brief], now_ms: u64) -> Vec<(&'b Brief, Why)> {
        let oldest_ms = now_ms.saturating_sub(u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX));
        let mut bytes = 0_u64;
        let mut beyond = Vec::new();
        for (at, brief) in newest_first.iter().enumerate() {
            let total = bytes.saturating_add(brief.bytes);
            let why = match () {
                () if at == 0 || brief.state == State::GoesOn => None,
                () if at >= self.runs => Some(Why::Many),
                () if brief.began_ms < oldest_ms => Some(Why::Old),
                () if total > self.bytes => Some(Why::Large { together: total }),
                () => None,
            };
            match why {
                Some(why) => beyond.push((brief, why)),
                None => bytes = total,
            }
        }
        beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, began_ms: u64, bytes: u64) -> Brief {
        Brief { began_ms, bytes, ..Brief::named(name) }
    }

    fn removed(keep: Keep, runs: &[Brief]) -> Vec<(&str, Why)> {
        keep.beyond(runs, 1_000_000).into_iter().map(|(brief, why)| (brief.run.as_str(), why)).collect()
    }

    #[test]
    fn what_goes_is_too_many_too_old_or_too_large_and_never_the_newest_or_what_goes_on() {
        let keep = Keep { runs: 3, age: Duration::from_secs(500), bytes: 100 };
        let few = [run("a", 1_000_000, 10), run("b", 900_000, 10), run("c", 499_999, 10)];
        assert_eq!(removed(keep, &few), [("c", Why::Old)]);
        let many = [run("a", 900_000, 1), run("b", 900_000, 1), run("c", 900_000, 1), run("d", 900_000, 1)];
        assert_eq!(removed(keep, &many), [("d", Why::Many)]);
        let large = [run("a", 900_000, 50), run("b", 900_000, 60), run("c", 900_000, 50)];
        assert_eq!(
            removed(keep, &large),
            [("b", Why::Large { together: 110 })],
            "what is smaller and older still has room"
        );
        assert_eq!(removed(keep, &[run("a", 0, 1_000)]), [], "the newest is what somebody has just made");
        let going = Brief { state: State::GoesOn, ..run("b", 0, 1_000) };
        assert_eq!(removed(keep, &[run("a", 900_000, 1), going]), []);
    }
}
