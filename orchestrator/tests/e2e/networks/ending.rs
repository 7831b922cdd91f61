//! Services that are asked to end and still talk to each other.

use super::are_possible;
use crate::scene::Scene;

/// `caller` ends well only if `listener` answers it after both were asked to end; `listener` ends once it has answered.
const PLAN: &str = r#"
meshproof: 1
plan: last-words
network: { egress: none }
services:
  listener:
    exec:
      argv:
        - python3
        - -c
        - |
          import signal, socket
          signal.signal(signal.SIGTERM, lambda *_: None)
          s = socket.create_server(("0.0.0.0", 7000))
          print("listens", flush=True)
          s.accept()[0].sendall(b"bye")
    ready: { expect: { log: listener.stdout, contains: listens } }
  caller:
    exec:
      argv:
        - python3
        - -c
        - |
          import signal, socket, sys
          signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
          print("waits", flush=True)
          signal.sigwait([signal.SIGTERM])
          s = socket.create_connection(("${{ services.listener.host }}", 7000), timeout=5)
          sys.exit(0 if s.recv(3) == b"bye" else 1)
    ready: { expect: { log: caller.stdout, contains: waits } }
tests:
  - id: nothing-more
    steps:
      - { at: caller, exec: { argv: ["true"] } }
"#;

#[test]
fn services_that_end_reach_each_other_until_the_last_has_ended() {
    if !are_possible() {
        return;
    }
    let scene = Scene::new();
    let plan = scene.path().join("plan.yaml");
    std::fs::write(&plan, PLAN).expect("a new file");
    scene.run_plain(plan).end().assert_code(0);
    scene.assert_nothing_left();
}
