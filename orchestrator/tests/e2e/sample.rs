//! The sample plan passes, and the services' own logs prove that everything in it really happened.

use std::collections::BTreeMap;

use crate::facts::{self, Said, about};
use crate::leftovers;
use crate::observed::SAMPLE;

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
fn the_shop_was_charged_slowly_and_refused_twice() {
    let shop = log("shop", "stdout");
    let charges = about(&shop, "charge ");
    let statuses: Vec<u64> = charges.iter().map(|charge| charge.number("status")).collect();
    assert_eq!(statuses, [503, 503, 201]);
    for charge in charges {
        let took = charge.number("took_ms");
        // 800 ms asked for, 100 ms of jitter either way; a busy machine adds its own.
        assert!((700..=1_100).contains(&took), "{}", charge.fact);
    }
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

#[test]
fn each_streamed_record_is_in_the_ledgers_audit_exactly_once() {
    let (order, _) = accepted();
    let mut times: BTreeMap<String, u64> = BTreeMap::new();
    for said in log("ledger", "audit") {
        let id = said.fact.strip_prefix("posted ").unwrap_or_else(|| panic!("{said:?}"));
        *times.entry(id.to_owned()).or_default() += 1;
    }
    assert_eq!(times.remove(&order), Some(1));
    let streamed: BTreeMap<String, u64> = (0..10_000).map(|id: u32| (id.to_string(), 1)).collect();
    let wrong: Vec<_> = times.iter().filter(|(id, count)| streamed.get(*id) != Some(count)).take(5).collect();
    assert!(times == streamed, "{} of 10000 ids, wrong among them: {wrong:?}", times.len());
}

#[test]
fn after_a_pass_nothing_is_left() {
    assert!(SAMPLE.left.processes.is_empty(), "processes were left behind: {:#?}", SAMPLE.left.processes);
    SAMPLE.scene.assert_nothing_left();
    leftovers::assert_free(&SAMPLE.left.ports);
}
