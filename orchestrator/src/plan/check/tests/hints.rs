//! What is said to people who guess a key, and what is wrong with files beside a plan.

use std::io;
use std::path::Path;

use super::*;
use crate::plan::limits::MAX_BESIDE_BYTES;

/// The one mistake of a small plan after a replacement: what was expected, and what may help.
fn advice(from: &str, to: &str) -> String {
    let text = SMALL.replace(from, to);
    assert_ne!(text, SMALL, "{from}");
    let found = checked(&text).plan.expect_err("it is wrong").found;
    let [only] = &found[..] else { panic!("{to}: {found:#?}") };
    format!("{}; {}", only.expected.as_deref().unwrap_or_default(), only.help.as_deref().unwrap_or_default())
}

#[test]
fn who_guesses_a_key_is_told_what_to_write_instead() {
    const STEP: &str = "fault: slow\n        for: 2s\n        prove: 10%";
    for (from, to, said) in [
        (
            STEP,
            "fault: slow\n        colour: red",
            "a modifier of `fault`: id name optional idempotent for prove within when",
        ),
        (STEP, "say: x\n        interval: 1s", "`eventually: 30s` tries"),
        (STEP, "to: shop\n        http: { get: /, timeout: 3s }", "`within` bounds one attempt"),
        (STEP, "to: shop\n        http: { get: /, timeout: 3s }", "it stands beside `http`"),
        (STEP, "to: shop\n        http: { get: /, follow: true }", "no redirect is followed"),
        (STEP, "to: shop\n        http: { get: / }\n        expect: { json: { n: 3 } }", "as `$.n`"),
        (
            STEP,
            "to: shop\n        http: { get: / }\n        expect: { json: { contain: 3 } }",
            "did you mean `contains`?",
        ),
        (STEP, "to: shop\n        http: { get: / }\n        retry: 3", "`eventually: 30s` repeats a step"),
        ("{ argv: [./shop, \"--port=${{ self.http.port }}\"] }", "{ shell: ./shop }", "`argv: [/bin/sh, -c, LINE]`"),
        (
            "ports: { tcp: 7070 }",
            "ports: { tcp: 7070 }\n    ready: { tcp: {}, interval: 1s }",
            "`eventually: 30s` tries",
        ),
        (
            "ports: { tcp: 7070 }",
            "ports: { tcp: 7070 }\n    ready: { tcp: {}, frequency: 1s }",
            "a modifier of `tcp`: id name optional idempotent expect at to save",
        ),
    ] {
        let advice = advice(from, to);
        assert!(advice.contains(said), "{to}: {advice}");
    }
}

#[test]
fn a_parameter_that_cannot_be_read_is_one_mistake_however_often_it_is_used() {
    let found = changed("limit: { type: duration, default: 5s }", "limit: 5s");
    assert_eq!(found, ["MP0108 [5s] the text `5s` does not fit here"]);
    let found = changed("type: duration, default: 5s", "default: 5s");
    assert_eq!(found, ["MP0107 [default] a parameter needs `type`"]);
}

const NEEDS_FILES: &str = "meshproof: 1
plan: files
services:
  shop: { exec: { argv: [shop] }, ports: { grpc: dynamic }, files: { a: { from: FILE } } }
  far: { exec: { argv: [far] }, ports: { tcp: dynamic } }
tests:
  - id: t
    steps:
      - repeat: { times: 3, steps: [{ to: shop, grpc: { call: acme.Shop/Buy, proto: PROTO } }] }
      - { at: shop, to: far, stream: { data: { file: DATA }, apply: { tcp: { send: a } } } }
";

/// A disk with a few files on it.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let proto = |body: &str| Ok(format!("syntax = \"proto3\"; package acme; {body}").into_bytes());
    match path.strip_prefix("/plans").ok().and_then(Path::to_str) {
        Some("good") => Ok(b"1\n\n2\n".to_vec()),
        Some("long") => Ok(b"17\n".repeat(MAX_BESIDE_BYTES)),
        Some("line") => Ok(vec![b'7'; MAX_BESIDE_BYTES + 1]),
        Some("torn") => Ok([b"{\n".as_slice(), &b"17\n".repeat(MAX_BESIDE_BYTES)].concat()),
        Some("shut") => Err(io::ErrorKind::PermissionDenied.into()),
        Some("sub/shop.proto") => proto("import \"money.proto\"; service Shop { rpc Buy (Money) returns (Money); }"),
        Some("sub/money.proto") => proto("message Money {}"),
        Some("plain.proto") => proto("message Money {} service Shop { rpc Sell (Money) returns (Money); }"),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn of_files(text: &str, [file, proto, data]: [&str; 3]) -> Checked {
    let text = text.replace("FILE", file).replace("PROTO", proto).replace("DATA", data);
    let inputs = Inputs { dir: "/plans".to_owned(), read_file: Some(read_file), ..Inputs::default() };
    check("plan.yaml", text.as_bytes(), &inputs)
}

#[test]
fn files_beside_a_plan_are_looked_at_all_at_once() {
    const BOTH: &str = "[sub/shop.proto, sub/money.proto]";
    let wrong = |files: [&str; 3]| {
        let Checked { source, plan } = of_files(NEEDS_FILES, files);
        let shown = |found: &Diagnostic| format!("[{}] {}", source.slice(found.span), found.message);
        plan.map_or_else(|mistakes| mistakes.found.iter().map(shown).collect::<Vec<_>>(), |_| Vec::new())
    };
    assert_eq!(wrong(["good", BOTH, "good"]), Vec::<String>::new());
    assert_eq!(wrong(["long", BOTH, "long"]), Vec::<String>::new(), "what is copied or sent may be long");
    assert_eq!(wrong(["good", "long", "line"])[0], "[long] `long` is too long", "a description goes into an order");
    assert_eq!(wrong(["good", BOTH, "line"]), ["[line] the first line of `line` is too long"]);
    assert!(wrong(["good", BOTH, "torn"])[0].starts_with("[torn] line 1 of `torn` is no JSON"));
    assert_eq!(
        wrong(["gone", "[sub/shop.proto, gone.proto]", "shut"]),
        [
            "[gone] there is no file `gone` beside the plan",
            "[gone.proto] there is no file `gone.proto` beside the plan",
            "[shut] `shut` cannot be read: permission denied",
        ]
    );
    assert_eq!(
        wrong(["good", "sub/shop.proto", "good"]),
        ["[sub/shop.proto] this describes nothing: sub/shop.proto:1:34: import 'money.proto' not found"]
    );
    assert_eq!(
        wrong(["good", "plain.proto", "good"]),
        ["[acme.Shop/Buy] there is no method `acme.Shop/Buy` in `plain.proto`"]
    );
}

#[test]
fn what_a_plan_with_a_build_does_not_find_is_left_to_its_build() {
    let built = NEEDS_FILES.replace("services:", "build: { argv: [make] }\nservices:");
    let left =
        of_files(&built, ["made", "made.proto", "made.ndjson"]).plan.expect("the build makes them").left_to_build;
    let left: Vec<&str> = left.iter().map(|file| file.value.as_str()).collect();
    assert_eq!(left, ["made", "made.proto", "made.ndjson"]);
    let found = of_files(&built, ["shut", "plain.proto", "good"]).plan.expect_err("no build changes that").found;
    assert_eq!(found.len(), 2, "{found:#?}");
}
