//! What a load says, and what is wrong with one.

use super::*;

fn plan(at: &str, load: &str, expect: &str) -> String {
    format!(
        "meshproof: 1\nplan: p\nservices:\n  a: {{ exec: {{ argv: [a] }}, ports: {{ http: dynamic }} }}\n  b: {{ exec: {{ argv: [b] }} }}\n\
             tests:\n  - id: t\n    steps:\n      - at: {at}\n        to: a\n        load: {{ {load} }}\n        expect: {{ {expect} }}\n"
    )
}

#[test]
fn a_load_says_what_it_calls_how_much_and_how_long() {
    let found = |at: &str, load: &str, expect: &str| {
        let told = problems(&plan(at, load, expect)).into_iter();
        told.map(|told| told.split_once(' ').expect("a code").1.to_owned()).collect::<Vec<_>>()
    };
    let http = "http: { get: / }";
    let fine = ["rate: 5/s, duration: 1s", "users: 3, duration: 1s", "stages: [{ rate: 5/s, duration: 1s }]"];
    for how in fine {
        let expect = "failed: 0%, rate: \">= 3/s\", p99: \"< 1s\"";
        assert_eq!(found("[b, a]", &format!("{http}, {how}"), expect), [""; 0]);
    }
    for (at, load, expect, told) in [
        (
            "b",
            "http: { get: / }, duration: 1s",
            "calls: 1",
            "[http] load needs how much: `rate: 200/s`, `users: 50` or `stages`",
        ),
        ("b", "http: { get: / }, rate: 5/s", "calls: 1", "[http] load needs how long: `duration: 30s`"),
        ("b", "rate: 5/s, duration: 1s", "calls: 1", "[rate] load needs a verb: `http`, `tcp`, `grpc`, `ws` or `exec`"),
        (
            "b",
            "http: { get: / }, rate: 5/s, users: 3, duration: 1s",
            "calls: 1",
            "[users] `rate` and `users` exclude each other",
        ),
        (
            "b",
            "http: { get: / }, stages: [{ rate: 5/s, duration: 1s }, { users: 3, duration: 1s }]",
            "calls: 1",
            "[3] some stages are of rates and some of users",
        ),
        (
            "b",
            "http: { get: / }, stages: [{ users: 0, duration: 1s }]",
            "calls: 1",
            "[[{ users: 0, duration: 1s }]] nobody makes no call",
        ),
        (
            "b",
            "http: { get: / }, stages: [{ rate: 5/s, duration: 1s }], duration: 3s",
            "calls: 1",
            "[duration] each stage says how long it is",
        ),
        (
            "b",
            "http: { get: / }, users: 3, duration: 1s, in-flight: 5",
            "calls: 1",
            "[in-flight] each user has one call under way, so their number says how many there are",
        ),
        ("b", "http: { get: / }, users: 10001, duration: 1s", "calls: 1", "[10001] more than one agent can make"),
        ("[b, b]", "http: { get: / }, rate: 5/s, duration: 1s", "calls: 1", "[b] `b` stands here twice"),
        ("b", "http: { get: / }, rate: 5/s, duration: 1s", "failed: 1", "[1] a bare number where a unit belongs"),
        (
            "b",
            "http: { get: / }, rate: 5/s, duration: 1s",
            "rate: \"> 5\"",
            "[\"> 5\"] a bare number where a unit belongs",
        ),
        (
            "b",
            "http: { get: / }, rate: 5/s, duration: 1s",
            "status: 200",
            "[status] the result of load has no `status`",
        ),
        ("b", "http: { get: / }, rate: 0/s, duration: 1s", "calls: 1", "[0/s] at this rate nothing is ever sent"),
    ] {
        assert_eq!(found(at, load, expect), [told], "{at} {load} {expect}");
    }
}

#[test]
fn only_a_load_is_made_by_several_agents() {
    let several =
        plan("[a, b]", "x", "y").replace("load: { x }", "http: { get: / }").replace("        expect: { y }\n", "");
    assert_eq!(problems(&several), ["MP0403 [b] one agent acts in such a step"]);
}
