//! `UPDATE_GOLDEN=1` writes the files anew; look at the difference.

use meshproof::report;

use crate::{golden, records, story};

fn hold(name: &str, text: &str) {
    let path = golden(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("a writable tree");
    }
    let expected = std::fs::read_to_string(&path).expect("UPDATE_GOLDEN=1 makes it");
    assert!(text == expected, "{} is not what comes out now:\n{text}", path.display());
}

#[test]
fn a_run_as_markdown_reads_as_in_the_golden_file() {
    hold("report.md", &report::markdown(&story()));
}

#[test]
fn a_run_as_json_reads_as_in_the_golden_file() {
    hold("report.json", &report::json(&story()));
}

#[test]
fn a_run_as_junit_reads_as_in_the_golden_file() {
    hold("junit.xml", &report::junit(&records()).expect("plain text"));
}

#[test]
fn a_run_as_github_annotations_reads_as_in_the_golden_file() {
    hold("annotations.txt", &report::annotations(&story()));
}

#[test]
fn a_trace_has_a_track_for_each_agent_and_every_begin_has_its_end() {
    let trace: serde_json::Value = serde_json::from_str(&report::trace(&story())).expect("one document");
    let events = trace["traceEvents"].as_array().expect("a list");
    let of = |phase: &str| events.iter().filter(|event| event["ph"] == phase).count();
    let tracks = events.iter().filter(|event| event["name"] == "thread_name").map(|event| &event["args"]["name"]);
    assert_eq!(tracks.collect::<Vec<_>>(), ["tests", "faults", "ledger", "orchestrator", "shop"]);
    assert_eq!(of("b"), of("e"));
    let steps = story().steps.all.len();
    let drawn = events.iter().filter(|event| event["cat"] == "step" && event["ph"] != "e").count();
    assert_eq!(drawn, steps, "every step is there once");
    let whole = events.iter().filter(|event| event["ph"] == "X");
    for event in whole {
        assert!(event["ts"].as_f64() >= Some(0.0) && event["dur"].as_f64() >= Some(0.0), "{event}");
    }
}

#[test]
fn a_run_does_not_differ_from_itself_and_a_failing_test_makes_it_worse() {
    let (before, mut after) = (story(), story());
    let same = report::Diff::of(&before, &after);
    assert!(!same.is_worse());
    assert!(same.text().ends_with("nothing of note differs\n"), "{}", same.text());
    let passed = after.tests.iter_mut().find(|test| test.verdict == Some(meshproof_proto::verdict::Verdict::Pass));
    passed.expect("one of them passed").verdict = Some(meshproof_proto::verdict::Verdict::Fail);
    let worse = report::Diff::of(&before, &after);
    assert!(worse.is_worse() && worse.text().contains(": pass -> fail\n"), "{}", worse.text());
    assert!(!report::Diff::of(&after, &before).is_worse());
}

/// The story of the fixed journal, had its plan set bounds: one in a step that failed, one in a step that passed 40 times.
#[test]
fn a_page_tells_which_thresholds_held_and_what_came_instead() {
    let mut story = story();
    let how = story.invocation.as_mut().expect("the command started it");
    let (passed, failed) = ("{ status: 202 }", "status: 201, json: { $.state");
    assert!(how.plan.contains(passed) && how.plan.contains(failed));
    // as long as before, for the failure names its place
    how.plan = how.plan.replace(passed, "{ status: \"<9\"}").replace(failed, "status: \"> 300\", json: { $.state");
    let page = report::html(&story);
    assert!(page.contains("1 of 2 thresholds held"), "the verdict rests on them");
    let (_, section) = page.split_once("id=\"thresholds\"").expect("there is such a section");
    let (section, _) = section.split_once("</section>").expect("it ends");
    let rows: Vec<String> = section.split("<tr>").skip(2).map(words).collect();
    let [held, broken] = &rows[..] else { panic!("two rows: {rows:#?}") };
    assert!(
        held.starts_with("many-orders-while-an-agent-dies · POST /orders to shop status &lt;9 line 61 within "),
        "{held}"
    );
    assert!(held.contains(" 40 of 40 ✓"), "{held}");
    assert!(broken.starts_with("an-order-is-created · POST /orders to shop status &gt; 300 line 78 202 "), "{broken}");
    assert!(broken.contains(" 0 of 1 ✗"), "{broken}");
    // without a bound in the plan there is no such section
    assert!(!report::html(&crate::story()).contains("id=\"thresholds\""));
}

/// What stands between the tags.
fn words(row: &str) -> String {
    let texts = row.split('<').filter_map(|piece| piece.split_once('>').map(|(_, text)| text.trim()));
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}
