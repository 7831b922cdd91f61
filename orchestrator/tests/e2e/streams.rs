//! Streams of records whose agents are killed in the middle.

use std::collections::BTreeMap;

use rustix::process::{Pid, Signal, kill_process};

use crate::journal::Journal;
use crate::processes;
use crate::scene::{Scene, has_python};
use crate::session::Session;

const RECORDS: usize = 12_000;

/// Records that come again at most for each of two replacements: those that were sent ahead, and as many answers that were not noted.
const AGAIN: usize = 2 * (1_024 + 1_024);

/// Writes each line down before it answers it.
const STORE: &str = "import socketserver, sys
log = open('applied', 'ab', 0)
class Store(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            if line != b'x\\n': log.write(line)
            self.wfile.write(b'OK ' + line)
class Server(socketserver.ThreadingTCPServer): allow_reuse_address = True
Server(('127.0.0.1', int(sys.argv[1])), Store).serve_forever()
";

fn plan(scene: &Scene, send: &str) -> std::path::PathBuf {
    std::fs::write(scene.path().join("store.py"), STORE).expect("a writable folder");
    let text = format!(
        r#"meshproof: 1
plan: streams
services:
  shop: {{ exec: {{ argv: [sleep, "1000"] }} }}
  store:
    exec: {{ argv: [python3, store.py, "${{{{ self.tcp.port }}}}"] }}
    files: {{ store.py: {{ from: store.py }} }}
    ports: {{ tcp: dynamic }}
    ready: {{ tcp: {{ send: "x\n" }} }}
tests:
  - id: t
    steps:
      - at: shop
        to: store
        within: 60s
        stream:
          data: {{ generate: {{ count: {RECORDS}, json: {{ id: "${{{{ index }}}}" }} }} }}
          apply: {{ tcp: {{ send: "{send}\n" }} }}
        expect: {{ each: {{ line: "/^OK .* ${{{{ record.id }}}}$/" }}, records: {RECORDS} }}
        save: {{ resumed: $.resumed }}
      - expect: {{ value: "${{{{ resumed }}}}", is: ">= 2" }}
  - {{ id: keep, steps: [{{ at: shop, exec: {{ shell: "exit 1" }} }}] }}
"#
    );
    let path = scene.path().join("plan.yaml");
    std::fs::write(&path, text).expect("a writable folder");
    path
}

/// A run whose first step has begun.
fn begun(scene: &Scene, plan: std::path::PathBuf) -> Session {
    let mut session = scene.run(plan);
    session.record("the stream", |record| record["what"]["fact"]["step-started"]["key"]["test"] == "t");
    session
}

fn applied(scene: &Scene) -> usize {
    let text = std::fs::read(scene.run_folder().join("services/store/applied")).unwrap_or_default();
    text.iter().filter(|byte| **byte == b'\n').count()
}

/// Once so many records are applied.
fn kill_agent(scene: &Scene, session: &mut Session, (agent, past): (&str, usize)) {
    while applied(scene) < past {
        std::thread::yield_now();
    }
    let agents = processes::mentioning(scene.path());
    let pid = Pid::from_raw(processes::agent(&agents, agent).pid).expect("a process id is not 0");
    kill_process(pid, Signal::KILL).expect("it runs");
    session.record("another instance", |record| record["what"]["failover-complete"]["agent"] == agent);
}

#[test]
fn a_stream_goes_on_when_its_sender_and_its_receiver_are_killed_no_record_is_lost_and_repeats_have_their_keys() {
    if !has_python() {
        return;
    }
    let scene = Scene::new();
    let plan = plan(&scene, "POST ${{ record.key }} ${{ record.id }}");
    let mut session = begun(&scene, plan);
    kill_agent(&scene, &mut session, ("shop", 2_000));
    let past = applied(&scene) + 300;
    kill_agent(&scene, &mut session, ("store", past));
    session.end().assert_code(1);
    scene.assert_nothing_left();
    let journal = Journal::read(&scene.out());
    assert_eq!(journal.verdicts()["t"], "pass");
    let text = std::fs::read_to_string(scene.out().join("services/store/applied")).expect("it is kept");
    let mut keys: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    let mut last = 0;
    for line in text.lines() {
        let [_, key, id] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let seen = keys.entry(key).or_insert((id, 0));
        assert_eq!(seen.0, id, "a key is of one record");
        seen.1 += 1;
        let id: usize = id.parse().expect("a number");
        assert!(id <= last + 1, "{id} came behind {last}");
        // whatever comes behind a record that comes again comes again, too
        last = id;
    }
    assert_eq!(keys.len(), RECORDS, "none is lost, and none has two keys");
    let again = text.lines().count() - RECORDS;
    assert!(again <= AGAIN, "{again} came again");
    println!("{RECORDS} records, lost 0, applied again {again}");
}

#[test]
fn a_stream_whose_records_nobody_could_recognise_is_unknown_when_its_sender_is_killed() {
    if !has_python() {
        return;
    }
    let scene = Scene::new();
    let mut session = begun(&scene, plan(&scene, "POST - ${{ record.id }}"));
    kill_agent(&scene, &mut session, ("shop", 2_000));
    session.end();
    let journal = Journal::read(&scene.out());
    assert_eq!(journal.verdicts()["t"], "unknown");
    let text = std::fs::read_to_string(scene.out().join("services/store/applied")).expect("it is kept");
    let mut ids: Vec<&str> = text.lines().collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "none is applied twice");
}
