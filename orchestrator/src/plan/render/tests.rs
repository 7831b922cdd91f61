use super::*;
use crate::plan::{Code, Diagnostics};

fn drawn(text: &str, diagnostic: &Diagnostic) -> String {
    let source = Source::new("plan.yaml", text, &Diagnostics::default());
    diagnostics(&source, std::slice::from_ref(diagnostic), 0, Look::Plain)
}

#[test]
fn a_diagnostic_shows_place_caret_expectation_and_help() {
    let text = "tests:\n  - id: é\n    timout: 90s\n    steps: []\n";
    let at = text.find("timout").unwrap_or_default();
    let problem = Diagnostic::new(Code::UnknownKey, Span::new(at, at + 6), "a test has no key `timout`")
        .expected("`id`, `timeout` or `steps`")
        .did_you_mean("timout", ["timeout"]);
    assert_eq!(
        drawn(text, &problem),
        "\
MP0106

  x a test has no key `timout`
   ,-[plan.yaml:3:5]
 2 |   - id: é
 3 |     timout: 90s
   :     ^^^|^^
   :        `-- expected `id`, `timeout` or `steps`
 4 |     steps: []
   `----
  help: did you mean `timeout`?

1 mistake in plan.yaml; `meshproof explain MP0106` says more about the first
"
    );
}

#[test]
fn a_second_place_is_shown_with_the_first() {
    let text = "a: 1\nb: 2\na: 3\n";
    let problem = Diagnostic::new(Code::DuplicateKey, Span::new(10, 11), "the key `a` stands here twice")
        .label(Span::new(0, 1), "first here");
    let drawn = drawn(text, &problem);
    assert!(drawn.contains("[plan.yaml:3:1]") && drawn.contains("`-- first here"), "{drawn}");
}

#[test]
fn an_empty_file_and_a_place_behind_the_end_can_be_drawn() {
    for (text, span) in [("", Span::default()), ("a: 1\n", Span::new(5, 5)), ("a", Span::new(900, 1000))] {
        let drawn = drawn(text, &Diagnostic::new(Code::EmptyPlan, span, "there is nothing in this file"));
        assert!(drawn.contains("MP0111") && drawn.contains("nothing in this file"), "{drawn}");
    }
}

#[test]
fn a_long_line_is_cut_around_its_place_and_keeps_its_column() {
    let text = format!("a: 1\nb: \"{}\" # WRONG {}\nc: {}\n", "é".repeat(500), "x".repeat(500), "y".repeat(900));
    let at = text.find("WRONG").unwrap_or_default();
    let problem = Diagnostic::new(Code::Choice, Span::new(at, at + 5), "it is wrong").expected("something else");
    let drawn = drawn(&text, &problem);
    assert!(drawn.contains("[plan.yaml:2:509]"), "{drawn}");
    let lines: Vec<&str> = drawn.lines().collect();
    let line = lines.iter().find(|line| line.contains("WRONG")).expect("the line is there");
    let caret = lines.iter().find(|line| line.contains("^^|^^")).expect("the caret is there");
    let column = |line: &str, what: &str| line.find(what).map(|at| line[..at].chars().count());
    assert_eq!(column(line, "WRONG"), column(caret, "^^|^^"), "{drawn}");
    assert!(line.contains("...é") && line.ends_with("x..."), "{drawn}");
    assert!(lines.iter().all(|line| line.chars().count() < 230), "{drawn}");
}

#[test]
fn places_outside_of_what_is_left_of_a_line_stay_on_it() {
    let text = format!("key: {}", "é".repeat(2_000));
    let problem = Diagnostic::new(Code::Choice, Span::new(5, text.len()), "it is wrong")
        .label(Span::new(text.len() - 2, text.len()), "and here");
    for ending in ["", "\n"] {
        let drawn = drawn(&format!("{text}{ending}"), &problem);
        assert!(drawn.contains("[plan.yaml:1:6]") && drawn.contains("and here"), "{drawn}");
    }
}
