//! A journal that ends anywhere: its run was killed there, or still goes on.

use meshproof::report::{self, Story};

use crate::records;

#[test]
fn a_journal_that_breaks_off_anywhere_is_told_as_far_as_it_goes_and_never_as_a_pass() {
    let all = records();
    for end in (0..all.len()).step_by(5) {
        let story = Story::of(all[..end].to_vec());
        let page = report::html(&story);
        assert!(page.contains("<span class=\"badge\">broke off</span>"), "after {end} records");
        assert!(page.contains("the run never came to its end"), "after {end} records");
        assert!(!page.contains("NaN") && !page.contains("inf%"), "after {end} records");
        assert!(report::markdown(&story).starts_with("## ❌ "), "after {end} records");
        let document: serde_json::Value = serde_json::from_str(&report::json(&story)).expect("one document");
        assert_eq!((&document["verdict"], &document["ended"]), (&"error".into(), &false.into()), "after {end} records");
        serde_json::from_str::<serde_json::Value>(&report::trace(&story)).expect("one document");
    }
}
