//! Files that are too long for orders, whose records agents send.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::journal::Journal;
use crate::scene::{Scene, has_python};

/// Answers each line with `OK` and the line.
const ECHO: &str = "import socketserver, sys
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile: self.wfile.write(b'OK ' + line)
class Server(socketserver.ThreadingTCPServer): allow_reuse_address = True
Server(('127.0.0.1', int(sys.argv[1])), Echo).serve_forever()
";

fn plan() -> String {
    let senders = ["ann", "ben", "cat"];
    let services = senders.map(|name| format!("  {name}: {{ exec: {{ argv: [sleep, \"1000\"] }} }}\n")).concat();
    let step = |name| {
        format!(
            "        - {{ at: {name}, to: store, stream: {{ data: {{ file: orders.ndjson }}, apply: {{ tcp: {{ send: \"${{{{ record.id }}}}\\n\" }} }} }}, expect: {{ each: {{ line: \"OK ${{{{ record.id }}}}\" }}, records: 2000 }} }}\n"
        )
    };
    let steps = senders.map(step).concat();
    let store = "  store:\n    exec: { argv: [python3, echo.py, \"${{ self.tcp.port }}\"] }\n    files: { echo.py: { from: echo.py } }\n    ports: { tcp: dynamic }\n    ready: { tcp: { send: \"x\\n\" } }\n";
    format!(
        "meshproof: 1\nplan: files\nservices:\n{services}{store}tests:\n  - id: t\n    steps:\n      - parallel:\n{steps}"
    )
}

#[test]
fn a_file_that_is_too_long_for_an_order_leaves_here_once_and_goes_from_agent_to_agent() {
    if !has_python() {
        return;
    }
    let scene = Scene::new();
    let record = |id: u32| format!("{{\"id\": {id}, \"pad\": \"{}\"}}\n", "x".repeat(1_000));
    let records: String = (0..2_000).map(record).collect();
    std::fs::write(scene.path().join("orders.ndjson"), &records).expect("a writable folder");
    std::fs::write(scene.path().join("echo.py"), ECHO).expect("a writable folder");
    std::fs::write(scene.path().join("plan.yaml"), plan()).expect("a writable folder");
    let ended = scene.run(scene.path().join("plan.yaml")).end();
    ended.assert_code(0);
    scene.assert_nothing_left();
    let journal = Journal::read(&scene.out());
    let held: BTreeMap<&str, &Value> = journal.facts("file-held").map(|held| (held.from, held.fact)).collect();
    let of = |agent: &str, key: &str| held.get(agent).map(|held| held[key].clone()).unwrap_or_default();
    let all = records.len();
    assert_eq!(held.keys().copied().collect::<Vec<_>>(), ["ann", "ben", "cat"], "and not whoever only receives");
    assert_eq!(["ann", "ben", "cat"].map(|agent| of(agent, "from_orchestrator")), [all, 0, 0].map(Value::from));
    assert_eq!(
        (of("ben", "from"), of("cat", "from")),
        (serde_json::json!({ "ann": all }), serde_json::json!({ "ben": all }))
    );
}

#[test]
fn a_long_file_that_holds_no_records_to_its_end_lets_no_run_begin() {
    let scene = Scene::new();
    let good = "{\"id\": 1}\n".repeat(100_000);
    std::fs::write(scene.path().join("orders.ndjson"), good + "{\n").expect("a writable folder");
    std::fs::write(scene.path().join("echo.py"), ECHO).expect("a writable folder");
    std::fs::write(scene.path().join("plan.yaml"), plan()).expect("a writable folder");
    let ended = scene.run_plain(scene.path().join("plan.yaml")).end();
    ended.assert_code(5);
    assert!(ended.all().contains("line 100001 is no JSON"), "{}", ended.all());
    scene.assert_nothing_left();
}
