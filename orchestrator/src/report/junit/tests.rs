use meshproof_proto::event::{CheckFailure, Evidence, Outcome};
use meshproof_proto::matcher::Mismatch;

use super::*;
use crate::journal::{self, Journal};
use crate::record::Entry;
use crate::run::tests::world::{PLAN, World, name};
use crate::run::{Input, Output};

fn records(world: &World) -> Vec<Record> {
    let entries = world.records.iter().map(|what| Entry::own(0, what.clone()));
    (1..).zip(entries).map(|(n, entry)| Record { n, entry }).collect()
}

fn xml(world: &World) -> String {
    junit(&records(world)).expect("plain text")
}

#[test]
fn a_failed_test_says_where_and_what_and_the_rest_is_as_it_was() {
    let mut world = World::new(PLAN);
    let mismatch = Mismatch { at: String::new(), expected: "202".to_owned(), actual: "<&\x1b>".to_owned() };
    world.outcomes.insert("one/1".to_owned(), Outcome::Failed(vec![CheckFailure { check: 0, mismatch }]));
    world.evidence = vec![Evidence { title: "response".to_owned(), text: "a\nb".to_owned() }];
    let xml = xml(&world.play());
    assert!(xml.contains(r#"<testsuite name="p" tests="2" skipped="0" errors="0" failures="1""#), "{xml}");
    assert!(xml.contains(r#"<failure message="one / order: `status` is not as expected" type="fail">"#), "{xml}");
    assert!(xml.contains("at plan.yaml:25:19") && xml.contains("actual: &lt;&amp;\\u{1b}&gt;"), "{xml}");
    assert!(xml.contains("FAIL [  0.001s] one 2/4 order  POST /orders to shop: `status`"), "{xml}");
}

#[test]
fn tests_that_were_not_run_are_skipped_and_what_ended_the_run_is_a_case_of_its_own() {
    let is_ready = |output: &Output| matches!(output, Output::Order { .. });
    let mut world = World::new(PLAN);
    world.silent = is_ready;
    let mut world = world.play_until(is_ready);
    world.inbox.push_back(Input::AgentLost { agent: name("ledger"), reason: "killed".to_owned() });
    let xml = xml(&world.play());
    assert!(xml.contains(r#"tests="3" skipped="2" errors="1" failures="0""#), "{xml}");
    assert!(xml.contains(r#"<testcase name="(run)""#) && xml.contains("agent `ledger` was lost: killed"), "{xml}");
}

#[test]
fn a_journal_that_breaks_off_never_reads_as_a_pass() {
    let world = World::new(PLAN).play();
    let all = records(&world);
    for end in 2..all.len() {
        let xml = junit(&all[..end]).expect("plain text");
        assert!(xml.contains("<error"), "after {end} records: {xml}");
    }
    assert!(!xml(&world).contains("<error"));
}

#[test]
fn reports_are_written_beside_the_journal() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut journal = Journal::create(&dir.path().join(journal::FILE_NAME)).expect("made");
    for what in World::new(PLAN).play().records {
        journal.append(Entry::own(0, what)).expect("written");
    }
    crate::report::write(dir.path()).expect("written");
    let xml = std::fs::read_to_string(dir.path().join(JUNIT_FILE_NAME)).expect("there");
    assert!(xml.contains(r#"<testcase name="one""#), "{xml}");
    let page = std::fs::read_to_string(dir.path().join(crate::report::HTML_FILE_NAME)).expect("there");
    assert!(page.contains("<h1>p</h1>"), "{page}");
}
