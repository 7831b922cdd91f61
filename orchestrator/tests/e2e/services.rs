//! Services that are of no use: the failure shows what they said.

use crate::scene::Scene;

/// Writes a plan with one service, runs it, and gives everything that was shown.
fn shown(service: &str) -> String {
    let scene = Scene::new();
    let plan = scene.path().join("plan.yaml");
    let test = "tests:\n  - id: never\n    steps: [{ say: unreachable }]\n";
    std::fs::write(&plan, format!("meshproof: 1\nplan: broken\nservices:\n{service}{test}")).expect("room for a plan");
    let ended = scene.run_plain(&plan).end();
    ended.assert_code(1);
    scene.assert_nothing_left();
    ended.all()
}

#[test]
fn a_service_that_dies_at_its_start_is_shown_with_its_last_words() {
    let all = shown(
        "  db:\n    exec: { argv: [/bin/sh, -c, \"echo no such database: orders >&2; exit 3\"] }\n    \
         ports: { tcp: dynamic }\n    ready: { tcp: { send: \"\" } }\n",
    );
    assert!(all.contains("exit code 3") && all.contains("| no such database: orders"), "{all}");
}

#[test]
fn a_service_that_never_becomes_ready_is_shown_with_its_last_words() {
    let all = shown(
        "  db:\n    exec: { argv: [/bin/sh, -c, \"echo waiting for a disk; exec tail -f /dev/null\"] }\n    \
         ports: { tcp: dynamic }\n    ready: { tcp: { send: \"\" }, eventually: 1s }\n",
    );
    assert!(all.contains("| waiting for a disk"), "{all}");
}

#[test]
fn a_file_that_is_not_beside_the_plan_is_named_where_it_is_mentioned_and_nothing_starts() {
    let scene = Scene::new();
    let plan = scene.path().join("plan.yaml");
    let service =
        "services:\n  db:\n    exec: { argv: [sleep, \"1000\"] }\n    files: { seed.sql: { from: no-such.sql } }\n";
    let test = "tests:\n  - id: never\n    steps: [{ say: unreachable }]\n";
    std::fs::write(&plan, format!("meshproof: 1\nplan: broken\n{service}{test}")).expect("room for a plan");
    let ended = scene.run_plain(&plan).end();
    ended.assert_code(3);
    let all = ended.all();
    assert!(all.contains("there is no file `no-such.sql` beside the plan") && all.contains("plan.yaml:6:"), "{all}");
    assert!(!all.contains("joined"), "agents were started: {all}");
    scene.assert_nothing_left();
}
