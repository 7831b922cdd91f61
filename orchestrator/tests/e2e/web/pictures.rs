//! Pictures of the page for the docs: `.ci/pictures` makes them.

use std::fmt::Write as _;
use std::path::PathBuf;

use rustix::process::Signal;

use super::breaks::signal;
use super::{LINKED, Served, WIDE, says, writes};
use crate::browser::{Browser, View};
use crate::looking::Waiting;
use crate::processes;
use crate::scene::{CHECKOUT, Scene};

fn keep(browser: &mut Browser, name: &str) {
    let folder = PathBuf::from(std::env::var_os("PICTURES").expect("PICTURES names a folder"));
    // the frame in which all of it is drawn
    browser.awaited("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
    std::fs::write(folder.join(format!("{name}.png")), browser.sight()).expect("room for it");
}

#[test]
#[ignore = "makes pictures of the docs: .ci/pictures"]
fn of_a_run_that_goes_on() {
    let mut browser = Browser::start().expect("chromium draws them");
    let scene = Scene::new();
    let mut session = scene.run(CHECKOUT);
    session.happening(("fault-began", "fault", "slow-payments"));
    let mut command = scene.meshproof();
    command.args(["web", "--as", "anna"]);
    let served = Served::start(command);
    browser.go(&served.operators, WIDE);
    browser.until_it_holds(LINKED);
    writes(&mut browser, "@all ping");
    says(&mut browser, "2 of 2 well");
    writes(&mut browser, "@shop http get /healthz --expect status=200");
    says(&mut browser, "shop: 200 in ");
    let both = "meshproof.run.activeFaults.map(({ fault }) => fault).sort().join() === 'ledger-cut,slow-payments'";
    browser.until_it_holds(&format!("meshproof.watch.seen.size === 2 && {both}"));
    keep(&mut browser, "web");
    browser.go(&served.operators, View { scheme: "dark", width: 1920 });
    browser.until_it_holds(LINKED);
    browser.until_it_holds(&format!("meshproof.watch.seen.size === 2 && {both}"));
    keep(&mut browser, "web-wall");
    session.end().assert_code(0);
    served.stop();
}

#[test]
#[ignore = "makes pictures of the docs: .ci/pictures"]
fn of_a_failover() {
    let mut browser = Browser::start().expect("chromium draws them");
    let run = Waiting::start();
    let served = Served::beside(&run);
    browser.go(&served.operators, View { scheme: "dark", ..WIDE });
    browser.until_it_holds(LINKED);
    signal(processes::agent(&processes::mentioning(run.scene.path()), "ledger").pid, Signal::KILL);
    browser.until_it_holds("meshproof.run.agents.get('ledger').failover > 0");
    browser.until_it_holds(LINKED);
    writes(&mut browser, "@ledger state");
    says(&mut browser, "ledger: run r-");
    browser.until_it_holds("Date.now() - meshproof.run.beganAt > 12000");
    keep(&mut browser, "web-failover");
    browser.go(&served.operators, View { scheme: "dark", width: 360 });
    browser.until_it_holds(LINKED);
    browser.until_it_holds("document.getElementById('health').innerText.includes(' ms')");
    keep(&mut browser, "web-narrow");
    served.stop();
    run.end();
}

/// So many services that do nothing, each with its agent.
fn plan(services: usize, wait: &str) -> String {
    let mut plan = "meshproof: 1\nplan: thirty\nservices:\n".to_owned();
    for number in 1..=services {
        let _ = writeln!(plan, "  node-{number:02}: {{ exec: {{ argv: [sleep, \"600\"] }} }}");
    }
    let _ = write!(plan, "tests:\n  - id: works\n    timeout: 200s\n    steps:\n");
    for number in 1..=services {
        let _ = writeln!(
            plan,
            "      - {{ at: node-{number:02}, exec: {{ argv: [sleep, \"0.{number:02}\"] }}, expect: {{ code: 0 }} }}"
        );
    }
    let _ = writeln!(
        plan,
        "      - {{ at: node-01, exec: {{ argv: [sh, -c, \"{wait}\"] }}, within: 200s, expect: {{ code: 0 }} }}"
    );
    plan
}

#[test]
#[ignore = "makes pictures of the docs: .ci/pictures"]
fn of_thirty_agents() {
    let mut browser = Browser::start().expect("chromium draws them");
    let scene = Scene::new();
    let path = scene.path().join("plan.yaml");
    let wait = format!("until [ -e {}/go ]; do sleep 0.05; done", scene.path().display());
    std::fs::write(&path, plan(30, &wait)).expect("a new file");
    let mut session = scene.run(&path);
    session.record("the last step", |record| record["what"]["fact"]["step-started"]["key"]["step"] == "30");
    let mut command = scene.meshproof();
    command.args(["web", "--as", "anna"]);
    let served = Served::start(command);
    browser.go(&served.operators, View { scheme: "light", width: 1440 });
    browser.until_it_holds("meshproof.mesh.agents.filter(({ way, rtt }) => way === 'direct' && rtt > 0).length === 30");
    writes(&mut browser, "@all ping");
    says(&mut browser, "30 of 30 well");
    keep(&mut browser, "web-thirty");
    std::fs::write(scene.path().join("go"), "").expect("a new file");
    session.end().assert_code(0);
    served.stop();
}
