//! SIGKILL for one of ours in the middle of a run: it never hangs, never passes, and never leaves anything.

use std::time::{Duration, Instant};

use crate::journal::Journal;
use crate::processes::{self, Process, Watch};
use crate::scene::{CHECKOUT, Scene};
use crate::session::{Ended, Session, Shown};
use rustix::process::{Pid, Signal, kill_process};

/// Far below the plan's own timeouts.
const SOON: Duration = Duration::from_secs(15);

/// The orphan grace of the test that waits for it.
const GRACE: Duration = Duration::from_secs(1);

fn kill(process: &Process) {
    send(process, Signal::KILL);
}

fn send(process: &Process, signal: Signal) {
    let pid = Pid::from_raw(process.pid).expect("a process id is not 0");
    kill_process(pid, signal).expect("it runs");
}

/// Kills everything of ours at once: nobody sees the other one's end.
pub fn kill_all(session: Session, processes: Vec<Process>) {
    let ours: Vec<_> = processes.into_iter().filter(|process| process.subcommand().is_some()).collect();
    let keepers = processes::keepers(&ours);
    for process in [keepers.0, keepers.1] {
        send(process, Signal::STOP);
    }
    let ends = Watch::on(ours.clone());
    ours.iter().for_each(kill);
    session.end().assert_code(137);
    ends.wait(SOON);
}

/// A run whose cut is on, and its processes.
fn in_the_middle(scene: &Scene) -> (Session, Vec<Process>) {
    let mut command = scene.run_command(CHECKOUT.as_ref(), "json");
    command.env("MESHPROOF_ORPHAN_GRACE", format!("{}s", GRACE.as_secs()));
    let mut session = Session::start(command, Shown::Records);
    session.happening(("fault-began", "fault", "ledger-cut"));
    (session, processes::mentioning(scene.path()))
}

/// Kills one process of a run in the middle; gives how the run ended.
fn without(pick: impl Fn(&[Process]) -> &Process) -> (Scene, Ended) {
    let scene = Scene::new();
    let (session, processes) = in_the_middle(&scene);
    let killed = Instant::now();
    kill(pick(&processes));
    let ended = session.end();
    let took = killed.elapsed();
    assert!(took < SOON, "the run took {took:?} to end:\n{}", ended.all());
    Watch::on(processes).wait(SOON);
    scene.assert_nothing_left();
    (scene, ended)
}

#[test]
fn when_the_orchestrator_is_killed_the_keeper_ends_everything_after_its_grace() {
    let scene = Scene::new();
    let (session, mut processes) = in_the_middle(&scene);
    processes.retain(|process| process.pid != session.pid());
    let (guard, keeper) = processes::keepers(&processes);
    let last = Watch::on(vec![guard.clone(), keeper.clone()]);
    let killed = Instant::now();
    session.signal(Signal::KILL);
    session.end().assert_code(137);
    Watch::on(processes).wait(SOON);
    last.wait(SOON);
    let took = killed.elapsed();
    assert!(took >= GRACE, "another orchestrator had {took:?} to take over");
    scene.assert_nothing_left();
}

#[test]
fn when_the_keeper_is_killed_its_guard_ends_everything_and_the_run_is_an_error() {
    let (scene, ended) = without(|processes| processes::keepers(processes).1);
    ended.assert_code(5);
    assert_eq!(Journal::read(&scene.out()).only("run-ended")["verdict"], "error");
}

#[test]
fn when_the_guard_is_killed_its_keeper_ends_everything_and_the_run_is_an_error() {
    let (scene, ended) = without(|processes| processes::keepers(processes).0);
    ended.assert_code(5);
    assert_eq!(Journal::read(&scene.out()).only("run-ended")["verdict"], "error");
}

/// Its fault goes on, its tunnels and its stub are where they were, and what the other agent asks of its service comes there.
#[test]
fn when_an_agent_is_killed_another_instance_goes_on_and_the_run_passes() {
    for name in ["ledger", "shop"] {
        let scene = Scene::new();
        let (session, processes) = in_the_middle(&scene);
        kill(processes::agent(&processes, name));
        let ended = session.end();
        ended.assert_code(0);
        scene.assert_nothing_left();
        let journal = Journal::read(&scene.out());
        for event in ["failover-detected", "failover-decided", "failover-complete"] {
            assert_eq!(journal.only(event)["agent"], name, "{event}");
        }
        assert_eq!(journal.all("failure").count(), 0, "{}", ended.all());
    }
}

#[test]
fn a_run_whose_links_are_up_passes_without_signaling() {
    let scene = Scene::new();
    let (session, processes) = in_the_middle(&scene);
    kill(processes.iter().find(|process| process.subcommand() == Some("signaling")).expect("a run has signaling"));
    session.end().assert_code(0);
    scene.assert_nothing_left();
    let journal = Journal::read(&scene.out());
    let notes: Vec<_> = journal.all("noted").filter_map(|note| note["text"].as_str()).collect();
    assert!(notes.iter().any(|note| note.starts_with("signaling")), "nobody noted that it is gone: {notes:?}");
}

/// A run of which only services are left, and its folder.
fn crashed(scene: &Scene) {
    let (session, processes) = in_the_middle(scene);
    kill_all(session, processes);
    let left = processes::mentioning(scene.path());
    assert!(
        !left.is_empty() && left.iter().all(|process| process.subcommand().is_none()),
        "services live on: {left:?}"
    );
}

/// What `meshproof clean` says.
pub fn clean(scene: &Scene) -> String {
    let output = scene.meshproof().arg("clean").output().expect("it is built");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), complained.as_ref()), (Some(0), ""), "{said}");
    said.into_owned()
}

#[test]
fn what_is_left_when_everything_was_killed_at_once_is_ended_and_removed_and_a_run_that_goes_on_is_not() {
    let scene = Scene::new();
    assert_eq!(clean(&scene), "nothing was left\n");
    crashed(&scene);
    let run = Journal::read(&scene.out()).only("run-began")["run"].as_str().expect("a name").to_owned();
    let (session, _) = in_the_middle(&scene);
    let noted = Journal::read(&scene.out());
    let begin = format!("of the run {run}, whose keeper was killed, what still ran was killed: ");
    let text = noted.only("noted")["text"].as_str().expect("a text").to_owned();
    assert!(text.starts_with(&begin) && text.ends_with("; its folder was removed"), "{text}");
    for service in ["shop", "ledger"] {
        assert!(text.contains(&format!("{service} (")), "{text}");
    }
    assert_eq!(clean(&scene), "nothing was left\n", "this run goes on");
    session.end().assert_code(0);
    scene.assert_nothing_left();
    crashed(&scene);
    let said = clean(&scene);
    assert!(said.contains("what still ran was killed: ") && said.lines().count() == 1, "{said}");
    scene.assert_nothing_left();
}
