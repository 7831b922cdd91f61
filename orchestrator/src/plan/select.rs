//! Which part of a plan is run, and how often.

use meshproof_proto::glob;
use serde::{Deserialize, Serialize};

use super::compiled::{Plan, Step, Test};

/// What was asked for on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Globs of tests' ids; none: all of them.
    pub tests: Vec<String>,
    /// Globs of steps' ids, names or places; none: all of them. `after` runs in any case.
    pub steps: Vec<String>,
    /// How often each test runs; 0 counts as 1.
    pub repeat: usize,
}

impl Plan {
    /// The part that was asked for. `None`: nothing is left.
    #[must_use]
    pub fn select(mut self, selection: &Selection) -> Option<Self> {
        let wanted = |test: &Test| selection.tests.is_empty() || matches(&selection.tests, &[&test.id, &test.of]);
        self.tests.retain(wanted);
        if !selection.steps.is_empty() {
            for test in &mut self.tests {
                test.steps.retain(|step| is_wanted(step, &selection.steps));
            }
            self.tests.retain(|test| !test.steps.is_empty());
        }
        if self.tests.is_empty() {
            return None;
        }
        if selection.repeat > 1 {
            self.tests = self.tests.iter().flat_map(|test| again(test, selection.repeat)).collect();
        }
        Some(self)
    }
}

fn is_wanted(step: &Step, globs: &[String]) -> bool {
    let id = step.id.as_deref().unwrap_or(&step.key);
    matches(globs, &[id, &step.title, &step.key])
}

/// The test so many times, each under a name of its own.
fn again(test: &Test, times: usize) -> impl Iterator<Item = Test> + use<'_> {
    (1..=times).map(|time| Test { id: format!("{}#{time}", test.id), ..test.clone() })
}

fn matches(globs: &[String], texts: &[&str]) -> bool {
    globs.iter().any(|pattern| texts.iter().any(|text| glob::matches(pattern, text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Inputs, check};

    fn plan() -> Plan {
        let text = "meshproof: 1\nplan: p\nservices: { a: { exec: { argv: [a] } } }\ntests:\n  - id: one\n    steps: [{ id: x, say: hi }, { say: ho }]\n    after: [{ say: over }]\n  - { id: two, steps: [{ say: hi }] }\n";
        check("plan.yaml", text.as_bytes(), &Inputs::default()).plan.expect("a good plan")
    }

    fn selected(tests: &[&str], steps: &[&str], repeat: usize) -> Option<Vec<(String, usize)>> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let selection = Selection { tests: words(tests), steps: words(steps), repeat };
        let plan = plan().select(&selection)?;
        Some(plan.tests.iter().map(|test| (test.id.clone(), test.steps.len())).collect())
    }

    #[test]
    fn tests_and_steps_are_selected_by_globs_and_nothing_left_is_said() {
        let of = |list: &[(&str, usize)]| Some(list.iter().map(|(id, steps)| ((*id).to_owned(), *steps)).collect());
        assert_eq!(selected(&[], &[], 0), of(&[("one", 2), ("two", 1)]));
        assert_eq!(selected(&["t*"], &[], 1), of(&[("two", 1)]));
        assert_eq!(selected(&[], &["x"], 1), of(&[("one", 1)]));
        assert_eq!(selected(&[], &["say h?"], 1), None, "only `*` means something");
        assert_eq!(selected(&["two"], &[], 2), of(&[("two#1", 1), ("two#2", 1)]));
        assert_eq!((selected(&["three"], &[], 1), selected(&["two"], &["x"], 1)), (None, None));
    }
}
