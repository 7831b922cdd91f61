//! What a step tells beside its outcome: without secrets, and cut to what one event may carry.
//!
//! Masking comes before any cut, for half a secret is not found. So whatever makes evidence gives whole texts, and [`told`],
//! at the end of a step, does both. What a step saved stays as it is: later steps use it, and the orchestrator masks it.

use meshproof_proto::event::{CheckFailure, Evidence, Outcome, StepResult};
use meshproof_proto::limits::EVENT_TEXT_BYTES;
use meshproof_proto::mask::Masker;

use crate::limits;

/// Evidence with all of its text.
pub fn evidence(title: impl Into<String>, text: impl Into<String>) -> Evidence {
    Evidence { title: title.into(), text: text.into() }
}

/// The result as it may leave the agent.
pub fn told(result: StepResult, masker: &Masker) -> StepResult {
    let evidence = result.evidence.into_iter().map(|item| shown(item, masker));
    StepResult { outcome: outcome(result.outcome, masker), evidence: within_budget(evidence.collect()), ..result }
}

/// One piece of it.
pub(crate) fn shown(Evidence { title, text }: Evidence, masker: &Masker) -> Evidence {
    Evidence { title: masker.mask(&title).into_owned(), text: masked(&text, masker, EVENT_TEXT_BYTES) }
}

/// The text without secrets, cut.
pub(crate) fn masked(text: &str, masker: &Masker, bytes: usize) -> String {
    if masker.is_empty() {
        return cut(text, bytes);
    }
    // Of a large text no more is looked at than can be shown; what begins in there and ends behind is masked as well.
    let looked = text.floor_char_boundary(text.len().min(2 * bytes + masker.reach()));
    let beginning = masker.mask_cut(&text[..looked]);
    if looked == text.len() {
        return cut(&beginning, bytes);
    }
    let shown = &beginning[..beginning.floor_char_boundary(bytes)];
    format!("{shown}… ({} bytes in all)", text.len())
}

/// The text, or its beginning with a mark that says how long it was. Of a text that may hold secrets see [`masked`].
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}… ({} bytes in all)", &text[..text.floor_char_boundary(bytes)], text.len())
}

fn outcome(outcome: Outcome, masker: &Masker) -> Outcome {
    match outcome {
        Outcome::Failed(failures) => Outcome::Failed(carried(failures, masker)),
        other => other.with_texts(|message| masker.mask(&message).into_owned()),
    }
}

/// Of very many failures the first, as far as one event carries them.
fn carried(failures: Vec<CheckFailure>, masker: &Masker) -> Vec<CheckFailure> {
    const LONGEST: usize = 2 * 1024;
    let mut bytes = 0;
    let shorten = |text: String| masked(&text, masker, LONGEST);
    let failures = failures.into_iter().map(|failure| failure.with_texts(shorten));
    let carried = failures.take_while(|CheckFailure { mismatch, .. }| {
        let before = bytes;
        bytes += mismatch.at.len() + mismatch.expected.len() + mismatch.actual.len();
        before == 0 || bytes <= limits::FAILURES_BYTES
    });
    carried.collect()
}

/// As much of the evidence as one result may carry, the first first.
fn within_budget(mut all: Vec<Evidence>) -> Vec<Evidence> {
    let mut left = limits::EVIDENCE_BYTES;
    for item in &mut all {
        if item.text.len() > left {
            item.text = cut(&item.text, left);
        }
        left = left.saturating_sub(item.text.len());
    }
    all.retain(|item| !item.text.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use meshproof_proto::matcher::Mismatch;

    use super::*;

    #[test]
    fn a_cut_text_says_how_long_it_was_and_never_splits_a_character() {
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("aé…", 2), "a… (6 bytes in all)");
    }

    #[test]
    fn wherever_a_text_is_cut_no_part_of_a_secret_is_left() {
        let secret = "S3cr3t-value-42";
        let masker = Masker::new([("key", secret)]).expect("long enough");
        for before in 0..200 {
            // Longer than what is looked at, so that both cuts fall into secrets.
            let text = format!("{}{}", ".".repeat(before), format!("{secret} ").repeat(200));
            let shown = masked(&text, &masker, 100);
            assert!(!shown.contains("S3cr"), "{shown}");
            assert!(shown.ends_with(&format!("({} bytes in all)", text.len())), "{shown}");
        }
        assert_eq!(masked(&format!("says {secret}"), &masker, 100), "says ***key***");
    }

    #[test]
    fn a_result_is_told_without_secrets_and_what_it_saved_stays() {
        let masker = Masker::new([("key", "hunter2hunter2")]).expect("long enough");
        let mismatch = Mismatch { at: "$.a".to_owned(), expected: "b".to_owned(), actual: "hunter2hunter2".to_owned() };
        let failed = Outcome::Failed(vec![CheckFailure { check: 0, mismatch }]);
        let message = || "it said hunter2hunter2".to_owned();
        for outcome in [failed, Outcome::CallFailed { message: message() }, Outcome::Unknown { message: message() }] {
            let saved = BTreeMap::from([("token".to_owned(), "\"hunter2hunter2\"".to_owned())]);
            let evidence = vec![evidence("response", "hunter2hunter2".repeat(10_000))];
            let result = told(StepResult { outcome, duration_ms: 1.0, tries: 1, saved, evidence }, &masker);
            assert_eq!(result.saved["token"], "\"hunter2hunter2\"");
            let shown = format!("{:?} {:?}", result.outcome, result.evidence);
            assert!(shown.contains("***key***") && !shown.contains("hunter2"), "{shown}");
        }
    }
}
