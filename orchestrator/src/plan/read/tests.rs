use super::*;
use crate::plan::{Diagnostic, Diagnostics, Node, Source, parse_yaml};

fn tree(text: &str) -> (Source, Node) {
    let sink = Diagnostics::default();
    let source = Source::new("plan.yaml", text, &sink);
    let node = parse_yaml(&source, &sink).expect("the test's own text is YAML");
    (source, node)
}

/// Code, caret text and help of everything that reading `text` reports.
fn problems(text: &str, read: impl for<'n> FnOnce(&'n Node, &'n Reading<'n>)) -> Vec<String> {
    let (source, node) = tree(text);
    let sink = Diagnostics::default();
    read(&node, &Reading::new(&source, &sink));
    let shown = |problem: Diagnostic| {
        let help = problem.help.map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{} [{}] {}{help}", problem.code, source.slice(problem.span), problem.message)
    };
    sink.finish().into_iter().map(shown).collect()
}

#[test]
fn unknown_missing_and_later_keys_are_reported_together() {
    let found = problems("{ nmae: x, later: 1, other: 2 }", |node, sink| {
        let mut fields = Fields::open(node, "a thing", sink).expect("it is a map");
        assert!(fields.required("name", text).is_none());
        fields.later(&["later"]);
        fields.finish();
    });
    assert_eq!(
        found,
        [
            "MP0106 [nmae] a thing has no key `nmae` (did you mean `name`?)",
            "MP0107 [nmae] a thing needs `name`",
            "MP0110 [later] `later` is not supported by this version yet (it is refused rather than ignored, so that a pass never rests on it)",
            "MP0106 [other] a thing has no key `other`",
        ]
    );
}

#[test]
fn quantities_say_what_is_wrong_with_them() {
    let found = problems("[5, 5sec, 5 s, soon, 200000d, [1], '${{ params.x }}', 5s]", |node, sink| {
        let read = each(node, sink, duration).expect("it is a list");
        assert_eq!(read.len(), 2);
    });
    assert_eq!(
        found,
        [
            "MP0201 [5] a bare number where a unit belongs (write its unit: `us`, `ms`, `s`, `m`, `h` or `d`)",
            "MP0202 [5sec] `sec` is not a unit of a duration (did you mean `s`?)",
            "MP0202 [5 s] `s` is not a unit of a duration (number and unit stand together, without a space)",
            "MP0202 [soon] `soon` is not a duration",
            "MP0203 [200000d] `200000d` is out of range (at most 30d)",
            "MP0108 [[1]] a list does not fit here",
        ]
    );
}

#[test]
fn units_of_other_tools_are_told_as_ours() {
    let found = problems("[64MB, 1g, 64quarks]", |node, sink| assert_eq!(each(node, sink, size), Some(Vec::new())));
    assert_eq!(
        found,
        [
            "MP0202 [64MB] `MB` is not a unit of a size (did you mean `MiB`?)",
            "MP0202 [1g] `g` is not a unit of a size (did you mean `GiB`?)",
            "MP0202 [64quarks] `quarks` is not a unit of a size (the units are B KiB MiB GiB)",
        ]
    );
}

#[test]
fn words_numbers_and_names_are_held_to_their_bounds() {
    let found = problems("[htpp, 65536, -1, 9zip, true]", |node, sink| {
        let items = list(node, sink).expect("it is a list");
        choice(&items[0], &[("http", 1), ("tcp", 2)], sink);
        integer(&items[1], 1..=65535, sink);
        count(&items[2], sink);
        name(&items[3], sink);
        assert_eq!(boolean(&items[4], sink).map(|found| found.value), Some(true));
    });
    assert_eq!(
        found,
        [
            "MP0204 [htpp] `htpp` is not one of the choices (did you mean `http`?)",
            "MP0203 [65536] 65536 is out of range",
            "MP0203 [-1] `-1` is not a whole number from 0 on",
            "MP0205 [9zip] `9zip` cannot be a name",
        ]
    );
}
