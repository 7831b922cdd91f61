//! The last lines of a run.

use meshproof_proto::verdict::Verdict;

use crate::record::Summary;

/// `pass: 2 tests, 1 passed, 1 not run; 9 steps, 1 skipped`
#[must_use]
pub fn line(verdict: Verdict, summary: &Summary) -> String {
    let mut text = format!("{verdict}: {}", counted(summary.tests, "test"));
    for (key, word) in
        [("pass", "passed"), ("fail", "failed"), ("unknown", "unknown"), ("error", "in error"), ("not-run", "not run")]
    {
        if let Some(count) = summary.by_verdict.get(key) {
            text += &format!(", {count} {word}");
        }
    }
    text += &format!("; {}", counted(summary.steps, "step"));
    if summary.skipped > 0 {
        text += &format!(", {} skipped", summary.skipped);
    }
    text
}

/// `1 test`, `2 tests`
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_summary_counts_what_there_is_and_leaves_out_what_is_not() {
        let by_verdict = BTreeMap::from([("pass".to_owned(), 1), ("not-run".to_owned(), 1)]);
        let summary = Summary { tests: 2, by_verdict, steps: 1, skipped: 0, duration_ms: 1.0 };
        assert_eq!(line(Verdict::Unknown, &summary), "unknown: 2 tests, 1 passed, 1 not run; 1 step");
    }
}
