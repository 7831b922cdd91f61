//! What the page shows and still does while something is away, and that it is as before when that is back.

use rustix::process::{Pid, Signal, kill_process};

use super::{LINKED, linked_page, says, shows, writes};
use crate::journal::Journal;
use crate::looking::Waiting;
use crate::processes;

pub(super) fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a process id is not 0"), signal).expect("it runs");
}

fn signaling(run: &Waiting) -> i32 {
    let all = processes::mentioning(run.scene.path());
    all.iter().find(|process| process.subcommand() == Some("signaling")).expect("a run has one").pid
}

#[test]
fn links_of_a_page_outlive_signaling_and_the_process_that_served_it_and_what_it_missed_is_read_to_it() {
    let Some((mut browser, run, served)) = linked_page() else { return };
    let pid = signaling(&run);
    signal(pid, Signal::STOP);
    shows(&mut browser, "notice", "Signaling is away");
    writes(&mut browser, "@all ping");
    says(&mut browser, "2 of 2 well");
    assert_eq!(browser.evaluate(LINKED), true);
    signal(pid, Signal::CONT);
    browser.until_it_holds("meshproof.mesh.signaling.up && document.getElementById('notice').hidden");
    // a process that is stopped answers nothing; the page goes on with its links, and says what it lacks
    let server = served.session.pid();
    let read = browser.evaluate("meshproof.run.n").as_u64().expect("a number");
    assert!(read > 10, "{read} records");
    browser.evaluate("meshproof.process.socket.close()");
    browser.until_it_holds("!meshproof.link.up");
    browser.until_it_holds("meshproof.link.up");
    signal(server, Signal::STOP);
    browser.until_it_holds(LINKED);
    signal(server, Signal::CONT);
    writes(&mut browser, "the page is back");
    says(&mut browser, "the run's journal has it");
    shows(&mut browser, "lines", "the page is back");
    // each record once, in order, none twice
    let lines = browser.evaluate("meshproof.run.lines.map(({ n }) => n)");
    let lines: Vec<u64> = lines.as_array().expect("a list").iter().filter_map(serde_json::Value::as_u64).collect();
    assert!(lines.windows(2).all(|pair| pair[0] < pair[1]), "{lines:?}");
    served.stop();
    run.end();
}

#[test]
fn a_run_that_was_begun_at_a_page_ends_as_by_ctrl_c_when_its_process_is_stopped() {
    let Some((mut browser, run, served)) = linked_page() else { return };
    let (plan, out) = (run.scene.path().join("plan.yaml"), run.scene.path().join("second"));
    writes(&mut browser, &format!("/run {} --out {}", plan.display(), out.display()));
    browser.until_it_holds(r"/ready \[.*\] shop/.test(document.getElementById('said').innerText)");
    served.stop();
    assert_eq!(Journal::read(&out).only("run-ended")["exit"], 130);
    run.end();
}

#[test]
fn an_agent_that_is_killed_is_seen_to_go_and_its_successor_is_linked() {
    let Some((mut browser, run, served)) = linked_page() else { return };
    let before = browser.evaluate("meshproof.mesh.agents.find(({ name }) => name === 'ledger').peer");
    signal(processes::agent(&processes::mentioning(run.scene.path()), "ledger").pid, Signal::KILL);
    shows(&mut browser, "lines", "ledger");
    let back = format!(
        "(({{ peer, way }}) => peer !== {before} && way === 'direct')(meshproof.mesh.agents.find(({{ name, isUp }}) => name === 'ledger' && isUp))"
    );
    browser.until_it_holds(&back);
    browser.until_it_holds("meshproof.run.agents.get('ledger').failover > 0");
    browser.until_it_holds(LINKED);
    writes(&mut browser, "@ledger ping");
    says(&mut browser, "ledger: pong in ");
    assert_eq!(browser.evaluate("meshproof.run.lanes.get('ledger').gone.length"), 1);
    assert_eq!(browser.errors(), Vec::<String>::new());
    served.stop();
    run.end();
}
