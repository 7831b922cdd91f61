//! What was expected, what came of it, and so the verdict. Nothing passes here by default.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use meshproof_proto::order::StepKey;
use meshproof_proto::verdict::{Exit, Verdict};

use super::api::Flaky;
use crate::plan::Plan;
use crate::record::{Ending, Summary};

/// The book of results.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Every step of the plan; what stands at none has not ended.
    steps: BTreeMap<StepKey, Option<Counted>>,
    tests: BTreeMap<String, TestTally>,
    /// What is held against the run and against none of its tests.
    run: Worst,
    /// Reasons for an exit code beside the verdicts.
    exits: BTreeSet<Exit>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug)]
struct Counted {
    ending: Ending,
    counts: Counts,
}

/// Whether a step's end says something about its test: that of an optional step does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    Yes,
    No,
}

#[derive(Clone, Debug, Default)]
struct TestTally {
    blamed: Worst,
    /// A load did not do what was expected of it; that has an exit code of its own where nothing else is held against the run.
    load_breached: bool,
    verdict: Option<Verdict>,
    /// What it is a repetition of.
    of: String,
}

/// The worst that was said.
#[derive(Clone, Copy, Debug)]
struct Worst(Verdict);

impl Default for Worst {
    fn default() -> Self {
        Self(Verdict::Pass)
    }
}

impl Worst {
    fn add(&mut self, verdict: Verdict) {
        self.0 = self.0.max(verdict);
    }
}

impl Tally {
    pub(super) fn new(plan: &Plan) -> Self {
        let ready = plan.services.iter().filter_map(|service| service.ready.as_ref()).map(|step| key("", &step.key));
        let steps = plan
            .tests
            .iter()
            .flat_map(|test| test.all_steps().map(|step| key(&test.id, &step.key)).collect::<Vec<_>>());
        Self {
            steps: ready.chain(steps).map(|key| (key, None)).collect(),
            tests: plan
                .tests
                .iter()
                .map(|test| (test.id.clone(), TestTally { of: test.of.clone(), ..TestTally::default() }))
                .collect(),
            ..Self::default()
        }
    }

    /// Everything that must have ended before the run can pass.
    pub(super) fn expected(&self) -> Vec<StepKey> {
        self.steps.keys().cloned().collect()
    }

    /// A step ended. An optional one says nothing about its test, unless its result is missing.
    pub(super) fn ended(&mut self, key: &StepKey, ending: Ending, counts: Counts) {
        self.steps.insert(key.clone(), Some(Counted { ending, counts }));
    }

    /// Something is held against a test, or against the run.
    pub(super) fn blame(&mut self, test: Option<&str>, verdict: Verdict) {
        match test.and_then(|test| self.tests.get_mut(test)) {
            Some(test) => test.blamed.add(verdict),
            None => self.run.add(verdict),
        }
    }

    /// A load did not do what was expected of it, which is held against its test.
    pub(super) fn breach(&mut self, test: &str) {
        if let Some(test) = self.tests.get_mut(test) {
            test.load_breached = true;
        }
    }

    pub(super) fn exit(&mut self, reason: Exit) {
        self.exits.insert(reason);
    }

    pub(super) fn is_blamed(&self, test: &str) -> bool {
        self.tests.get(test).is_some_and(|test| test.blamed.0 != Verdict::Pass || test.load_breached)
    }

    /// The test is over: what it came to.
    pub(super) fn close(&mut self, test: &str) -> Verdict {
        let steps = self.steps_of(test);
        let Some(entry) = self.tests.get_mut(test) else { return Verdict::Error };
        let verdict = match entry.blamed.0 {
            Verdict::Pass if entry.load_breached => steps.max(Verdict::Fail),
            Verdict::Pass => steps,
            blamed => blamed,
        };
        entry.verdict = Some(verdict);
        verdict
    }

    /// Tests that have no verdict.
    pub(super) fn not_run(&self) -> Vec<String> {
        self.tests.iter().filter(|(_, test)| test.verdict.is_none()).map(|(test, _)| test.clone()).collect()
    }

    /// What the steps of a test say: one without a result is an error.
    fn steps_of(&self, test: &str) -> Verdict {
        let steps = self.steps.iter().filter(|(key, _)| key.test == test);
        steps.fold(Verdict::Pass, |worst, (_, ended)| worst.max(verdict_of(ended.as_ref())))
    }

    /// Tests of which some repetitions passed and the others failed, with how many did.
    pub(super) fn flaky(&self) -> BTreeMap<&str, (usize, usize)> {
        let mut groups: BTreeMap<&str, Vec<Option<Verdict>>> = BTreeMap::new();
        for test in self.tests.values() {
            groups.entry(&test.of).or_default().push(test.verdict);
        }
        let count = |verdicts: &[Option<Verdict>], of| verdicts.iter().filter(|verdict| **verdict == Some(of)).count();
        let flaky = groups.into_iter().filter_map(|(of, verdicts)| {
            let (passed, failed) = (count(&verdicts, Verdict::Pass), count(&verdicts, Verdict::Fail));
            (passed > 0 && failed > 0 && passed + failed == verdicts.len()).then_some((of, (failed, verdicts.len())))
        });
        flaky.collect()
    }

    /// What the run came to, and the exit code that says so.
    pub(super) fn verdict(&self, policy: Flaky) -> (Verdict, Exit) {
        let flaky = self.flaky();
        // What a flaky test comes to is said by the policy, and not by its repetitions.
        let firm = || self.tests.values().filter(|test| !flaky.contains_key(test.of.as_str()));
        let wavering = match policy {
            Flaky::Fail if !flaky.is_empty() => Verdict::Fail,
            Flaky::Fail | Flaky::Warn | Flaky::Pass => Verdict::Pass,
        };
        let said = || firm().filter_map(TestTally::said).chain([Said::of(self.run.0)]);
        let mut worst = said().max().unwrap_or(Said::of(Verdict::Error));
        if worst.verdict == Verdict::Pass {
            worst = Said::of(self.steps_of(""));
        }
        if worst.verdict == Verdict::Pass && self.tests.values().any(|test| test.verdict.is_none()) {
            worst = Said::of(Verdict::Unknown);
        }
        let forbidden = (wavering == Verdict::Fail).then_some(Exit::Flaky);
        let said = said().chain([worst]).map(|said| said.exit.0);
        let exit = Exit::of(said.chain(self.exits.iter().copied()).chain(forbidden));
        (worst.max(Said::of(wavering)).verdict, exit)
    }

    pub(super) fn summary(&self, duration_ms: f64) -> Summary {
        let mut by_verdict = BTreeMap::new();
        for test in self.tests.values() {
            let verdict = test.verdict.map_or_else(|| "not-run".to_owned(), |verdict| verdict.to_string());
            *by_verdict.entry(verdict).or_default() += 1;
        }
        let ended = || self.steps.values().flatten();
        Summary {
            tests: self.tests.len(),
            by_verdict,
            steps: ended().count(),
            skipped: ended().filter(|step| step.ending == Ending::Skipped).count(),
            duration_ms,
        }
    }
}

/// What one test says of the run. Of several the greatest counts: a run is called what its exit code tells, so that a check failed is
/// known, whatever else broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    exit: Reverse<Exit>,
    verdict: Verdict,
}

impl Said {
    fn of(verdict: Verdict) -> Self {
        Self { exit: Reverse(Exit::from(verdict)), verdict }
    }
}

impl TestTally {
    fn said(&self) -> Option<Said> {
        let verdict = self.verdict?;
        let only_a_load = verdict == Verdict::Fail && self.load_breached && self.blamed.0 == Verdict::Pass;
        Some(if only_a_load { Said { exit: Reverse(Exit::LoadBreached), verdict } } else { Said::of(verdict) })
    }
}

/// A key of a first execution.
pub(super) fn key(test: &str, step: &str) -> StepKey {
    StepKey { test: test.to_owned(), step: step.to_owned(), attempt: 1 }
}

fn verdict_of(ended: Option<&Counted>) -> Verdict {
    match ended {
        None => Verdict::Error,
        Some(Counted { counts: Counts::No, .. }) => Verdict::Pass,
        Some(Counted { ending, .. }) => ending.verdict().unwrap_or(Verdict::Pass),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_called_what_its_exit_code_tells() {
        let came_to = |verdicts: &[Verdict]| {
            let test = |verdict: &Verdict| TestTally { verdict: Some(*verdict), ..TestTally::default() };
            let tests = (0..)
                .zip(verdicts)
                .map(|(at, verdict): (u32, _)| (at.to_string(), TestTally { of: at.to_string(), ..test(verdict) }));
            Tally { tests: tests.collect(), ..Tally::default() }.verdict(Flaky::Fail)
        };
        for (verdicts, expected) in [
            (vec![Verdict::Pass, Verdict::Pass], (Verdict::Pass, Exit::Passed)),
            (vec![Verdict::Error, Verdict::Fail], (Verdict::Fail, Exit::Failed)),
            (vec![Verdict::Fail, Verdict::Unknown], (Verdict::Fail, Exit::Failed)),
            (vec![Verdict::Unknown, Verdict::Error, Verdict::Pass], (Verdict::Error, Exit::MeshFailed)),
            (vec![Verdict::Unknown, Verdict::Pass], (Verdict::Unknown, Exit::MeshFailed)),
        ] {
            assert_eq!(came_to(&verdicts), expected, "{verdicts:?}");
        }
    }

    #[test]
    fn a_load_that_was_breached_has_its_own_exit_unless_something_else_is_held_against_the_run() {
        let came_to = |blamed: &[Verdict], others: &[Verdict]| {
            let mut tally = Tally::default();
            tally.tests.insert("load".to_owned(), TestTally { of: "load".to_owned(), ..TestTally::default() });
            tally.breach("load");
            blamed.iter().for_each(|verdict| tally.blame(Some("load"), *verdict));
            for (at, verdict) in (0..).zip(others) {
                let test = TestTally { verdict: Some(*verdict), of: at.to_string(), ..TestTally::default() };
                tally.tests.insert(at.to_string(), test);
            }
            assert!(tally.is_blamed("load"));
            tally.close("load");
            tally.verdict(Flaky::Fail)
        };
        assert_eq!(came_to(&[], &[Verdict::Pass]), (Verdict::Fail, Exit::LoadBreached));
        assert_eq!(came_to(&[Verdict::Fail], &[]), (Verdict::Fail, Exit::Failed));
        assert_eq!(came_to(&[], &[Verdict::Fail]), (Verdict::Fail, Exit::Failed));
        assert_eq!(came_to(&[], &[Verdict::Error]), (Verdict::Error, Exit::MeshFailed));
        assert_eq!(came_to(&[Verdict::Error], &[]), (Verdict::Error, Exit::MeshFailed));
    }
}
