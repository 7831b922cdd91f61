//! `testdata/wrong`: plans with one mistake each, and what is said about it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use meshproof::beside;
use meshproof::plan::{self, Checked, Code, Diagnostic, Inputs, SecretInputs, Source, Wanted};

/// One wrong plan.
#[derive(Debug)]
struct Wrong {
    cause: String,
    text: String,
    /// Secrets that it is given.
    given: BTreeMap<String, String>,
    /// `MP0106 3:1`
    expected: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/wrong")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).expect("a file of testdata")
}

/// Each cause once, then some of them again in other places.
const FILES: [&str; 2] = ["mistakes.txt", "places.txt"];

/// Every paragraph of the file; its head says how it is written.
fn wrong(file: &str) -> Vec<Wrong> {
    let right = read("right.yaml");
    let file = read(file);
    file.split("\n\n").skip(1).map(|paragraph| of(paragraph, &right)).collect()
}

fn of(paragraph: &str, right: &str) -> Wrong {
    let mut lines = paragraph.trim_matches('\n').lines();
    let cause = lines.next().expect("a cause").to_owned();
    let (mut from, mut to, mut expected) = (None, None, None);
    let mut given = BTreeMap::new();
    for line in lines {
        match line.split_at(2) {
            ("- ", rest) => from = Some(unescaped(rest)),
            ("+ ", rest) => to = Some(unescaped(rest)),
            ("@ ", rest) => given.extend(rest.split_once('=').map(|(name, value)| (name.to_owned(), secret(value)))),
            ("= ", rest) => expected = Some(rest.to_owned()),
            _ => panic!("{cause}: {line}"),
        }
    }
    let (to, expected) = (to.expect("what stands there"), expected.expect("what is said"));
    let text = match from {
        None => to,
        Some(from) => {
            assert_eq!(right.matches(&from).count(), 1, "{cause}: {from:?} stands once in right.yaml");
            right.replace(&from, &to)
        }
    };
    Wrong { cause, text, given, expected }
}

/// `<9>`: so many bytes.
fn secret(text: &str) -> String {
    let bytes = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')?.parse().ok());
    bytes.map_or_else(|| text.to_owned(), |bytes| "x".repeat(bytes))
}

/// `\n`, `\t`, `\\` and `\u{202e}`.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out += &rest[..at];
        let (kind, after) = rest[at + 1..].split_at(1);
        rest = after;
        match kind {
            "n" => out.push('\n'),
            "t" => out.push('\t'),
            "\\" => out.push('\\'),
            "u" => {
                let (digits, after) = rest[1..].split_once('}').expect("a closing brace");
                out.extend(u32::from_str_radix(digits, 16).ok().and_then(char::from_u32));
                rest = after;
            }
            other => panic!("what is \\{other} in {text}?"),
        }
    }
    out + rest
}

/// Everything that is wrong with a text, and the text with its lines.
fn checked(text: &str, given: &BTreeMap<String, String>) -> (Source, Vec<Diagnostic>) {
    let secrets = SecretInputs { given: given.clone(), wanted: Wanted::Values, ..SecretInputs::default() };
    let dir = folder().to_string_lossy().into_owned();
    let inputs = Inputs { dir, secrets, read_file: Some(beside::read), ..Inputs::default() };
    let Checked { source, plan } = plan::check("plan.yaml", text.as_bytes(), &inputs);
    (source, plan.err().map_or_else(Vec::new, |mistakes| mistakes.found))
}

fn mistakes(text: &str, given: &BTreeMap<String, String>) -> Vec<Diagnostic> {
    checked(text, given).1
}

/// Each as `MP0106 3:1`.
fn places(text: &str, given: &BTreeMap<String, String>) -> Vec<String> {
    let (source, found) = checked(text, given);
    let place = |found: &Diagnostic| {
        let position = source.position(found.span.start);
        format!("{} {}:{}", found.code, position.line, position.column)
    };
    found.iter().map(place).collect()
}

/// A text without what it quotes and without numbers: what the messages of one cause have in common.
fn shape(text: &str) -> String {
    let outside: Vec<&str> = text.split('`').step_by(2).collect();
    outside.join("`…`").split(|letter: char| letter.is_ascii_digit()).filter(|part| !part.is_empty()).collect()
}

#[test]
fn the_plan_that_is_changed_is_right_as_it_stands() {
    assert_eq!(mistakes(&read("right.yaml"), &BTreeMap::new()), []);
}

#[test]
fn each_wrong_plan_is_refused_for_its_one_mistake_where_it_stands() {
    let causes = wrong("mistakes.txt");
    assert!(causes.len() >= 200, "{}", causes.len());
    let mut bad = String::new();
    for Wrong { cause, text, given, expected } in causes.into_iter().chain(wrong("places.txt")) {
        let found = places(&text, &given);
        if found != [expected.clone()] {
            bad += &format!("{cause}: expected {expected}, found {found:?}\n");
        }
    }
    assert!(bad.is_empty(), "{bad}");
}

#[test]
fn every_code_is_covered_and_no_two_plans_have_one_cause() {
    let mut covered = BTreeSet::new();
    let mut causes: BTreeMap<(Code, String, String), String> = BTreeMap::new();
    let mut alike = String::new();
    for Wrong { cause, text, given, .. } in wrong("mistakes.txt") {
        for found in mistakes(&text, &given) {
            covered.insert(found.code);
            let said = (found.code, shape(&found.message), shape(found.expected.as_deref().unwrap_or_default()));
            if let Some(before) = causes.insert(said.clone(), cause.clone()) {
                alike += &format!("{cause} is {before} again: {said:?}\n");
            }
        }
    }
    assert!(alike.is_empty(), "these belong into places.txt:\n{alike}");
    let missing: Vec<Code> = Code::all().filter(|code| !covered.contains(code)).collect();
    assert_eq!(missing, [], "write a plan for each into testdata/wrong/mistakes.txt");
}

#[test]
fn no_plan_stands_here_twice() {
    let all: Vec<Wrong> = FILES.into_iter().flat_map(wrong).collect();
    let names: BTreeSet<&str> = all.iter().map(|wrong| wrong.cause.as_str()).collect();
    let texts: BTreeSet<_> = all.iter().map(|wrong| (&wrong.text, &wrong.given)).collect();
    assert_eq!((names.len(), texts.len()), (all.len(), all.len()));
}
