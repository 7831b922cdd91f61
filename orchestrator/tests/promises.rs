//! docs/promises.md and docs/traps.md name only tests that exist, and the promises leave out none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust source of the project below a folder.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder of the project").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// All of the project's Rust, in one text.
fn all_sources() -> String {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    files.iter().map(|file| std::fs::read_to_string(file).expect("a source")).collect()
}

/// A test is a function, or a scenario of the healing target, by its sentence.
fn is_test(text: &str, name: &str) -> bool {
    text.contains(&format!("fn {name}(")) || text.contains(&format!("\"{name}\", "))
}

/// Of a page's table with three columns: the last one names tests, or begins with `open`.
fn assert_rows_name_tests(page: &str, open: &str) {
    let page = std::fs::read_to_string(root().join(page)).expect(page);
    let text = all_sources();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(!rows.is_empty());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [what, _, shown] = cells[..] else { panic!("three cells were expected: {row}") };
        let named: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty() || shown.starts_with(open), "{what}: neither a test nor open");
        for test in named {
            assert!(is_test(&text, test), "{what} names `{test}`, and there is no such test");
        }
    }
}

#[test]
fn every_trap_names_a_test_that_exists_or_says_that_it_is_open() {
    assert_rows_name_tests("docs/traps.md", "open: ");
}

#[test]
fn every_guarantee_names_tests_that_exist_or_says_that_it_is_open() {
    assert_rows_name_tests("docs/guarantees.md", "open");
}

#[test]
fn every_threat_has_an_answer_and_names_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/security.md")).expect("docs/security.md");
    let text = all_sources();
    let table = page.lines().skip_while(|line| !line.starts_with("| asset |"));
    let rows: Vec<&str> = table.skip(2).take_while(|line| line.starts_with("| ")).collect();
    assert!(!rows.is_empty());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [asset, attacker, attack, answer, shown] = cells[..] else { panic!("five cells were expected: {row}") };
        assert!([asset, attacker, attack, answer].iter().all(|cell| !cell.is_empty()), "{row}");
        let named: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{attack}: no test");
        for test in named {
            assert!(text.contains(&format!("fn {test}(")), "{attack} names `{test}`, and there is no such test");
        }
    }
}

#[test]
fn every_promise_is_listed_once_and_names_a_test_that_exists_or_says_that_it_is_open() {
    let page = std::fs::read_to_string(root().join("docs/promises.md")).expect("docs/promises.md");
    let text = all_sources();
    let mut ids = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| S")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [id, _, shown] = cells[..] else { panic!("three cells were expected: {row}") };
        assert!(ids.insert(id.to_owned()), "{id} is listed twice");
        let named: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty() || shown == "open", "{id}: neither a test nor open");
        for test in named {
            assert!(is_test(&text, test), "{id} names `{test}`, and there is no such test");
        }
    }
    let expected = [("S0", 32), ("S1", 26), ("S2", 13), ("S3", 14), ("S4", 17)];
    let expected = expected.iter().flat_map(|(source, count)| (1..=*count).map(move |n| format!("{source}-{n:02}")));
    assert_eq!(ids, expected.collect());
}
