//! The bounds that a plan sets: comparisons under `expect`, as they were written. For reports, which have the text of a plan that may
//! not compile without its secrets.

use std::collections::BTreeSet;

use super::diagnostic::Diagnostics;
use super::source::{Source, Span};
use super::tree::{Kind, Node};
use super::yaml;

/// Something that has to stay within a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// `duration`, `p99`, `json $.total`.
    pub field: String,
    /// `< 5s`
    pub bound: String,
    /// Where both stand.
    pub span: Span,
    /// Lines of its step's keys, from 1: what a run tells of the step names one of them.
    pub lines: BTreeSet<usize>,
}

/// All of them, in the order of the plan; of a text that is no plan, none.
#[must_use]
pub fn thresholds(plan: &str) -> Vec<Threshold> {
    let sink = Diagnostics::default();
    let source = Source::from_bytes("plan", plan.as_bytes(), &sink);
    let tree = if source.is_text() { yaml::parse(&source, &sink) } else { None };
    let mut found = Vec::new();
    if let Some(tree) = tree {
        look(&tree, &source, &mut found);
    }
    found
}

fn look(node: &Node, source: &Source, found: &mut Vec<Threshold>) {
    match &node.kind {
        Kind::List(items) => items.iter().for_each(|item| look(item, source, found)),
        Kind::Map(entries) => {
            let lines: BTreeSet<usize> = entries.iter().map(|(key, _)| source.position(key.span.start).line).collect();
            for (key, value) in entries {
                match key.name.as_str() {
                    "expect" => bounds(value, &[], (&lines, found)),
                    _ => look(value, source, found),
                }
            }
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => {}
    }
}

fn bounds(node: &Node, path: &[&str], (lines, found): (&BTreeSet<usize>, &mut Vec<Threshold>)) {
    let Kind::Map(entries) = &node.kind else { return };
    for (key, value) in entries {
        let path = [path, &[key.name.as_str()]].concat();
        if let Some(bound) = value.as_text().filter(|text| text.starts_with(['<', '>'])) {
            found.push(Threshold {
                field: path.join(" "),
                bound: bound.to_owned(),
                span: key.span.to(value.span),
                lines: lines.clone(),
            });
        }
        bounds(value, &path, (lines, found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_under_expect_are_bounds_of_the_step_that_they_stand_in() {
        let plan = "tests:\n  - id: t\n    steps:\n      - to: shop\n        http: { get: / }\n        \
            expect: { status: 200, duration: \"< 5s\", json: { $.total: \">= 3\" } }\n      \
            - { expect: { metric: shop.memory, p99: \"< 20MB\" } }\n      - say: \"< 3\"\n";
        let found = thresholds(plan);
        let told: Vec<_> = found.iter().map(|found| (found.field.as_str(), found.bound.as_str())).collect();
        assert_eq!(told, [("duration", "< 5s"), ("json $.total", ">= 3"), ("p99", "< 20MB")]);
        assert_eq!((found[0].lines.clone(), found[2].lines.clone()), ([4, 5, 6].into(), [7].into()));
        assert_eq!(&plan[found[0].span.start..found[0].span.end], "duration: \"< 5s\"");
        assert_eq!(thresholds("tests: [[[ {").len() + thresholds("\u{0}").len(), 0);
    }
}
