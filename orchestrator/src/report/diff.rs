//! Two runs of one plan held against each other: what came out otherwise, what took longer, what used more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use meshproof_proto::verdict::Verdict;
use serde::Serialize;

use super::figures::duration;
use super::sanitise::line as clean;
use super::story::{Story, word};
use crate::record::Ending;

/// What differs. `before` and `after` are as the runs have it; none: it is only in the other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    pub before: String,
    pub after: String,
    /// Whether the plan's text is, whatever its `params` were.
    pub same_plan: bool,
    /// Of those that were given; none: the plan's default.
    pub params: Vec<Change<String>>,
    pub tests: Vec<Change<String>>,
    /// Medians of calls, in milliseconds.
    pub calls: Vec<Change<f64>>,
    /// What faults were measured at.
    pub faults: Vec<Change<String>>,
    /// Peak memory of services, in bytes.
    pub memory: Vec<Change<u64>>,
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change<T> {
    pub what: String,
    pub before: Option<T>,
    pub after: Option<T>,
}

/// A call or a peak has changed when it did by this part, and by so much.
const PART: f64 = 0.2;
const LEAST_MS: f64 = 5.0;
const LEAST_BYTES: f64 = 1_048_576.0;

impl Diff {
    /// Of two runs.
    #[must_use]
    pub fn of(before: &Story, after: &Story) -> Self {
        let differs = |before: &String, after: &String| before != after;
        Self {
            before: before.run.clone(),
            after: after.run.clone(),
            same_plan: is_same_plan(before, after),
            params: changes(&params(before), &params(after), differs),
            tests: changes(&tests(before), &tests(after), differs),
            calls: changes(&medians(before), &medians(after), |before, after| far(*before, *after, LEAST_MS)),
            faults: changes(&faults(before), &faults(after), differs),
            memory: changes(&memory(before), &memory(after), |before, after| {
                far(*before as f64, *after as f64, LEAST_BYTES)
            }),
        }
    }

    /// Whether a test that passed no longer does.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        let passed = |verdict: &Option<String>| verdict.as_deref() == Some("pass");
        self.tests.iter().any(|test| passed(&test.before) && test.after.is_some() && !passed(&test.after))
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{} -> {}\n", clean(&self.before), clean(&self.after));
        if !self.same_plan {
            text += "the plan is not the same\n";
        }
        let bytes = |bytes: &u64| indicatif::BinaryBytes(*bytes).to_string();
        section(&mut text, "params", &self.params, |value| clean(value));
        section(&mut text, "tests", &self.tests, |verdict| clean(verdict));
        section(&mut text, "calls, median", &self.calls, |median| duration(*median));
        section(&mut text, "faults, measured", &self.faults, |measured| clean(measured));
        section(&mut text, "peak memory", &self.memory, bytes);
        if self.tests.is_empty()
            && self.params.is_empty()
            && self.calls.is_empty()
            && self.faults.is_empty()
            && self.memory.is_empty()
        {
            text += "nothing of note differs\n";
        }
        text
    }
}

/// A digest is of the text and of what the params came to; the text alone stands in the journal of a run that a command began.
fn is_same_plan(before: &Story, after: &Story) -> bool {
    match (&before.invocation, &after.invocation) {
        (Some(before), Some(after)) => before.plan == after.plan,
        _ => before.digest == after.digest,
    }
}

/// What was given with `--param`, as `meshproof run` takes it; the last one counts.
fn params(story: &Story) -> BTreeMap<String, String> {
    let mut arguments = story.invocation.iter().flat_map(|how| &how.arguments).map(String::as_str);
    let mut params = BTreeMap::new();
    while let Some(argument) = arguments.next() {
        let given = match argument.strip_prefix("--param") {
            Some("") => arguments.next(),
            Some(joined) => joined.strip_prefix('='),
            None => None,
        };
        if let Some((name, value)) = given.and_then(|given| given.split_once('=')) {
            params.insert(name.to_owned(), value.to_owned());
        }
    }
    params
}

fn section<T>(text: &mut String, title: &str, changes: &[Change<T>], words: impl Fn(&T) -> String) {
    if changes.is_empty() {
        return;
    }
    let _ = writeln!(text, "{title}");
    for change in changes {
        let side = |side: &Option<T>| side.as_ref().map_or_else(|| "-".to_owned(), &words);
        let _ = writeln!(text, "  {}: {} -> {}", clean(&change.what), side(&change.before), side(&change.after));
    }
}

fn changes<T: Clone>(
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
    differs: impl Fn(&T, &T) -> bool,
) -> Vec<Change<T>> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |name: &String| {
        let (before, after) = (before.get(name), after.get(name));
        let same = matches!((before, after), (Some(before), Some(after)) if !differs(before, after));
        (!same).then(|| Change { what: name.clone(), before: before.cloned(), after: after.cloned() })
    };
    names.into_iter().filter_map(change).collect()
}

fn far(before: f64, after: f64, least: f64) -> bool {
    let difference = (after - before).abs();
    difference >= least && difference >= before.abs() * PART
}

fn tests(story: &Story) -> BTreeMap<String, String> {
    let word_of =
        |verdict: Option<Verdict>| verdict.map_or("not run", |verdict| word(Ending::from(verdict))).to_owned();
    story.tests.iter().map(|test| (test.id.clone(), word_of(test.verdict))).collect()
}

fn medians(story: &Story) -> BTreeMap<String, f64> {
    let mut calls: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for step in story.steps.all.iter().filter(|step| step.ending != Ending::Skipped) {
        let kind = story.steps.kind(step);
        if kind.is_call() {
            calls.entry(format!("{} {}", kind.test, kind.title)).or_default().push(step.duration_ms);
        }
    }
    let median = |mut durations: Vec<f32>| {
        durations.sort_by(f32::total_cmp);
        durations.get(durations.len() / 2).copied().map_or(0.0, f64::from)
    };
    calls.into_iter().map(|(what, durations)| (what, median(durations))).collect()
}

fn faults(story: &Story) -> BTreeMap<String, String> {
    let measured = |fault: &super::story::Fault| {
        let (_, report) = fault.ended.as_ref()?;
        // figures differ from run to run; whether there was an effect, and a healing, should not
        let effect = if report.effective { "an effect" } else { "no effect" };
        let healed = if report.healed { "healed" } else { "not confirmed as healed" };
        Some((format!("{} ({})", fault.name, fault.asked), format!("{effect}, {healed}")))
    };
    story.faults.iter().filter_map(measured).collect()
}

fn memory(story: &Story) -> BTreeMap<String, u64> {
    story.agents.iter().filter_map(|(name, agent)| Some((name.clone(), agent.usage?.memory_most_bytes))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Invocation;

    fn run(plan: &str, arguments: &[&str]) -> Story {
        let invocation = Invocation {
            version: String::new(),
            system: String::new(),
            cores: 1,
            memory_bytes: 1,
            directory: "/".to_owned(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            plan: plan.to_owned(),
        };
        // a digest is of both
        let digest = format!("{plan} {arguments:?}");
        let mut story = Story::default();
        (story.run, story.digest, story.invocation) = ("r-1".to_owned(), digest, Some(invocation));
        story
    }

    #[test]
    fn of_the_same_plan_with_other_params_the_params_are_told() {
        let before = run("one", &["p.yaml", "--param", "orders=4", "--param=slow=2s", "--param", "same=1"]);
        let after = run("one", &["p.yaml", "--param", "orders=8", "--param", "same=1"]);
        let diff = Diff::of(&before, &after);
        assert!(diff.same_plan);
        assert_eq!(diff.text(), "r-1 -> r-1\nparams\n  orders: 4 -> 8\n  slow: 2s -> -\n");
        assert_eq!(Diff::of(&before, &before).text(), "r-1 -> r-1\nnothing of note differs\n");
        let other = Diff::of(&before, &run("two", &["p.yaml", "--param", "orders=4"]));
        assert!(!other.same_plan && other.text().contains("the plan is not the same\n"), "{}", other.text());
    }
}
