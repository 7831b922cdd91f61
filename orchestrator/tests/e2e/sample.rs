//! The sample plan passes, and the services' own logs prove that everything in it really happened.

use std::collections::BTreeMap;

use crate::facts::{self, Said, about};
use crate::leftovers;
use crate::observed::SAMPLE;
use crate::scene::{CHECKOUT, Scene, root};

/// The plan's `for: 5s`.
const CUT_MS: u64 = 5_000;

/// Two clocks of one machine, cut to milliseconds.
const ROUNDING_MS: u64 = 5;

fn log(service: &str, name: &str) -> Vec<Said> {
    facts::read(&SAMPLE.scene.out().join("logs").join(service).join(format!("{name}.log")))
}

/// The one order, and when the shop accepted it.
fn accepted() -> (String, u64) {
    let shop = log("shop", "stdout");
    let [accepted] = about(&shop, "order accepted")[..] else { panic!("one order was expected: {shop:#?}") };
    (accepted.value("order").expect("an order has an id").to_owned(), accepted.at_ms)
}

#[test]
fn the_sample_plan_passes() {
    SAMPLE.ended.assert_code(0);
    let passed = [("order-is-settled-despite-faults", "pass"), ("replicate", "pass")];
    assert_eq!(SAMPLE.journal.verdicts(), BTreeMap::from(passed));
    assert_eq!(SAMPLE.journal.only("run-ended")["verdict"], "pass");
    assert_eq!(SAMPLE.journal.all("failure").count(), 0);
    assert!(SAMPLE.scene.out().join("junit.xml").is_file());
}

#[test]
fn what_services_and_agents_used_at_most_is_told_at_the_end() {
    for kind in ["used", "agent-used"] {
        let used: BTreeMap<&str, _> = SAMPLE.journal.facts(kind).map(|used| (used.from, used.fact)).collect();
        assert_eq!(used.keys().copied().collect::<Vec<_>>(), ["ledger", "shop"], "{kind}");
        for (who, used) in used {
            let (now, most) = (used["memory_bytes"].as_u64(), used["memory_most_bytes"].as_u64());
            assert!(now > Some(500_000) && most >= now, "{kind} of {who}: {used}");
        }
    }
    // an agent is busy with ten thousand records
    assert!(SAMPLE.journal.facts("agent-used").all(|used| used.fact["cpu_ms"].as_u64() > Some(0)));
}

#[test]
fn the_shop_was_charged_slowly_and_refused_twice() {
    let shop = log("shop", "stdout");
    let charges = about(&shop, "charge ");
    let statuses: Vec<u64> = charges.iter().map(|charge| charge.number("status")).collect();
    assert_eq!(statuses, [503, 503, 201]);
    // 800 ms asked for, 100 ms of jitter either way. A busy machine adds its own to what the shop sees, so only what held
    // the replies back can say that it was not more.
    for charge in charges {
        assert!(charge.number("took_ms") >= 700, "{}", charge.fact);
    }
    let mut faults = SAMPLE.journal.all("fault-ended");
    let slow = faults.find(|fault| fault["fault"] == "slow-payments").expect("the fault has ended");
    assert!(slow["measured"].as_str().is_some_and(|measured| measured.ends_with("(3 replies)")), "{slow}");
    assert!(slow["deviation_percent"].as_f64().is_some_and(|deviation| deviation <= 15.0), "{slow}");
}

#[test]
fn the_cut_kept_the_order_from_the_ledger_for_five_seconds() {
    let (order, accepted_ms) = accepted();
    let audit = log("ledger", "audit");
    let [posted] = about(&audit, &format!("posted {order}"))[..] else { panic!("{order} is to be posted once") };
    let waited = posted.at_ms - accepted_ms;
    // The cut begins after the order was accepted, and nothing gets through before it ends.
    assert!(waited + ROUNDING_MS >= CUT_MS, "{order} was posted after {waited} ms");
}

#[test]
fn the_shop_heard_nothing_from_the_ledger_during_the_cut() {
    let (order, accepted_ms) = accepted();
    let shop = log("shop", "stdout");
    let silent = about(&shop, &format!("ledger silent order={order}"));
    assert!(!silent.is_empty(), "the shop saw no silence: {shop:#?}");
    let [posted] = about(&shop, &format!("ledger posted order={order}"))[..] else { panic!("{order} is posted once") };
    assert!(posted.at_ms + ROUNDING_MS >= accepted_ms + CUT_MS, "{}", posted.fact);
    assert!(silent.iter().all(|silent| silent.at_ms <= posted.at_ms));
}

/// The sample plan's second test alone, with patience for the audit file: the ledger answers first and writes later, so
/// what it has just answered is not all in the file when the sample plan ends.
fn replicate_until_audited() -> String {
    let plan = std::fs::read_to_string(root().join(CHECKOUT)).expect("the sample plan is there");
    let (head, tests) = plan.split_once("tests:\n").expect("it has tests");
    let (_, replicate) = tests.split_once("  - id: replicate\n").expect("it streams");
    let audited =
        r"      - { expect: { log: ledger.audit, matches: '/ posted \d+$/', count: 10000 }, eventually: 10s }";
    let plan = format!("{head}tests:\n  - id: replicate\n{}\n{audited}\n", replicate.trim_end());
    let root = root();
    let root = root.to_str().expect("a plain path");
    plan.replace("${{ plan.dir }}/../..", root).replace("cwd: ../..", &format!("cwd: {root}"))
}

#[test]
fn each_streamed_record_reaches_the_ledger_exactly_once_and_in_order() {
    let scene = Scene::new();
    let plan = scene.path().join("plan.yaml");
    std::fs::write(&plan, replicate_until_audited()).expect("a new file");
    scene.run(&plan).end().assert_code(0);
    let expected: Vec<String> = (0..10_000).map(|id| id.to_string()).collect();
    let logs = scene.out().join("logs/ledger");
    let audit = facts::read(&logs.join("audit.log"));
    let audited: Vec<&str> = audit.iter().filter_map(|said| said.fact.strip_prefix("posted ")).collect();
    assert!(audited == expected, "{} ids in the audit, and not the right ones in order", audited.len());
    // The ledger takes an order once, however often it is posted; so it also says how often it was asked.
    let printed = facts::read(&logs.join("stdout.log"));
    let posts = printed.iter().filter(|said| said.fact.contains(" closed posts="));
    assert_eq!(posts.map(|said| said.number("posts")).sum::<u64>(), 10_000);
}

#[test]
fn after_a_pass_nothing_is_left() {
    assert!(SAMPLE.left.processes.is_empty(), "processes were left behind: {:#?}", SAMPLE.left.processes);
    SAMPLE.scene.assert_nothing_left();
    leftovers::assert_free(&SAMPLE.left.ports);
}
