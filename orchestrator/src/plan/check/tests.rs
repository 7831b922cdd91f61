//! The sample plans are the yardstick; what people read about the bad one is compared with a file.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::plan::compiled::Does;

mod hints;
mod load;
mod network;
mod refused;

const CHECKOUT: &str = include_str!("../../../../testdata/checkout/plan.yaml");
const CHECKOUT_FAILS: &str = include_str!("../../../../testdata/checkout-fails/plan.yaml");
const MISTAKES: &str = include_str!("../../../../testdata/mistakes/plan.yaml");
const MISTAKES_SHOWN: &str = include_str!("../../../../testdata/mistakes/diagnostics.txt");

fn checked(text: &str) -> Checked {
    let inputs = Inputs { dir: "/plans".to_owned(), ..Inputs::default() };
    check("plan.yaml", text.as_bytes(), &inputs)
}

/// `MP0106 [text under the caret] message`, for everything wrong with a plan.
fn problems(text: &str) -> Vec<String> {
    let Checked { source, plan } = checked(text);
    let shown = |found: &Diagnostic| format!("{} [{}] {}", found.code, source.slice(found.span), found.message);
    plan.map_or_else(|mistakes| mistakes.found.iter().map(shown).collect(), |_| Vec::new())
}

/// The mistakes of a small plan after a replacement.
fn changed(from: &str, to: &str) -> Vec<String> {
    let text = SMALL.replace(from, to);
    assert_ne!(text, SMALL, "{from}");
    problems(&text)
}

const SMALL: &str = r#"
meshproof: 1
plan: small
params: { limit: { type: duration, default: 5s } }
services:
  shop:
    exec: { argv: [./shop, "--port=${{ self.http.port }}"] }
    ports: { http: dynamic, admin: 8081 }
    env: { LEDGER: "${{ services.ledger.tcp }}", BANK: "${{ stubs.bank.url }}" }
    files: { conf/app.toml: "limit = 3", seed.sql: { from: seed.sql } }
    logs: { audit: { file: audit.log } }
    needs: [ledger]
    stop: { signal: INT, grace: 2s }
  ledger:
    ports: { tcp: 7070 }
stubs:
  bank:
    at: shop
    routes:
      - { id: charge, when: { method: POST, path: "/v1/*", headers: { X-Key: /^k/ } }, reply: { status: 201, body: "${{ request.body }}" } }
faults:
  slow: { stub: bank, latency: "${{ params.limit }}", jitter: 10ms }
  cut: { traffic: shop -> ledger, loss: 100% }
tests:
  - id: first
    timeout: 1m30s
    steps:
      - fault: slow
        for: 2s
        prove: 10%
      - id: buy
        name: somebody buys something
        at: ledger
        to: shop
        http: { post: "/buy", query: { q: "a b" }, headers: { Accept: text/plain }, body: "1" }
        expect:
          status: { in: [200, 201] }
          headers: { Content-Type: /json/ }
          json: { $.id: { exists: true, not: "" }, $.n: ">= 3" }
          size: "< 1KiB"
        save: { bought: $.id }
        within: 3s
        eventually: 20s
        idempotent: true
        optional: true
        when: "${{ params.limit }}"
      - at: shop
        exec: { argv: [cat, "${{ bought }}"], stdin: "x", env: { A: 1 }, cwd: sub }
        expect: { code: 0, stdout: { contains: ok, not: { matches: /error/ } } }
      - { at: shop, to: ledger, stream: { data: { generate: { count: 3, json: { n: "${{ index }}" } } }, apply: { tcp: { send: "${{ record.n }}" } } }, expect: { each: { line: OK }, latency: { p99: "< 5s" } } }
      - expect: { log: shop.audit, contains: 5, count: "> 2" }
      - expect: { value: "${{ bought }}", is: { not: "" } }
      - expect: { stub: bank, calls: 1 }
      - say: "bought ${{ bought }}"
    after: [{ heal: [slow] }, { collect: logs }]
"#;

#[test]
fn the_sample_plans_are_valid() {
    for text in [CHECKOUT, CHECKOUT_FAILS, SMALL] {
        let Checked { source, plan } = checked(text);
        if let Err(mistakes) = plan {
            panic!("{}", mistakes.render(&source, Look::Plain));
        }
    }
}

#[test]
fn all_mistakes_of_a_plan_are_shown_at_once_each_under_its_caret() {
    let Checked { source, plan } = check("testdata/mistakes/plan.yaml", MISTAKES.as_bytes(), &Inputs::default());
    let shown = plan.expect_err("it is full of mistakes").render(&source, Look::Plain);
    assert_eq!(shown, MISTAKES_SHOWN, "if the change is meant, this is the new text:\n{shown}");
}

#[test]
fn who_acts_and_where_it_goes_follow_from_at_and_to() {
    let plan = checked(SMALL).plan.expect("the small plan is valid");
    let does = |at: usize| match &plan.tests[0].steps[at].does {
        Does::Ask(ask) => (ask.at.to_string(), ask.target.as_ref().map(ToString::to_string)),
        other => panic!("{other:?}"),
    };
    assert_eq!(does(1), ("ledger".to_owned(), Some("shop.http".to_owned())));
    assert_eq!(does(2), ("shop".to_owned(), None));
    assert_eq!(does(4), ("shop".to_owned(), None));
    assert_eq!(does(6), ("shop".to_owned(), None));
    let tunnels: Vec<String> = plan.tunnels.iter().map(|tunnel| format!("{} -> {}", tunnel.at, tunnel.to)).collect();
    assert_eq!(tunnels, ["ledger -> shop.http", "shop -> ledger.tcp"]);
}

#[test]
fn the_title_of_a_step_has_no_expressions() {
    let plan = checked(SMALL).plan.expect("the small plan is valid");
    let titles: Vec<&str> = plan.tests[0].steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!((titles[2], titles[7]), ("exec cat …", "say bought …"));
}

#[test]
fn parameters_come_from_outside_before_their_defaults() {
    let with = |name: &str, value: &str| {
        let params = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        check("plan.yaml", SMALL.as_bytes(), &Inputs { params, ..Inputs::default() }).plan
    };
    let plan = with("limit", "7s").expect("7s is a duration");
    let Does::Fault(slow) = &plan.tests[0].steps[0].does else { panic!("{:?}", plan.tests[0].steps[0]) };
    assert_eq!(slow.fault.shape.latency_us, 7_000_000);
    assert_ne!(plan.digest, with("limit", "8s").expect("8s is a duration").digest);
    for (name, value) in [("limit", "7"), ("limt", "7s")] {
        assert_eq!(with(name, value).expect_err("it does not fit").found.len(), 1, "{name}={value}");
    }
}

#[test]
fn each_mistake_is_found_where_it_stands() {
    for (from, to, found) in [
        ("meshproof: 1", "meshproof: 2", "MP0112 [2] `2` is not a version of the plan language"),
        ("plan: small", "plan: a/b", "MP0205 [a/b] `a/b` cannot be a name"),
        (
            "default: 5s",
            "default: 5",
            "MP0108 [5] `5` does not fit the type `duration`: a bare number where a unit belongs",
        ),
        (
            "services:\n",
            "groups: { g: { count: 1, exec: { argv: [g] }, dials: [] } }\nservices:\n",
            "MP0110 [dials] `dials` is not supported by this version yet",
        ),
        (
            "ports: { tcp: 7070 }",
            "ports: { tcp: dynamic }",
            "MP0108 [tcp] a service without `exec` runs already, so its ports are known",
        ),
        ("admin: 8081", "admin: 70000", "MP0203 [70000] 70000 is out of range"),
        ("needs: [ledger]", "needs: [leger]", "MP0301 [leger] there is no service `leger`"),
        ("file: audit.log", "file: ../audit.log", "MP0209 [../audit.log] `../audit.log` leaves its folder"),
        ("signal: INT", "signal: SIGINT", "MP0204 [SIGINT] `SIGINT` is not one of the choices"),
        ("self.http.port", "self.htpp.port", "MP0307 [self.htpp.port] `htpp` is not a part of this service"),
        ("services.ledger.tcp }}", "services.ledger.udp }}", "MP0302 [services.ledger.udp] `ledger` has no port `udp`"),
        ("stubs.bank.url", "stubs.bnak.url", "MP0303 [stubs.bnak.url] there is no stub `bnak`"),
        (
            "request.body",
            "services.shop.http",
            "MP0307 [services.shop.http] `services` cannot be looked up in a stub, which is made before any address is known",
        ),
        ("request.body", "reqest.body", "MP0307 [reqest.body] nothing is known here under the name `reqest`"),
        ("\"/v1/*\"", "v1", "MP0209 [v1] a path begins with `/`"),
        ("/^k/", "/^(k/", "MP0208 [/^(k/] this is not a regular expression: unclosed group"),
        (
            "stub: bank, latency",
            "stub: bank, traffic: a -> b, latency",
            "MP0405 [stub] this fault has several targets: traffic, stub",
        ),
        (
            "{ traffic: shop -> ledger, loss: 100% }",
            "{ traffic: shop -> ledger }",
            "MP0406 [traffic] this fault has no effect",
        ),
        ("loss: 100%", "loss: 50%", "MP0203 [50%] a byte stream loses everything or nothing"),
        ("loss: 100%", "corrupt: 0%", "MP0203 [0%] this share is of nothing"),
        ("loss: 100%", "refuse: false", "MP0203 [false] this asks for nothing"),
        ("loss: 100%", "slice: 0B", "MP0203 [0B] pieces of nothing carry nothing"),
        (
            "loss: 100%",
            "status: 503, first: 2, percent: 10%",
            "MP0204 [percent] `first` and `percent` exclude each other",
        ),
        (
            "loss: 100%",
            "percent: 10%, latency: 1s",
            "MP0406 [percent] `percent` says which requests get a `status`, and there is none",
        ),
        (
            "loss: 100%",
            "duplicate: 1%",
            "MP0406 [{ traffic: shop -> ledger, duplicate: 1% }] shop -> ledger are byte streams, and this is done to datagrams: duplicate 1%",
        ),
        (
            "{ traffic: shop -> ledger, loss: 100% }",
            "{ partition: [[shop], []] }",
            "MP0405 [[[shop], []]] a partition has at least two sides, none empty",
        ),
        (
            "{ traffic: shop -> ledger, loss: 100% }",
            "{ partition: [[shop], [shop]] }",
            "MP0308 [shop] a service is on one side",
        ),
        (
            "{ traffic: shop -> ledger, loss: 100% }",
            "{ partition: [[shop], [ledger]], latency: 1s }",
            "MP0406 [[[shop], [ledger]]] a partition is an effect of its own: nothing passes between its sides",
        ),
        ("shop -> ledger", "shop <- ledger", "MP0405 [shop <- ledger] `shop <- ledger` does not say which traffic"),
        ("fault: slow", "fault: slwo", "MP0305 [slwo] there is no fault `slwo`"),
        ("        for: 2s\n", "        for: 2\n", "MP0201 [2] a bare number where a unit belongs"),
        ("within: 3s", "for: 3s", "MP0403 [3s] `for` does not fit the verb `http`"),
        (
            "query: { q: \"a b\" }",
            "expect: { status: 200 }",
            "MP0403 [expect] `expect` is a modifier and stands on the step",
        ),
        (
            "        to: shop\n",
            "",
            "MP0404 [http: { post: \"/buy\", query: { q: \"a b\" }, headers: { Accept: text/plain }, body: \"1\" }] it is not said which service this http call goes to",
        ),
        ("to: shop\n", "to: shop.amdin\n", "MP0302 [shop.amdin] `shop` has no port `amdin`"),
        (
            "post: \"/buy\"",
            "post: http://shop/buy",
            "MP0209 [http://shop/buy] which service is called is said by `to`; here stands only the path",
        ),
        (
            "{ in: [200, 201] }",
            "[200, 201]",
            "MP0407 [[200, 201]] a list equals only a list, and there will be none here",
        ),
        ("size: \"< 1KiB\"", "size: \"< 1024\"", "MP0201 [\"< 1024\"] a bare number where a unit belongs"),
        ("size: \"< 1KiB\"", "sise: \"< 1KiB\"", "MP0407 [sise] the answer to http has no `sise`"),
        ("$.n: \">= 3\"", "$.n.: 1", "MP0208 [$.n.] `$.n.` is not a JSONPath"),
        ("$.n: \">= 3\"", "n: 1", "MP0106 [n] `n` is not a matcher"),
        ("$.n: \">= 3\"", "$.n: 007", "MP0207 [007] the number `007` would change when read"),
        ("save: { bought: $.id }", "save: { bought: id }", "MP0208 [id] `id` is not a JSONPath"),
        (
            "save: { bought: $.id }",
            "save: { bought: $.id, params: $.id }",
            "MP0205 [params] `params` means something else in expressions",
        ),
        (
            "\"${{ bought }}\"], stdin",
            "\"${{ bougth }}\"], stdin",
            "MP0307 [bougth] nothing is known here under the name `bougth`",
        ),
        (
            "\"${{ bought }}\"], stdin",
            "\"${{ bought * 2 }}\"], stdin",
            "MP0210 [*] `*` is unexpected, a filter (`| json`) or the end (`}}`) was expected; expressions look up and filter, they do not calculate",
        ),
        ("argv: [cat,", "shell: [cat,", "MP0108 [[cat, \"${{ bought }}\"]] a list does not fit here"),
        ("to: ledger, stream", "to: shop, stream", "MP0302 [shop] `shop` has several ports, and none is named `tcp`"),
        ("count: 3,", "count: many,", "MP0108 [many] the text `many` does not fit here"),
        ("log: shop.audit", "log: shop.audti", "MP0306 [shop.audti] `shop` has no log `audti`"),
        ("log: shop.audit, contains: 5, count: \"> 2\"", "link: x, is: up", "MP0407 [x] `x` does not say which link"),
        ("stub: bank, calls", "stub: bank.chagre, calls", "MP0304 [bank.chagre] the stub `bank` has no route `chagre`"),
        ("stub: bank, calls: 1", "stub: bank", "MP0206 [stub] this looks at something and expects nothing of it"),
        ("say: \"bought ${{ bought }}\"", "sya: hello", "MP0106 [sya] `sya` is neither a verb nor a modifier"),
        ("say: \"bought ${{ bought }}\"", "id: nothing", "MP0401 [id: nothing] this step does nothing"),
        ("say: \"bought ${{ bought }}\"", "load: shop", "MP0108 [shop] the text `shop` does not fit here"),
        ("heal: [slow]", "heal: [solw]", "MP0305 [solw] there is no fault `solw`"),
        ("collect: logs", "collect: log", "MP0204 [log] `log` is not one of the choices"),
        ("    after: [", "    tags: [slow]\n    after: [", "MP0110 [tags] `tags` is not supported by this version yet"),
        (
            "    after: [",
            "  - { id: first, steps: [{ say: x }] }\n  - id: second\n    steps: [",
            "MP0308 [first] two tests have the id `first`",
        ),
        ("- id: buy", "- id: buy\n        id: buy", "MP0104 [id] the key `id` stands here twice"),
    ] {
        let problems = changed(from, to);
        assert_eq!(problems, [found], "{from} -> {to}");
    }
}

#[test]
fn what_cannot_be_read_makes_no_second_mistake() {
    let lost_save = changed("http: { post: \"/buy\",", "htpp: { post: \"/buy\",");
    assert_eq!(lost_save, ["MP0106 [htpp] `htpp` is neither a verb nor a modifier"]);
    let lost_fault = changed("jitter: 10ms", "jitter: 10");
    assert_eq!(lost_fault, ["MP0201 [10] a bare number where a unit belongs"]);
    let lost_service = changed("  ledger:\n    ports: { tcp: 7070 }\n", "  ledger: 7070\n");
    assert!(lost_service.iter().all(|problem| !problem.starts_with("MP0301")), "{lost_service:?}");
}

#[test]
fn hostile_texts_are_data() {
    for text in ["\"; rm -rf /\"", "\"$(id)\"", "\"`id`\"", "\"\\e[31mred\"", "שלום"] {
        assert_eq!(problems(&SMALL.replace("./shop", text)), Vec::<String>::new(), "{text}");
    }
    assert_eq!(
        changed("plan: small", "plan: \"sm\\0all\"")[0],
        "MP0105 [\"sm\\0all\"] the character U+0000 may not stand in a plan"
    );
    assert!(changed("timeout: 1m30s", "timeout: 1000000000000000000s")[0].starts_with("MP0203"));
    assert!(changed("conf/app.toml:", "../app.toml:")[0].starts_with("MP0209"));
}

#[test]
fn a_chain_of_needs_as_long_as_a_plan_is_walked_and_its_circle_found() {
    let service = |at: usize, need: usize| format!("  s{at}: {{ exec: {{ argv: [x] }}, needs: [s{need}] }}\n");
    let chain: String = (0..20_000).map(|at| service(at, (at + 1) % 20_000)).collect();
    let problems = problems(&SMALL.replace("services:\n", &format!("services:\n{chain}")));
    let circle = "s0 -> s1 -> s2 -> s3 -> … -> s19996 -> s19997 -> s19998 -> s19999 -> s0";
    assert_eq!(problems, [format!("MP0309 [s0] services need each other in a circle: {circle}")]);
}

#[test]
fn a_step_full_of_unknown_names_is_refused_in_time() {
    let looks = "${{ nobody }} ".repeat(100_000);
    let problems = changed("say: \"bought ${{ bought }}\"", &format!("say: \"{looks}\""));
    assert!(problems.iter().all(|problem| problem.starts_with("MP0307")), "{:?}", problems.first());
}

#[test]
fn what_belongs_to_later_versions_is_named_as_such() {
    let text = "meshproof: 1\nplan: p\ngroups: { g: { count: 1, exec: { argv: [g] }, dials: [] } }\ntests:\n  - id: t\n    tags: [slow]\n    steps:\n\
        \x20     - barrier: { name: started, of: all }\n        within: 60s\n      - fault: { link: a -> b, latency: 1s }\n";
    let problems = problems(text);
    assert!(problems.len() >= 3 && problems.iter().all(|problem| problem.starts_with("MP0110")), "{problems:#?}");
}

proptest! {
    #[test]
    fn no_mutation_makes_checking_panic_and_every_refusal_can_be_drawn(
        at in 0..SMALL.len(), length in 0..40_usize, with in "[ \\n:,\\[\\]{}\"'$a-z0-9%<>/|&*!-]{0,12}",
    ) {
        let mut bytes = SMALL.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, with.into_bytes());
        let Checked { source, plan } = check("plan.yaml", &bytes, &Inputs::default());
        if let Err(mistakes) = plan {
            prop_assert!(!mistakes.found.is_empty());
            prop_assert!(!mistakes.render(&source, Look::Plain).is_empty());
            prop_assert!(!mistakes.render(&source, Look::Fancy).is_empty());
        }
    }

    #[test]
    fn swapped_lines_never_panic(a in 0..70_usize, b in 0..70_usize) {
        let mut lines: Vec<&str> = SMALL.lines().collect();
        let (a, b) = (a % lines.len(), b % lines.len());
        lines.swap(a, b);
        let _checked = checked(&lines.join("\n"));
    }
}
