//! JSONPath as plans use it, held against what RFC 9535 says: what a path finds, and what is no path.

use meshproof_proto::expr::ValueTemplate;
use meshproof_proto::matcher::{Actual, Matcher};
use serde_json::{Value, json};

/// Whether the path finds this: one value, several as a list, or nothing.
fn finds(document: &Value, path: &str, expected: Option<&Value>) -> Result<(), String> {
    let matcher = match expected {
        Some(value) => Matcher::Equals(ValueTemplate::fixed(value)),
        None => Matcher::Exists(false),
    };
    let paths = Matcher::Paths(vec![(path.to_owned(), matcher)]);
    let checked = paths.check(&Actual::Json(document.clone()), &Value::Null);
    checked.map_err(|mismatch| format!("{path}: expected {}, found {}", mismatch.expected, mismatch.actual))
}

/// The document of the RFC's examples of comparisons and of names.
fn sample() -> Value {
    json!({
        "o": {"j j": {"k.k": 3}, "'": {"@": 2}},
        "a": [3, 5, 1, 2, 4, 6, {"b": "j"}, {"b": "k"}, {"b": {}}, {"b": "kilo"}],
        "p": {"p": 1, "q": 2, "r": 3, "s": 5, "t": {"u": 6}},
        "e": "f",
        "n": null,
        "t": true,
        "deep": [0, [1, [2]], {"x": [3]}],
        "\u{263a}": "smile",
        "z": [],
    })
}

#[test]
fn a_path_finds_what_the_standard_says() {
    let rows: &[(&str, Option<Value>)] = &[
        // Names (2.3.1): in dots, in brackets, with either quote and with escapes.
        ("$.e", Some(json!("f"))),
        ("$['e']", Some(json!("f"))),
        ("$[\"e\"]", Some(json!("f"))),
        ("$.o['j j']['k.k']", Some(json!(3))),
        ("$[\"o\"][\"'\"][\"@\"]", Some(json!(2))),
        ("$.o['\\'']['@']", Some(json!(2))),
        ("$.\u{263a}", Some(json!("smile"))),
        ("$['\\u263a']", Some(json!("smile"))),
        ("$.nobody", None),
        ("$.e.f", None),
        // A value that is null is there (2.6).
        ("$.n", Some(json!(null))),
        ("$.n.x", None),
        // Wildcards (2.3.2).
        ("$.deep[*]", Some(json!([0, [1, [2]], {"x": [3]}]))),
        ("$.p.t.*", Some(json!(6))),
        ("$.z[*]", None),
        ("$.e.*", None),
        // Indexes (2.3.3), from the end too; out of range is nothing.
        ("$.a[0]", Some(json!(3))),
        ("$.a[-1]", Some(json!({"b": "kilo"}))),
        ("$.a[10]", None),
        ("$.a[-11]", None),
        ("$.p[0]", None),
        // Slices (2.3.4).
        ("$.a[1:3]", Some(json!([5, 1]))),
        ("$.a[8:]", Some(json!([{"b": {}}, {"b": "kilo"}]))),
        ("$.a[0:5:2]", Some(json!([3, 1, 4]))),
        ("$.a[5:1:-2]", Some(json!([6, 2]))),
        ("$.a[2::-1]", Some(json!([1, 5, 3]))),
        ("$.a[-2:]", Some(json!([{"b": {}}, {"b": "kilo"}]))),
        ("$.a[1:1]", None),
        ("$.a[0:2:0]", None),
        // Several selectors (2.5.1), in their order.
        ("$.a[0,2,1]", Some(json!([3, 1, 5]))),
        ("$.p['q','p']", Some(json!([2, 1]))),
        ("$.a[0:2,5]", Some(json!([3, 5, 6]))),
        // Descendants (2.5.2).
        ("$..k", None),
        ("$.deep..x", Some(json!([3]))),
        ("$.deep..[0]", Some(json!([0, 1, 2, 3]))),
        ("$..u", Some(json!(6))),
        // Filters (2.3.5): existence, comparisons, and, or, not.
        ("$.a[?@.b == 'kilo']", Some(json!({"b": "kilo"}))),
        ("$.a[?(@.b == 'kilo')]", Some(json!({"b": "kilo"}))),
        ("$.a[?@ > 3.5]", Some(json!([5, 4, 6]))),
        ("$.a[?@ >= 5]", Some(json!([5, 6]))),
        ("$.a[?@.b]", Some(json!([{"b": "j"}, {"b": "k"}, {"b": {}}, {"b": "kilo"}]))),
        ("$.a[?!@.b]", Some(json!([3, 5, 1, 2, 4, 6]))),
        ("$.a[?@ < 2 || @.b == 'k']", Some(json!([1, {"b": "k"}]))),
        ("$.a[?@ > 1 && @ < 4]", Some(json!([3, 2]))),
        ("$.a[?@.b != 'j']", Some(json!([3, 5, 1, 2, 4, 6, {"b": "k"}, {"b": {}}, {"b": "kilo"}]))),
        ("$.p[?@ == $.p.q]", Some(json!(2))),
        ("$.a[?@ == '3']", None),
        // What is not there equals what is not there, and nothing else (2.3.5.2.2).
        ("$.a[?@.none == @.nowhere][0]", None),
        ("$.deep[?@.none == null]", None),
        // Functions (2.4).
        ("$.a[?length(@.b) == 4]", Some(json!({"b": "kilo"}))),
        ("$.a[?match(@.b, '[jk]')]", Some(json!([{"b": "j"}, {"b": "k"}]))),
        ("$.a[?search(@.b, '[jk]')]", Some(json!([{"b": "j"}, {"b": "k"}, {"b": "kilo"}]))),
        ("$.deep[?count(@.*) == 2]", Some(json!([1, [2]]))),
        ("$.a[?value(@..b) == 'j']", Some(json!({"b": "j"}))),
    ];
    let document = sample();
    let wrong: Vec<String> =
        rows.iter().filter_map(|(path, expected)| finds(&document, path, expected.as_ref()).err()).collect();
    assert!(wrong.is_empty(), "{} of {} paths:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn what_the_standard_calls_no_path_is_refused() {
    let rows = [
        "",
        "e",
        "$.",
        "$e",
        "$..",
        "$[",
        "$[]",
        "$.a[",
        "$.a[01]",
        "$.a[-0]",
        "$.a[1.0]",
        "$.a['e]",
        "$['e\"]",
        "$.a[?]",
        "$.a[?@.b ==]",
        "$.a[?@.b = 1]",
        "$.a[? 1]",
        "$.a[?true]",
        "$.a[?@.* == 1]",
        "$.a[?length(@.b)]",
        "$.a[?match(@.b, 'x') == true]",
        "$.a[?count(1) == 1]",
        "$.a[?unknown(@)]",
        "$.a[1:2:3:4]",
        "$.a[,]",
        "$.a[0,]",
        "$.0x",
        "$ .a.",
        "$.a[?@.b === 1]",
        "$.a[9007199254740992]",
        "$['\\x']",
    ];
    let taken: Vec<&str> =
        rows.into_iter().filter(|path| jsonpath_rust::parser::parse_json_path(path).is_ok()).collect();
    // The parser does not mind a number that stands where a truth belongs. Should it begin to, this line can go.
    assert_eq!(taken, ["$.a[?length(@.b)]"]);
}
