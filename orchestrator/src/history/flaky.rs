//! Tests that pass at times and fail at times, though their plan stayed the same.

use std::collections::BTreeMap;

use meshproof_proto::id::Digest;
use meshproof_proto::verdict::{Exit, Verdict};
use serde::Serialize;

use super::brief::{Brief, Finish, State};

/// A test that cannot make up its mind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flake {
    pub plan: String,
    pub test: String,
    /// Runs since it first went the other way, that one included.
    pub since_runs: usize,
    pub not_passed: usize,
    pub of: usize,
}

/// Changes from passed to not passed or back that make a test flaky. One alone is a fault that came or went.
const CHANGES: usize = 2;

/// The flaky tests of these runs, newest first as they are given. Only runs of the very same plan are held against each other.
#[must_use]
pub fn flaky(newest_first: &[Brief]) -> Vec<Flake> {
    let mut passed: BTreeMap<(String, Digest, String), Vec<bool>> = BTreeMap::new();
    for brief in newest_first.iter().rev() {
        let Some(digest) = brief.digest else { continue };
        let was_cut_short = was_cut_short(brief);
        for (test, verdict) in &brief.tests {
            let Some(verdict) = verdict else { continue };
            if was_cut_short && *verdict != Verdict::Pass {
                continue;
            }
            let key = (brief.plan.clone(), digest, test.clone());
            passed.entry(key).or_default().push(*verdict == Verdict::Pass);
        }
    }
    let flake = |((plan, _, test), passed): ((String, Digest, String), Vec<bool>)| {
        let changes: Vec<usize> = (1..passed.len()).filter(|at| passed[*at] != passed[*at - 1]).collect();
        let first = changes.first().filter(|_| changes.len() >= CHANGES)?;
        let not_passed = passed.iter().filter(|passed| !**passed).count();
        Some(Flake { plan, test, since_runs: passed.len() - first, not_passed, of: passed.len() })
    };
    passed.into_iter().filter_map(flake).collect()
}

/// Whether somebody, or a deadline, ended the run: what had not passed by then might have.
fn was_cut_short(brief: &Brief) -> bool {
    let State::Ended(Finish { exit, .. }) = &brief.state else { return false };
    matches!(Exit::from_code(*exit), Some(Exit::Interrupted | Exit::Terminated | Exit::Aborted))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter for each run, oldest first: `p`assed, `f`ailed, `-` not run.
    fn runs(verdicts: &str, digest: u8) -> Vec<Brief> {
        let run = |letter| {
            let verdict = match letter {
                'p' => Some(Verdict::Pass),
                'f' => Some(Verdict::Fail),
                'u' => Some(Verdict::Unknown),
                _ => None,
            };
            let tests = BTreeMap::from([("t".to_owned(), verdict)]);
            Brief { digest: Some(Digest([digest; 32])), tests, ..Brief::named("r") }
        };
        verdicts.chars().rev().map(run).collect()
    }

    #[test]
    fn flaky_is_what_changed_more_than_once_while_the_plan_did_not() {
        let of =
            |verdicts| flaky(&runs(verdicts, 1)).first().map(|flake| (flake.since_runs, flake.not_passed, flake.of));
        assert_eq!(of("ppfp"), Some((2, 1, 4)));
        assert_eq!(of("fp-f"), Some((2, 2, 3)), "a run without the test says nothing about it");
        for steady in ["", "p", "fff", "ppff", "ffpp"] {
            assert_eq!(of(steady), None, "{steady}");
        }
        let mut cut_short = runs("pupup", 1);
        for brief in cut_short.iter_mut().filter(|brief| brief.tests["t"] == Some(Verdict::Unknown)) {
            brief.state =
                State::Ended(Finish { verdict: Verdict::Unknown, exit: Exit::Interrupted.code(), duration_ms: 1.0 });
        }
        assert_eq!(flaky(&cut_short), [], "who interrupts a run says nothing about its tests");
        let mut changed = runs("p", 2);
        changed.extend(runs("pf", 1));
        assert_eq!(flaky(&changed), [], "the plan was mended");
    }
}
