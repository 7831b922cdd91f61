//! A plan is held against the agents of a mesh, which are looked at and asked for nothing else.

use crate::process::Process;
use crate::town::Town;

const PLAN: &str = "meshproof: 1\nplan: two\nservices:\n  shop: { ports: { http: 8080 } }\n  ledger: { ports: { tcp: 7070 } }\ntests:\n  \
    - id: t\n    steps:\n      - { to: shop, http: { post: /orders } }\n      - { at: ledger, exec: { argv: [rm, audit.log] } }\n";

/// What kinds of calls an agent allowed, as its log tells them.
fn kinds(agent: &Process) -> Vec<String> {
    let calls = agent.seen().iter().filter(|line| line.contains("meshproof::calls"));
    calls.map(|line| line.split("kind=").nth(1).expect("each has a kind").to_owned()).collect()
}

#[test]
fn a_dry_run_resolves_against_the_live_roster_and_makes_no_call_that_changes_anything() {
    let town = Town::new();
    std::fs::write(town.path().join("plan.yaml"), PLAN).expect("a new file");
    let (shop, ledger) = (town.invite("shop", "agent"), town.invite("ledger", "agent"));
    let mut agents = [town.agent("shop", &shop), town.agent("ledger", &ledger)];
    // It might do more than look: purge stubs, and keep links busy.
    let console = town.console("console");

    let told = town.done(&["run", "plan.yaml", "--dry-run", "--mesh", &console]);
    let resolved = told.split_once("mesh dev: 2 of 2 agents are there and may do this\n").expect(&told).1;
    let found: Vec<&str> = resolved.lines().filter_map(|line| line.split(" since ").next()).collect();
    assert_eq!(found, ["  ledger: there", "  shop: there"], "{told}");
    assert!(told.contains("  ledger: exec rm audit.log\n"), "{told}");

    // What does more than look is told as well. A bench is the first to do so: a measurement here, a stream there.
    town.done(&["bench", "--between", "shop", "ledger", "--seconds", "1", "--pings", "1", "--mesh", &console]);
    for (agent, kind) in agents.iter_mut().zip(["Measure", "Between"]) {
        agent.says(&format!("kind={kind}"));
        let told = kinds(agent);
        let (last, before) = told.split_last().expect("the bench");
        assert_eq!((last.as_str(), before.iter().filter(|kind| *kind != "Look").count()), (kind, 0), "{told:?}");
        assert!(before.len() >= 2, "it was looked at: {told:?}");
    }
}

#[test]
fn a_dry_run_names_who_is_missing_and_who_may_not_do_what_is_asked() {
    let town = Town::new();
    std::fs::write(town.path().join("plan.yaml"), PLAN).expect("a new file");
    let allowed = ["mesh", "invite", "ledger", "--allow", "logs,stream", "--out", "ledger.token"];
    town.done(&allowed);
    let other = town.invite("stock", "agent");
    let _agents = [town.agent("ledger", "ledger.token"), town.agent("stock", &other)];
    let console = town.console("console");
    let output = town.ask(&["run", "plan.yaml", "--dry-run", "--mesh", &console]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    for line in [
        "mesh dev: 0 of 2 agents are there and may do this",
        "  ledger: there, but its token does not allow exec (`meshproof mesh invite --allow`)",
        "  shop: not in the mesh; let it in with `meshproof mesh invite`",
        "  not in the plan: stock",
    ] {
        assert!(told.lines().any(|found| found == line), "{line} is not in:\n{told}");
    }
    assert!(String::from_utf8_lossy(&output.stderr).contains("two could not run in this mesh as it is"), "{output:?}");
}
